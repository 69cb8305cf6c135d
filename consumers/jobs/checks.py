"""The errand of checking the books: every rule, on the live data, some ledgers at a time and for ever.

Where it has come to is kept in Redis; if that is lost it begins anew. ``cash ledger verify`` checks everything at once.
"""

import time
from collections.abc import Sequence
from uuid import UUID

import asyncpg
import msgspec
from prometheus_client import Counter, Gauge
from redis.exceptions import RedisError

from consumers.jobs.app import TASK_BUDGET_S, app
from consumers.jobs.expiry import databases
from consumers.jobs.running import job_memory, run_job
from infra.errors import Unavailable
from infra.postgres.engine import Database
from infra.postgres.ledger_checks import CHECKS, SLICE_ENTRIES, Finding, find_slice, find_strays, run_check
from infra.telemetry.logs import get_logger

log = get_logger(__name__)

CHECK_WITHIN_S = 4.0
"""One check of one slice. Begun within the task's budget, it ends before the task is thought dead."""
FINDINGS_LOGGED_MAX = 20
_KEY = "cash:checks:place"

CHECKED = Counter("cash_ledgers_checked_total", "Ledgers whose books were checked.")
FINDINGS = Counter(
    "cash_ledger_findings_total", "What was found wrong in the books; each round finds it again.", ["check"]
)
SKIPPED = Counter(
    "cash_ledger_checks_skipped_total", "Checks left to `cash ledger verify`: the ledger is large.", ["check"]
)
ROUND_ENDED = Gauge("cash_ledger_checks_round_ended_seconds", "When all books had been checked, in seconds since 1970.")
for _name in (*CHECKS, "strays"):
    FINDINGS.labels(_name)


class Place(msgspec.Struct, frozen=True):
    """Where a round is: behind which ledger, and before which check of those that follow (``None``: the first)."""

    after: UUID | None = None
    check: str | None = None


async def check_some(
    database: Database, place: Place, *, budget_s: float = TASK_BUDGET_S, entries_max: int = SLICE_ENTRIES
) -> Place:
    """Go on checking from a place, for as long as a task may begin new work or to the round's end; return the next one.

    Raises:
        Unavailable: the database is down.
    """
    deadline = time.monotonic() + budget_s
    names = list(CHECKS)
    while ledgers := await find_slice(database, place.after, entries_max):
        begin = names.index(place.check) if place.check is not None and place.check in CHECKS else 0
        for name in names[begin:]:
            if time.monotonic() > deadline:
                return Place(place.after, name)
            try:
                _report(await run_check(database, name, ledgers.ledger_ids, within_s=CHECK_WITHIN_S))
            except Unavailable as error:
                if not isinstance(error.__cause__, asyncpg.QueryCanceledError):
                    raise
                SKIPPED.labels(name).inc()
                log.warning("check took too long", check=name, ledgers=len(ledgers.ledger_ids), entries=ledgers.entries)
        CHECKED.inc(len(ledgers.ledger_ids))
        place = Place(ledgers.ledger_ids[-1])
    _report(await find_strays(database, within_s=CHECK_WITHIN_S))
    ROUND_ENDED.set_to_current_time()
    return Place()


def _report(findings: Sequence[Finding]) -> None:
    for finding in findings:
        FINDINGS.labels(finding.check).inc()
    for finding in findings[:FINDINGS_LOGGED_MAX]:
        log.error("the books are wrong", check=finding.check, ledger=str(finding.ledger_id), finding=finding.sentence)


@app.task(name="check_books")
def check_books() -> None:
    """Check some ledgers' books. Beat asks every minute; it may run twice."""
    _, ledger = databases()
    place = _find_place()

    async def work(database: Database) -> None:
        nonlocal place
        place = await check_some(database, place)

    run_job("check_books", [ledger], work)
    try:
        job_memory().set(_KEY, msgspec.json.encode(place))
    except RedisError as error:
        log.warning("place of the checks not kept", cause=repr(error))


def _find_place() -> Place:
    try:
        kept = job_memory().get(_KEY)
        return msgspec.json.decode(kept, type=Place) if isinstance(kept, bytes) else Place()
    except (RedisError, msgspec.MsgspecError) as error:
        log.warning("checks begin anew", cause=repr(error))
        return Place()
