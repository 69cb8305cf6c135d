"""Users' sessions in the users database."""

from collections.abc import Collection, Iterable, Sequence
from uuid import UUID

from consumers.domain.decisions import Asked
from consumers.domain.sessions import Session, Sessions
from consumers.repositories.mails import insert_invitation_mails
from contracts.messages import Submission
from contracts.sessions import RefreshSubmitted, SessionEnding, SessionEndRequested, SessionRequested
from infra.postgres.engine import Connection

_LOCK = "SELECT FROM users WHERE id = ANY($1::uuid[]) ORDER BY id FOR NO KEY UPDATE"

_USERS = "SELECT id FROM users WHERE id = ANY($1::uuid[])"

_SESSIONS = """
    SELECT id, user_id, client, refresh_hash, previous_hash, started_at, refreshed_at, expires_at, ended_at, ending
    FROM sessions
    WHERE id = ANY($1::uuid[])
"""

_SAVE = """
    INSERT INTO sessions (id, user_id, client, refresh_hash, previous_hash, started_at, refreshed_at, expires_at,
                          ended_at, ending)
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::bytea[], $5::bytea[], $6::timestamptz[],
                         $7::timestamptz[], $8::timestamptz[], $9::timestamptz[], $10::text[])
    ON CONFLICT (id) DO UPDATE
    SET refresh_hash = excluded.refresh_hash, previous_hash = excluded.previous_hash,
        refreshed_at = excluded.refreshed_at, expires_at = excluded.expires_at, ended_at = excluded.ended_at,
        ending = excluded.ending
    WHERE sessions.user_id = excluded.user_id
"""


async def lock_users(connection: Connection, user_ids: Iterable[UUID]) -> None:
    """Lock users, sorted; whoever changes a user's sessions holds the user."""
    await connection.execute(_LOCK, list(user_ids))


async def load_sessions(connection: Connection, asked: Sequence[Asked[Submission]]) -> dict[UUID, Sessions]:
    """Load, by user, the sessions that submissions are about; a letter is about none."""
    messages = [
        each.message
        for each in asked
        if isinstance(each.message, SessionRequested | RefreshSubmitted | SessionEndRequested)
    ]
    by_user = {each.message.subject_id: Sessions(user_id=each.message.subject_id) for each in asked}
    for row in await connection.fetch(_USERS, list(by_user)):
        by_user[row["id"]].registered = True
    wanted: dict[UUID, set[UUID]] = {}
    for message in messages:
        wanted.setdefault(message.session_id, set()).add(message.user_id)
    if not wanted:
        return by_user
    for row in await connection.fetch(_SESSIONS, list(wanted)):
        for user_id in wanted[row["id"]]:
            if user_id == row["user_id"]:
                by_user[user_id].sessions[row["id"]] = Session(
                    id=row["id"],
                    client=row["client"],
                    refresh_hash=row["refresh_hash"].hex(),
                    previous_hash=row["previous_hash"] and row["previous_hash"].hex(),
                    started_at=row["started_at"],
                    refreshed_at=row["refreshed_at"],
                    expires_at=row["expires_at"],
                    ended_at=row["ended_at"],
                    ending=row["ending"] and SessionEnding(row["ending"]),
                )
            else:
                by_user[user_id].taken_ids.add(row["id"])
    return by_user


async def save_sessions(connection: Connection, users: Collection[Sessions]) -> None:
    """Write the sessions that began or changed, and the mails that are due to their users."""
    if mails := [mail for user in users for mail in user.mails]:
        await insert_invitation_mails(connection, mails)
    changed = [(user.user_id, user.sessions[session_id]) for user in users for session_id in user.changed]
    if not changed:
        return
    changed.sort(key=lambda each: each[1].id.bytes)
    rows = [
        (
            session.id, user_id, session.client, bytes.fromhex(session.refresh_hash),
            session.previous_hash and bytes.fromhex(session.previous_hash), session.started_at, session.refreshed_at,
            session.expires_at, session.ended_at, session.ending,
        )
        for user_id, session in changed
    ]  # fmt: skip
    await connection.execute(_SAVE, *(list(column) for column in zip(*rows, strict=True)))
