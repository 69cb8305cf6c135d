"""Read from the ledger database what streams of events go by: who may read, how far a ledger is, and when that was."""

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from infra.postgres.engine import Database


class Reader(NamedTuple):
    """Somebody who reads a ledger."""

    ledger_id: UUID
    user_id: UUID


class Standing(NamedTuple):
    """How far a ledger is (0: not opened yet), and whether the reader is a member."""

    sequence: int
    is_member: bool


_STANDINGS = """
SELECT asked.ledger_id, asked.user_id, coalesce(l.sequence, 0) AS sequence, m.user_id IS NOT NULL AS is_member
FROM unnest($1::uuid[], $2::uuid[]) AS asked (ledger_id, user_id)
LEFT JOIN ledgers l ON l.id = asked.ledger_id
LEFT JOIN members m ON m.ledger_id = asked.ledger_id AND m.user_id = asked.user_id
"""
_RECORDED_AT = """
SELECT greatest(
    (SELECT recorded_at FROM postings WHERE ledger_id = $1 AND sequence <= $3
     ORDER BY sequence DESC, position DESC LIMIT 1),
    (SELECT recorded_at FROM changes WHERE ledger_id = $1 AND sequence <= $3 ORDER BY sequence DESC LIMIT 1),
    l.opened_at)
FROM ledgers l WHERE l.id = $1 AND EXISTS (SELECT FROM members WHERE ledger_id = $1 AND user_id = $2)
"""


async def find_standings(ledger: Database, readers: Collection[Reader]) -> dict[Reader, Standing]:
    """Find how readers and their ledgers stand, in one query for all of them."""
    asked = list(set(readers))
    async with ledger.connection("find who may read") as connection:
        rows = await connection.fetch(_STANDINGS, [each.ledger_id for each in asked], [each.user_id for each in asked])
    return {Reader(row["ledger_id"], row["user_id"]): Standing(row["sequence"], row["is_member"]) for row in rows}


async def find_recorded_at(ledger: Database, reader: Reader, sequence: int) -> datetime | None:
    """Find a moment at which the entry after ``sequence`` was not recorded yet; ``None`` for a stranger.

    The nearest before it that a key leads to: not every entry has a row of its own.
    """
    async with ledger.connection("find when an entry was recorded") as connection:
        moment: datetime | None = await connection.fetchval(_RECORDED_AT, reader.ledger_id, reader.user_id, sequence)
    return moment
