"""Jobs as Redis knows them: the queue they wait in, when beat asks for each, and how the last runs of each ended."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import msgspec
from redis import Redis

from infra.settings import RedisSettings

QUEUE = "cash:jobs"
#: Where Celery's Redis transport keeps what a worker has taken and not yet acknowledged.
UNACKED = "unacked"
BEAT_PREFIX = "cash:beat"
RUNS_KEPT = 20

SOCKET_OPTIONS: Mapping[str, Any] = {
    "socket_timeout": 10,
    "socket_connect_timeout": 2,
    "socket_keepalive": True,
    "health_check_interval": 10,
}


class RunOutcome(StrEnum):
    """How a run ended: ``unavailable`` where a server it needs was down, ``failed`` where our code broke."""

    DONE = "done"
    UNAVAILABLE = "unavailable"
    FAILED = "failed"


class Run(msgspec.Struct, frozen=True):
    """One run of a job. ``asked_as`` is the id of the message that asked for it, ``failure`` a sentence."""

    job: str
    started_at: datetime
    seconds: float
    outcome: RunOutcome
    failure: str | None = None
    asked_as: str | None = None


class Beat(msgspec.Struct, frozen=True):
    """When beat asks for a job: how often (for people), when it did last, and when it will."""

    job: str
    every: str
    asked_at: datetime | None
    next_at: datetime


def broker_settings(settings: RedisSettings) -> dict[str, Any]:
    """Return how Celery reaches its broker, for who runs jobs and for who asks for one."""
    return {
        "broker_url": settings.url(),
        "task_default_queue": QUEUE,
        "task_ignore_result": True,
        "task_serializer": "json",
        "accept_content": ["json"],
    }


def remember_run(redis: "Redis", run: Run) -> None:
    """Keep a run among the last ones of its job."""
    key = _runs_key(run.job)
    with redis.pipeline() as pipeline:
        pipeline.lpush(key, msgspec.json.encode(run))
        pipeline.ltrim(key, 0, RUNS_KEPT - 1)
        pipeline.execute()


def list_runs(redis: "Redis", job: str, count: int = RUNS_KEPT) -> list[Run]:
    """Return the last runs of a job, the newest first; none where it never ran."""
    kept: Any = redis.lrange(_runs_key(job), 0, count - 1)
    return [msgspec.json.decode(run, type=Run) for run in kept]


def list_beats(redis: "Redis") -> list[Beat]:
    """Return the schedule as beat (celery-redbeat) keeps it, what is next first; empty where it never ran."""
    scheduled: Any = redis.zrange(f"{BEAT_PREFIX}:schedule", 0, -1, withscores=True)
    beats = []
    for key, next_at in scheduled:
        definition, meta = redis.hmget(key, "definition", "meta")
        if definition is None:
            continue
        entry = json.loads(definition)
        last = json.loads(meta or "{}").get("last_run_at")
        beats.append(
            Beat(entry["task"], _every(entry["schedule"]), _moment(last), datetime.fromtimestamp(next_at, UTC))
        )
    return beats


def _runs_key(job: str) -> str:
    return f"cash:jobs:runs:{job}"


def _every(schedule: Mapping[str, Any]) -> str:
    if schedule.get("__type__") == "interval":
        return f"{schedule['every']:g} s"
    fields = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")
    return " ".join(str(schedule.get(field, "*")) for field in fields)


def _moment(written: Mapping[str, Any] | None) -> datetime | None:
    if not written:
        return None
    year, month, day, hour, minute, second, microsecond = (
        written[name] for name in ("year", "month", "day", "hour", "minute", "second", "microsecond")
    )
    return datetime(year, month, day, hour, minute, second, microsecond, UTC)
