"""Read who belongs to a ledger: from the ledger database, with their names from the users database."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import msgspec

from contracts.members import MEMBERS_MAX, Role
from gateway.queries.users import find_usernames
from infra.postgres.engine import Database


class Member(msgspec.Struct, kw_only=True):
    """Somebody who belongs to a ledger, and since when."""

    user_id: UUID
    username: str | None
    role: Role
    joined_at: datetime


class Standing(NamedTuple):
    """What somebody is in a ledger (``None``: no member), and whether there is one by this id."""

    role: Role | None
    is_open: bool


_STANDING = """
SELECT (SELECT role FROM members WHERE ledger_id = $1 AND user_id = $2) AS role,
       coalesce((SELECT sequence > 0 FROM ledgers WHERE id = $1), false) AS is_open
"""
_MEMBER = "EXISTS (SELECT FROM members WHERE ledger_id = $1 AND user_id = $2)"
_LIST = f"""
SELECT user_id, role, joined_at FROM members
WHERE ledger_id = $1 AND {_MEMBER}
ORDER BY joined_at, user_id LIMIT $3
"""  # noqa: S608  # constants
_ONE = f"SELECT user_id, role, joined_at FROM members WHERE ledger_id = $1 AND user_id = $3 AND {_MEMBER}"  # noqa: S608


async def find_standing(ledger: Database, ledger_id: UUID, user_id: UUID) -> Standing:
    """Find what somebody is in a ledger."""
    async with ledger.connection("find a member") as connection:
        row = await connection.fetchrow(_STANDING, ledger_id, user_id)
    assert row is not None  # it has one row always
    return Standing(Role(row["role"]) if row["role"] else None, row["is_open"])


async def list_members(ledger: Database, users: Database, ledger_id: UUID, user_id: UUID) -> list[Member]:
    """List a ledger's members for one of them, those who joined first before the others; empty for anybody else."""
    async with ledger.connection("list members") as connection:
        rows = await connection.fetch(_LIST, ledger_id, user_id, MEMBERS_MAX)
    names = await find_usernames(users, (row["user_id"] for row in rows))
    return [Member(**row, username=names.get(row["user_id"])) for row in rows]


async def find_member(
    ledger: Database, users: Database, ledger_id: UUID, user_id: UUID, member_id: UUID
) -> Member | None:
    """Find a member of a ledger, for one of its members."""
    async with ledger.connection("find a member") as connection:
        row = await connection.fetchrow(_ONE, ledger_id, user_id, member_id)
    if row is None:
        return None
    names = await find_usernames(users, [member_id])
    return Member(**row, username=names.get(member_id))
