"""Read the ledgers that somebody is a member of from the ledger database."""

from datetime import datetime
from uuid import UUID

import asyncpg
import msgspec

from contracts.ledgers import personal_ledger_id
from contracts.members import Role
from gateway.queries.transactions import NamedAccount
from infra.postgres.engine import Database

#: More than this many are not listed in one answer; one's own is always among them.
LEDGERS_MAX = 1000


class Ledger(msgspec.Struct, kw_only=True):
    """A ledger as one of its members sees it: ``role`` is theirs, ``personal`` says that it is their own.

    A personal ledger opens with the first thing asked of it; until then ``opened_at`` and ``default_account`` are null.
    """

    id: UUID
    name: str
    role: Role
    base_currency: str
    time_zone: str
    personal: bool
    default_account: NamedAccount | None
    opened_at: datetime | None


_COLUMNS = """
l.id, l.name, m.role, l.base_currency, l.time_zone, l.opened_at, a.id AS account_id, a.name AS account_name
"""
_JOINED = """
members m
JOIN ledgers l ON l.id = m.ledger_id
LEFT JOIN accounts a ON a.ledger_id = l.id AND a.id = l.default_account_id
"""
_LIST = f"""
SELECT {_COLUMNS} FROM {_JOINED} WHERE m.user_id = $1
ORDER BY m.ledger_id = $2 DESC, l.opened_at, l.id LIMIT $3
"""  # noqa: S608  # constants
_ONE = f"SELECT {_COLUMNS} FROM {_JOINED} WHERE m.ledger_id = $1 AND m.user_id = $2"  # noqa: S608


async def list_ledgers(ledger: Database, user_id: UUID) -> list[Ledger]:
    """List the ledgers somebody is a member of, their own first where it is open, then the oldest first."""
    async with ledger.connection("list ledgers") as connection:
        rows = await connection.fetch(_LIST, user_id, personal_ledger_id(user_id), LEDGERS_MAX)
    return [_ledger(row, user_id) for row in rows]


async def find_ledger(ledger: Database, ledger_id: UUID, user_id: UUID) -> Ledger | None:
    """Find a ledger, for one of its members."""
    async with ledger.connection("find a ledger") as connection:
        row = await connection.fetchrow(_ONE, ledger_id, user_id)
    return _ledger(row, user_id) if row else None


def _ledger(row: asyncpg.Record, user_id: UUID) -> Ledger:
    return Ledger(
        id=row["id"],
        name=row["name"],
        role=Role(row["role"]),
        base_currency=row["base_currency"],
        time_zone=row["time_zone"],
        personal=row["id"] == personal_ledger_id(user_id),
        default_account=NamedAccount(row["account_id"], row["account_name"]) if row["account_id"] else None,
        opened_at=row["opened_at"],
    )
