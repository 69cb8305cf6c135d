"""How a job runs: in an event loop of its own, with its outcome counted, logged and remembered for readiness."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import cache

from celery import current_task
from prometheus_client import Gauge, Histogram
from redis import Redis
from redis.exceptions import RedisError

from infra.errors import Unavailable
from infra.postgres.engine import Database, without_rows
from infra.redis.connection import connect_blocking
from infra.redis.jobs import Run, RunOutcome, remember_run
from infra.settings import PostgresSettings, RedisSettings, read
from infra.telemetry.logs import get_logger
from infra.telemetry.spans import begin_job

log = get_logger(__name__)

# Not ``job``: so Prometheus calls what it collects from.
JOB_SECONDS = Histogram(
    "cash_job_seconds", "Time of a job's run.", ["job_name", "outcome"], buckets=(0.01, 0.025, 0.05, 0.1, 0.5, 1, 5, 10)
)
LAST_SUCCESS = Gauge(
    "cash_job_last_success_timestamp_seconds",
    "When a job was last done here, or else this process began, in seconds since 1970.",
    ["job_name"],
)

FAILURE_LENGTH_MAX = 500
OUTAGE_TOLD_S = 15.0
"""So long a job that found its database down keeps the worker from being ready. Some come once a minute, and their last
run says little about now; while the database is down, the mail job finds that out every five seconds."""


class Pulse:
    """When a job last ended, and what was wrong with the newest run of each."""

    def __init__(self) -> None:
        """Begin now: a process that has just started had no time for a job yet."""
        self._beat_at = time.monotonic()
        self._failures: dict[str, tuple[str, float]] = {}

    def beat(self, job: str, failure: str | None = None, *, told_for_s: float = math.inf) -> None:
        """Note the end of a run, and for how long its failure counts at most."""
        self._beat_at = time.monotonic()
        if failure is None:
            self._failures.pop(job, None)
        else:
            self._failures[job] = failure, self._beat_at + told_for_s

    def problems(self, silent_for_s: float) -> list[str]:
        """Return what the newest runs failed by, and whether no job ended for longer than ``silent_for_s``."""
        now = time.monotonic()
        silence_s = now - self._beat_at
        problems = [f"{job}: {failure}" for job, (failure, until) in sorted(self._failures.items()) if now < until]
        if silence_s > silent_for_s:
            problems.append(f"no job came for {silence_s:.0f} s: does celery-beat run, and does Redis answer?")
        return problems


pulse = Pulse()
"""Of the jobs that this process runs."""


def run_job(job: str, databases: Sequence[PostgresSettings], work: Callable[[Database], Awaitable[object]]) -> None:
    """Run a job on each database, with connections of its own: nothing is shared between threads or outlives a run.

    It never raises. Whatever went wrong is logged, noted for readiness and for `cash jobs`, and left to the next run,
    which beat asks for. What is wrong with one database keeps it from no other.
    """
    started_at, began_at = datetime.now(UTC), time.monotonic()
    outcome, failures, told_for_s = RunOutcome.DONE, list[str](), math.inf
    with begin_job(job, getattr(current_task.request, "traceparent", None) if current_task else None) as span:
        for settings in databases:
            try:
                asyncio.run(_with_database(settings, work))
            except Unavailable as error:
                if outcome is RunOutcome.DONE:
                    outcome, told_for_s = RunOutcome.UNAVAILABLE, OUTAGE_TOLD_S
                failures.append(error.in_full())
                log.warning("job put off", job=job, operation=str(error), cause=repr(error.__cause__))
            except Exception as error:  # a defect in one run must not stop the clock
                outcome, told_for_s = RunOutcome.FAILED, math.inf
                failures.append(repr(without_rows(error)))
                log.exception("job failed", job=job)
        if outcome is not RunOutcome.DONE:
            span.fail(outcome)
    seconds, failure = time.monotonic() - began_at, "; ".join(failures) or None
    JOB_SECONDS.labels(job, outcome).observe(seconds)
    if outcome is RunOutcome.DONE:
        LAST_SUCCESS.labels(job).set_to_current_time()
    pulse.beat(job, failure, told_for_s=told_for_s)
    asked_as = current_task.request.id if current_task else None
    _remember(Run(job, started_at, seconds, outcome, failure and failure[:FAILURE_LENGTH_MAX], asked_as))


def _remember(run: Run) -> None:
    """Keep a run for `cash jobs`. It is for people: without Redis it is forgotten, and nothing else suffers."""
    try:
        remember_run(job_memory(), run)
    except (RedisError, OSError) as error:
        log.warning("run not remembered", job=run.job, cause=repr(error))


@cache
def job_memory() -> "Redis":
    """Return where jobs keep what their next run, or an operator, wants to know; connected when first used."""
    return connect_blocking(read(RedisSettings))


async def _with_database(settings: PostgresSettings, work: Callable[[Database], Awaitable[object]]) -> None:
    async with opened(settings) as database:
        await work(database)


@asynccontextmanager
async def opened(settings: PostgresSettings) -> AsyncIterator[Database]:
    """Open a database for the time of a run; it connects when it is first asked something."""
    database = Database(settings, application="celery-worker")
    await database.start()
    try:
        yield database
    finally:
        await database.stop()
