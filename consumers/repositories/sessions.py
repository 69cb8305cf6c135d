"""Users' sessions and passwords in the users database."""

from collections.abc import Collection, Iterable, Sequence
from uuid import UUID

from consumers.domain.decisions import Asked
from consumers.domain.sessions import Session, Sessions
from consumers.repositories.mails import insert_user_mails
from consumers.settings import IdentityKeys
from contracts.messages import Submission
from contracts.passwords import PasswordChangeSubmitted
from contracts.sessions import RefreshSubmitted, SessionEnding, SessionEndRequested, SessionRequested
from infra.postgres.engine import Connection
from infra.secrets import new_password_binding, unseal

_LOCK = "SELECT FROM users WHERE id = ANY($1::uuid[]) ORDER BY id FOR NO KEY UPDATE"

_USERS = "SELECT id, password_version FROM users WHERE id = ANY($1::uuid[])"

_SESSIONS = """
    SELECT id, user_id, client, refresh_hash, previous_hash, started_at, refreshed_at, expires_at, ended_at, ending
    FROM sessions
    WHERE id = ANY($1::uuid[])
    UNION
    SELECT id, user_id, client, refresh_hash, previous_hash, started_at, refreshed_at, expires_at, ended_at, ending
    FROM sessions
    WHERE user_id = ANY($2::uuid[]) AND ended_at IS NULL
"""

_SAVE_PASSWORDS = """
    UPDATE users SET password_hash = changed.hash, password_version = changed.version
    FROM unnest($1::uuid[], $2::text[], $3::int[]) AS changed (id, hash, version)
    WHERE users.id = changed.id
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


async def load_sessions(
    connection: Connection, asked: Sequence[Asked[Submission]], keys: IdentityKeys
) -> dict[UUID, Sessions]:
    """Load, by user, the sessions that submissions are about, and all open ones of those whose password is to change.

    A letter is about none.

    Raises:
        Sealed: a new password's hash cannot be opened: a defect of ours, see ``load_registrations``.
    """
    by_user = {each.message.subject_id: Sessions(user_id=each.message.subject_id) for each in asked}
    for row in await connection.fetch(_USERS, list(by_user)):
        by_user[row["id"]].registered = True
        by_user[row["id"]].password_version = row["password_version"]
    wanted: dict[UUID, set[UUID]] = {}
    changing: set[UUID] = set()
    for each in asked:
        message = each.message
        if isinstance(message, SessionRequested | RefreshSubmitted | SessionEndRequested | PasswordChangeSubmitted):
            wanted.setdefault(message.session_id, set()).add(message.user_id)
        if isinstance(message, PasswordChangeSubmitted):
            changing.add(message.user_id)
            binding = new_password_binding(message.user_id, message.password_version)
            hash_ = unseal(keys.seal, message.sealed_password_hash, bound_to=binding)
            user = by_user[message.user_id]
            user.password_hashes = {**user.password_hashes, each.operation_id: hash_}
    if not wanted:
        return by_user
    for row in await connection.fetch(_SESSIONS, list(wanted), list(changing)):
        owner = {row["user_id"]} if row["user_id"] in changing else set()
        for user_id in wanted.get(row["id"], set()) | owner:
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
    """Write the sessions that began or changed, new passwords, and the mails that are due to their users."""
    if mails := [mail for user in users for mail in user.mails]:
        await insert_user_mails(connection, mails)
    if replaced := sorted((user for user in users if user.password_hash), key=lambda user: user.user_id.bytes):
        await connection.execute(
            _SAVE_PASSWORDS,
            [user.user_id for user in replaced],
            [user.password_hash for user in replaced],
            [user.password_version for user in replaced],
        )
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
