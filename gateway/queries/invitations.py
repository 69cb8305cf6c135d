"""Read invitations: those of a ledger for its owner, who is not told whose address it was, and those for somebody."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from uuid import UUID

import asyncpg
import msgspec

from contracts.members import InvitationEnding, Role
from gateway.queries.users import find_usernames
from infra.postgres.engine import Database

#: More than this many, the newest, are not listed in one answer.
INVITATIONS_MAX = 200


class InvitationStatus(StrEnum):
    """How an invitation stands. Whether an open one is somebody's shows only when they answer."""

    OPEN = "open"
    ACCEPTED = InvitationEnding.ACCEPTED
    DECLINED = InvitationEnding.DECLINED
    WITHDRAWN = InvitationEnding.WITHDRAWN
    EXPIRED = "expired"


class Invitation(msgspec.Struct, kw_only=True):
    """An invitation as the ledger's owner sees it: no address and no name, which would tell that the address is known.

    ``invited_by`` is a username.
    """

    id: UUID
    role: Role
    status: InvitationStatus
    invited_by: str | None
    invited_at: datetime
    expires_at: datetime


class OwnInvitation(msgspec.Struct, kw_only=True):
    """An open invitation as the invited person sees it."""

    id: UUID
    ledger_id: UUID
    ledger_name: str
    role: Role
    invited_by: str | None
    invited_at: datetime
    expires_at: datetime


_COLUMNS = """
id, role, user_id, recorded_at, expires_at,
coalesce(ending, CASE WHEN expires_at > now() THEN 'open' ELSE 'expired' END) AS status
"""
_OWNER = "EXISTS (SELECT FROM members WHERE ledger_id = $1 AND user_id = $2 AND role = 'owner')"
_OF_LEDGER = f"""
SELECT {_COLUMNS} FROM invitations
WHERE ledger_id = $1 AND {_OWNER}
ORDER BY recorded_at DESC, id LIMIT $3
"""  # noqa: S608  # constants
_ONE = f"SELECT {_COLUMNS} FROM invitations WHERE ledger_id = $1 AND id = $3 AND {_OWNER}"  # noqa: S608
_OF_PERSON = """
SELECT i.id, i.ledger_id, l.name AS ledger_name, i.role, i.user_id, i.recorded_at, i.expires_at
FROM invitations i JOIN ledgers l ON l.id = i.ledger_id
WHERE i.invited_user_id = $1 AND i.ending IS NULL AND i.expires_at > now()
ORDER BY i.recorded_at DESC, i.id LIMIT $2
"""


async def list_invitations(ledger: Database, users: Database, ledger_id: UUID, user_id: UUID) -> list[Invitation]:
    """List a ledger's invitations for its owner, the newest first; empty for anybody else."""
    async with ledger.connection("list a ledger's invitations") as connection:
        rows = await connection.fetch(_OF_LEDGER, ledger_id, user_id, INVITATIONS_MAX)
    return await _invitations(users, rows)


async def find_invitation(
    ledger: Database, users: Database, ledger_id: UUID, user_id: UUID, invitation_id: UUID
) -> Invitation | None:
    """Find an invitation to a ledger, for its owner."""
    async with ledger.connection("find an invitation") as connection:
        rows = await connection.fetch(_ONE, ledger_id, user_id, invitation_id)
    return next(iter(await _invitations(users, rows)), None)


async def list_own_invitations(ledger: Database, users: Database, user_id: UUID) -> list[OwnInvitation]:
    """List the open invitations of somebody, the newest first."""
    async with ledger.connection("list somebody's invitations") as connection:
        rows = await connection.fetch(_OF_PERSON, user_id, INVITATIONS_MAX)
    names = await find_usernames(users, (row["user_id"] for row in rows))
    return [
        OwnInvitation(
            id=row["id"],
            ledger_id=row["ledger_id"],
            ledger_name=row["ledger_name"],
            role=Role(row["role"]),
            invited_by=names.get(row["user_id"]),
            invited_at=row["recorded_at"],
            expires_at=row["expires_at"],
        )
        for row in rows
    ]


async def _invitations(users: Database, rows: Sequence[asyncpg.Record]) -> list[Invitation]:
    names = await find_usernames(users, (row["user_id"] for row in rows))
    return [
        Invitation(
            id=row["id"],
            role=Role(row["role"]),
            status=InvitationStatus(row["status"]),
            invited_by=names.get(row["user_id"]),
            invited_at=row["recorded_at"],
            expires_at=row["expires_at"],
        )
        for row in rows
    ]
