"""Read what the databases hold about a person besides their ledgers: for whoever asks for a copy of it."""

from datetime import datetime
from uuid import UUID

import msgspec

from contracts.members import Role
from contracts.messages import OperationState
from contracts.sessions import SessionEnding
from gateway.queries.users import find_usernames
from infra.mail.letters import subject_of
from infra.postgres.engine import Database

#: So many of each kind, the newest first; nobody of good will has as many sessions or mails.
ROWS_MAX = 10_000


class HeldUser(msgspec.Struct, kw_only=True):
    """A user as stored, but for the password, of which only how often it was chosen is told."""

    id: UUID
    username: str
    email: str
    base_currency: str
    time_zone: str
    registered_at: datetime
    password_version: int


class HeldRegistration(msgspec.Struct, kw_only=True):
    """A registration of the person's address: the one that became the user, and any other that somebody began."""

    id: UUID
    email: str
    base_currency: str
    time_zone: str
    state: str
    codes_sent: int
    created_at: datetime
    became_user: bool


class HeldSession(msgspec.Struct, kw_only=True):
    """A session, open or over."""

    id: UUID
    client: str
    started_at: datetime
    refreshed_at: datetime
    expires_at: datetime
    ended_at: datetime | None
    ending: SessionEnding | None


class HeldMail(msgspec.Struct, kw_only=True):
    """A mail to the person, and when it was asked for and ended (``state`` says how)."""

    kind: str
    subject: str
    state: str
    asked_at: datetime
    ended_at: datetime | None


class HeldInvitation(msgspec.Struct, kw_only=True):
    """An invitation of the person into a ledger, open or over."""

    id: UUID
    ledger_id: UUID
    role: Role
    invited_by: str | None
    invited_at: datetime
    expires_at: datetime
    ending: str | None
    ended_at: datetime | None


class HeldOperation(msgspec.Struct, kw_only=True):
    """Something the person asked about themselves: signing in, staying in, leaving, another password, a letter."""

    id: UUID
    at: datetime
    noun: str
    status: OperationState
    code: str | None
    idempotency_key: str | None


class PersonalData(msgspec.Struct, kw_only=True):
    """What is held about a person besides their ledgers; of the password and of tokens nothing."""

    user: HeldUser
    registrations: list[HeldRegistration]
    sessions: list[HeldSession]
    mails: list[HeldMail]
    invitations: list[HeldInvitation]
    operations: list[HeldOperation]


_USER = """
SELECT id, username, email, base_currency, time_zone, registered_at, password_version, email_key, registration_id
FROM users WHERE id = $1
"""
_REGISTRATIONS = """
SELECT id, email, base_currency, time_zone, state, issue AS codes_sent, created_at, user_id IS NOT NULL AS became_user
FROM registrations WHERE email_key = $1 AND state IS NOT NULL ORDER BY created_at DESC, id LIMIT $2
"""
_SESSIONS = """
SELECT id, client, started_at, refreshed_at, expires_at, ended_at, ending
FROM sessions WHERE user_id = $1 ORDER BY started_at DESC, id LIMIT $2
"""
_MAILS = """
SELECT mails.kind, inviter.username AS invited_by, mails.state, mails.created_at AS asked_at, mails.ended_at
FROM mails LEFT JOIN users inviter ON inviter.id = mails.inviter_id
WHERE mails.user_id = $1
UNION ALL
SELECT mails.kind, NULL, mails.state, mails.created_at, mails.ended_at
FROM registrations JOIN mails ON mails.registration_id = registrations.id
WHERE registrations.email_key = $2
ORDER BY asked_at DESC LIMIT $3
"""
_OPERATIONS = """
SELECT id, recorded_at AS at, noun, state AS status, refusal_code AS code, idempotency_key
FROM operations WHERE user_id = $1 ORDER BY recorded_at DESC, id DESC LIMIT $2
"""
_INVITATIONS = """
SELECT id, ledger_id, role, user_id, recorded_at AS invited_at, expires_at, ending, ended_at
FROM invitations WHERE invited_user_id = $1 ORDER BY recorded_at DESC, id LIMIT $2
"""


async def find_personal_data(users: Database, ledger: Database, user_id: UUID) -> PersonalData | None:
    """Find what is held about somebody, each kind the newest first, at most :data:`ROWS_MAX`; ``None`` for nobody."""
    async with users.connection("read somebody's data") as connection:
        user = await connection.fetchrow(_USER, user_id)
        if user is None:
            return None
        registrations = await connection.fetch(_REGISTRATIONS, user["email_key"], ROWS_MAX)
        sessions = await connection.fetch(_SESSIONS, user_id, ROWS_MAX)
        mails = await connection.fetch(_MAILS, user_id, user["email_key"], ROWS_MAX)
        operations = await connection.fetch(_OPERATIONS, user_id, ROWS_MAX)
    async with ledger.connection("read somebody's invitations") as connection:
        invitations = await connection.fetch(_INVITATIONS, user_id, ROWS_MAX)
    inviters = await find_usernames(users, (row["user_id"] for row in invitations))
    fields = dict(user)
    return PersonalData(
        user=HeldUser(**{name: fields[name] for name in HeldUser.__struct_fields__}),
        registrations=[HeldRegistration(**row) for row in registrations],
        sessions=[HeldSession(**row) for row in sessions],
        mails=[
            HeldMail(
                kind=row["kind"],
                subject=subject_of(row["kind"], row["invited_by"]),
                state=row["state"],
                asked_at=row["asked_at"],
                ended_at=row["ended_at"],
            )
            for row in mails
        ],
        invitations=[
            HeldInvitation(
                **{name: value for name, value in row.items() if name != "user_id"},
                invited_by=inviters.get(row["user_id"]),
            )
            for row in invitations
        ],
        operations=[HeldOperation(**row) for row in operations],
    )
