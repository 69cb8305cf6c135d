"""The clock of expiry: codes, registrations and sessions end when their time is over, and old rows are tidied away."""

import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import cache

from prometheus_client import Counter

from consumers.jobs.app import TASK_BUDGET_S, app
from consumers.jobs.running import run_job
from consumers.repositories.outbox import insert_outbox
from contracts.registrations import RegistrationExpired
from contracts.sessions import SessionEnded, SessionEnding
from infra.postgres.engine import Connection, Database
from infra.settings import LedgerDatabaseSettings, UsersDatabaseSettings, read
from infra.telemetry.logs import get_logger

log = get_logger(__name__)

SLICE_ROWS = 500
TIDY_SLICE_ROWS = 5_000
OUTBOX_KEPT = timedelta(days=7)
"""Sent rows can repair a journal that lost its tail."""
OPERATIONS_KEPT = timedelta(days=45)
"""So long a retry with the same idempotency key gets the same answer."""

EXPIRED = Counter("cash_expired_total", "Codes, registrations and sessions whose time was over.", ["kind"])
TIDIED = Counter("cash_tidied_rows_total", "Rows deleted because nobody needs them any more.", ["database", "table"])

# All of these pass over rows that a consumer has locked: the next run comes soon, and whoever holds one checks its
# expiry on use. So they wait for nobody, and cannot deadlock.
_CODES = """
    UPDATE registrations SET code_expires_at = NULL
    WHERE id IN (
        SELECT id FROM registrations
        WHERE state = 'pending' AND code_expires_at <= now()
        ORDER BY id LIMIT $1 FOR NO KEY UPDATE SKIP LOCKED
    )
    RETURNING id
"""

_REGISTRATIONS = """
    UPDATE registrations SET state = 'expired', code_expires_at = NULL
    WHERE id IN (
        SELECT id FROM registrations
        WHERE state IN ('pending', 'verified') AND expires_at <= now()
        ORDER BY id LIMIT $1 FOR NO KEY UPDATE SKIP LOCKED
    )
    RETURNING id, now() AS recorded_at
"""

# A session belongs to whoever holds its user.
_SESSIONS = """
    WITH owner AS MATERIALIZED (
        SELECT id FROM users
        WHERE id IN (SELECT user_id FROM sessions WHERE ended_at IS NULL AND expires_at <= now() LIMIT $1)
        ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
    )
    UPDATE sessions SET ended_at = now(), ending = 'expired'
    WHERE user_id IN (SELECT id FROM owner) AND ended_at IS NULL AND expires_at <= now()
    RETURNING id, user_id, now() AS recorded_at
"""

_OUTBOX = """
    DELETE FROM outbox WHERE id IN (SELECT id FROM outbox WHERE sent_at < now() - $1::interval LIMIT $2)
"""

_OPERATIONS = """
    DELETE FROM operations WHERE id IN (SELECT id FROM operations WHERE recorded_at < now() - $1::interval LIMIT $2)
"""


async def expire_due(database: Database) -> None:
    """End what is over: codes, then registrations, then sessions, each in slices of their own database transactions.

    Raises:
        Unavailable: the database is down; what was not committed is found again by the next run.
    """
    deadline = time.monotonic() + TASK_BUDGET_S
    for kind, expire_slice in (
        ("code", _expire_codes),
        ("registration", _expire_registrations),
        ("session", _expire_sessions),
    ):
        await _in_slices(database, kind, expire_slice, deadline)


async def _in_slices(
    database: Database, kind: str, expire_slice: Callable[[Connection], Awaitable[int]], deadline: float
) -> None:
    while time.monotonic() < deadline:
        async with database.transaction(f"expire {kind}s", timeout_s=5) as connection:
            count = await expire_slice(connection)
        if count:
            EXPIRED.labels(kind).inc(count)
            log.info("expired", kind=kind, count=count)
        if count < SLICE_ROWS:
            return


async def _expire_codes(connection: Connection) -> int:
    return len(await connection.fetch(_CODES, SLICE_ROWS))


async def _expire_registrations(connection: Connection) -> int:
    rows = await connection.fetch(_REGISTRATIONS, SLICE_ROWS)
    if rows:
        entries = [RegistrationExpired(registration_id=row["id"]) for row in rows]
        await insert_outbox(connection, entries, rows[0]["recorded_at"])
    return len(rows)


async def _expire_sessions(connection: Connection) -> int:
    rows = await connection.fetch(_SESSIONS, SLICE_ROWS)
    if rows:
        entries = [
            SessionEnded(user_id=row["user_id"], session_id=row["id"], ending=SessionEnding.EXPIRED) for row in rows
        ]
        await insert_outbox(connection, entries, rows[0]["recorded_at"])
    return len(rows)


async def tidy_away(database: Database) -> None:
    """Delete outbox rows sent long ago and operations nobody asks for any more, in slices.

    Raises:
        Unavailable: the database is down.
    """
    deadline = time.monotonic() + TASK_BUDGET_S
    for table, statement, kept in (("outbox", _OUTBOX, OUTBOX_KEPT), ("operations", _OPERATIONS, OPERATIONS_KEPT)):
        while time.monotonic() < deadline:
            async with database.transaction(f"tidy {table}", timeout_s=5) as connection:
                status = await connection.execute(statement, kept, TIDY_SLICE_ROWS)
            count = int(status.rpartition(" ")[2])
            TIDIED.labels(database.name, table).inc(count)
            if count < TIDY_SLICE_ROWS:
                break


@cache
def databases() -> tuple[UsersDatabaseSettings, LedgerDatabaseSettings]:
    """Return where both databases are, read once; the worker asks at its start."""
    return read(UsersDatabaseSettings), read(LedgerDatabaseSettings)


@app.task(name="expire")
def expire() -> None:
    """End codes, registrations and sessions whose time is over. Beat asks every 30 seconds; it may run twice."""
    users, _ = databases()
    run_job("expire", [users], expire_due)


@app.task(name="tidy")
def tidy() -> None:
    """Tidy the outbox and the operations of both databases. Beat asks every minute; it may run twice."""
    run_job("tidy", databases(), tidy_away)
