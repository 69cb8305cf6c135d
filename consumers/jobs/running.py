"""How a job runs: in an event loop of its own, with its outcome counted, logged and remembered for readiness."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from prometheus_client import Histogram

from infra.errors import Unavailable
from infra.postgres.engine import Database
from infra.settings import PostgresSettings
from infra.telemetry.logs import get_logger

log = get_logger(__name__)

JOB_SECONDS = Histogram(
    "cash_job_seconds", "Time of a job's run.", ["job", "outcome"], buckets=(0.01, 0.025, 0.05, 0.1, 0.5, 1, 5, 10)
)


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


def run_job(job: str, settings: PostgresSettings, work: Callable[[Database], Awaitable[object]]) -> None:
    """Run a job with connections of its own, which end with it: nothing is shared between threads or outlives a run.

    It never raises. Whatever went wrong is logged, noted for readiness, and left to the next run, which beat asks for.
    """
    began_at = time.monotonic()
    outcome, failure, told_for_s = "done", None, math.inf
    try:
        asyncio.run(_with_database(settings, work))
    except Unavailable as error:
        outcome, failure, told_for_s = "unavailable", f"{error} ({error.__cause__!r})", OUTAGE_TOLD_S
        log.warning("job put off", job=job, operation=str(error), cause=repr(error.__cause__))
    except Exception as error:  # a defect in one run must not stop the clock
        outcome, failure = "failed", repr(error)
        log.exception("job failed", job=job)
    JOB_SECONDS.labels(job, outcome).observe(time.monotonic() - began_at)
    pulse.beat(job, failure, told_for_s=told_for_s)


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
