"""What became of submissions, and what waits to be sent: asked of either database for an operator."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

import msgspec

from contracts.messages import OperationState, Source
from infra.postgres.engine import Database

_OUTCOMES = """
    SELECT id, state, refusal_code, recorded_at, source_topic, source_partition, source_offset
    FROM operations WHERE id = ANY($1::uuid[])
"""
_UNSENT = """
    SELECT count(*) AS rows, coalesce(sum(message_count), 0) AS messages, min(created_at) AS oldest_at, now() AS read_at
    FROM outbox WHERE sent_at IS NULL
"""
_MAILS = """
    SELECT count(*) FILTER (WHERE due_at <= now()) AS due, count(*) FILTER (WHERE due_at > now()) AS put_off,
           min(due_at) FILTER (WHERE due_at <= now()) AS oldest_at, now() AS read_at
    FROM mails WHERE state = 'due'
"""


class OutcomeOf(msgspec.Struct, frozen=True):
    """How an operation ended, and which record ended it."""

    state: OperationState
    refusal_code: str | None
    recorded_at: datetime
    source: Source


class Unsent(msgspec.Struct, frozen=True):
    """What the relay has not sent yet: rows of the outbox, the messages in them, the age of the oldest row."""

    rows: int
    messages: int
    oldest_s: float | None


class MailsDue(msgspec.Struct, frozen=True):
    """Mails to be sent: those whose time has come, those put off after a failed try, how long the oldest is due."""

    due: int
    put_off: int
    oldest_s: float | None


async def find_outcomes(database: Database, operation_ids: Collection[UUID]) -> dict[UUID, OutcomeOf]:
    """Find how operations ended; those not decided, or tidied away since, are missing.

    Raises:
        Unavailable: the database does not answer.
    """
    async with database.connection("find operations") as connection:
        rows = await connection.fetch(_OUTCOMES, list(operation_ids))
    return {
        row["id"]: OutcomeOf(
            OperationState(row["state"]),
            row["refusal_code"],
            row["recorded_at"],
            Source(topic=row["source_topic"], partition=row["source_partition"], offset=row["source_offset"]),
        )
        for row in rows
    }


async def measure_outbox(database: Database) -> Unsent:
    """Count what the relay has not sent yet; raise ``Unavailable`` where the database does not answer."""
    async with database.connection("count the outbox") as connection:
        row = await connection.fetchrow(_UNSENT)
    assert row is not None  # an aggregate always has a row
    return Unsent(row["rows"], int(row["messages"]), _age_s(row["oldest_at"], row["read_at"]))


async def measure_mails(users: Database) -> MailsDue:
    """Count the mails to be sent; raise ``Unavailable`` where the users database does not answer."""
    async with users.connection("count the mails") as connection:
        row = await connection.fetchrow(_MAILS)
    assert row is not None  # an aggregate always has a row
    return MailsDue(row["due"], row["put_off"], _age_s(row["oldest_at"], row["read_at"]))


def _age_s(moment: datetime | None, now: datetime) -> float | None:
    return None if moment is None else max(0.0, (now - moment).total_seconds())
