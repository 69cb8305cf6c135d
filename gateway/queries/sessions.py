"""Read sessions from the users database."""

from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from gateway.queries.users import Person
from infra.postgres.engine import Database

SESSIONS_MAX = 200


class Session(msgspec.Struct, kw_only=True):
    """A signed-in device."""

    id: UUID
    client: str
    started_at: datetime
    refreshed_at: datetime
    expires_at: datetime
    current: bool


_OWN = """
SELECT id, client, started_at, refreshed_at, expires_at
FROM sessions WHERE user_id = $1 AND ended_at IS NULL AND expires_at > now()
ORDER BY refreshed_at DESC, id LIMIT $2
"""

_PERSON = """
SELECT u.id, u.username, u.base_currency, u.time_zone
FROM sessions s JOIN users u ON u.id = s.user_id
WHERE s.id = $1 AND s.ended_at IS NULL
"""

_ENDED = """
SELECT now() AS now, s.id, s.ended_at
FROM (SELECT 1) one
LEFT JOIN sessions s ON s.ended_at > greatest($1::timestamptz, now() - $2::interval)
"""


async def list_sessions(users: Database, user_id: UUID, *, current: UUID) -> list[Session]:
    """List a person's open sessions, the last used first, at most :data:`SESSIONS_MAX`."""
    async with users.connection("list sessions") as connection:
        rows = await connection.fetch(_OWN, user_id, SESSIONS_MAX)
    return [Session(**row, current=row["id"] == current) for row in rows]


async def find_person_of(users: Database, session_id: UUID) -> Person | None:
    """Find whose session this is; ``None`` where there is none or it has ended."""
    async with users.connection("find a session's user") as connection:
        row = await connection.fetchrow(_PERSON, session_id)
    return Person(**row) if row else None


async def list_ended(
    users: Database, *, since: datetime | None, within: timedelta
) -> tuple[dict[UUID, datetime], datetime]:
    """List sessions that ended after ``since`` and within the last ``within``, with the database's clock."""
    async with users.connection("read ended sessions") as connection:
        rows = await connection.fetch(_ENDED, since, within)
    return {row["id"]: row["ended_at"] for row in rows if row["id"]}, rows[0]["now"]
