"""Health and metrics, for the supervisor and Prometheus."""

import asyncio

import msgspec
from litestar import Response, get
from litestar.di import NamedDependency
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from gateway.routes.answers import answer_of
from gateway.services import Services


class Health(msgspec.Struct, omit_defaults=True):
    """How the process is, what keeps it from being ready, and what does not work while most does."""

    status: str
    because: list[str] = []
    without: list[str] = []


@get("/health/live", tags=["health"])
async def get_live() -> Health:
    """Say that the process answers."""
    return Health("alive")


@get(
    "/health/ready",
    responses={200: answer_of(Health, "Ready."), 503: answer_of(Health, "Not ready, and why.")},
    tags=["health"],
)
async def get_ready(services: NamedDependency[Services]) -> Response[Health]:
    """Say whether everything that requests need is there."""
    because, without = await asyncio.gather(services.readiness.problems(), services.readiness.shortcomings())
    if because:
        return Response(Health("not ready", because, without), status_code=503)
    return Response(Health("ready", without=without))


@get("/metrics", media_type=CONTENT_TYPE_LATEST, tags=["health"])
async def get_metrics() -> bytes:
    """Show the counters of this process, for Prometheus."""
    return generate_latest()
