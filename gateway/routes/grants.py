"""Bulk grants: leave for a program to write rows of one ledger straight to Kafka."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from pydantic import Field

from contracts.members import Role
from gateway.auth import require_member
from gateway.errors import NotFound
from gateway.fields import Body, saying
from gateway.requests import JsonRequest
from gateway.routes.answers import JsonAnswer, answer_of, problems
from gateway.services import Services

LIFETIME_S_MAX = 24 * 3600
_MAY_WRITE = frozenset({Role.OWNER, Role.EDITOR})


class NewGrant(Body):
    """How long the grant is to be good."""

    expires_in: Annotated[
        int, Field(ge=60, le=LIFETIME_S_MAX), saying("Send seconds as a whole number from 60 to 86400.")
    ] = Field(3600, description="Seconds from now.")


class BulkGrant(msgspec.Struct):
    """A token for the header `ce_grant` of records on `ledger.bulk`."""

    grant: str
    expires_at: datetime


@post(
    "/ledgers/{ledger_id:uuid}/bulk-grants",
    status_code=201,
    responses={201: answer_of(BulkGrant, "Granted."), **problems(400, 401, 404, 413, 415, 503)},
    tags=["ledgers"],
)
async def grant_bulk(
    ledger_id: FromPath[UUID],
    data: JSONBody[NewGrant],
    request: JsonRequest,
    services: NamedDependency[Services],
) -> JsonAnswer:
    """Grant a program to write rows of a ledger to `ledger.bulk` in your name."""
    if await require_member(services.ledger, ledger_id, request.user) not in _MAY_WRITE:
        raise NotFound("There is no such ledger that you may write to.", "ledger_id")
    grant, expires_at = services.tokens.bulk_grant(request.user, ledger_id, data.expires_in)
    return JsonAnswer(BulkGrant(grant, expires_at), status=201)
