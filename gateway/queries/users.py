"""Read users from the users database."""

from collections.abc import Iterable
from uuid import UUID

import msgspec

from contracts.text import name_key
from infra.postgres.engine import Database


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """A user, as a token describes one."""

    id: UUID
    username: str
    base_currency: str
    time_zone: str


class Password(msgspec.Struct, frozen=True):
    """A user's password as it is stored: its hash, and how often it was chosen anew."""

    hash: str
    version: int

    def __repr__(self) -> str:
        """Show which it is, and nothing of it."""
        return f"Password(version={self.version})"


_BY_NAME = """
SELECT id, username, base_currency, time_zone, password_hash, password_version FROM users WHERE username_key = $1
"""
_PASSWORD = "SELECT password_hash, password_version FROM users WHERE id = $1"  # noqa: S105  # a statement
_BY_ADDRESS = "SELECT id FROM users WHERE email_key = $1"
_NAMES = "SELECT id, username FROM users WHERE id = ANY($1::uuid[])"


async def find_by_username(users: Database, username: str) -> tuple[Person, Password] | None:
    """Find the user of this name, however it is spelled, with the password as it is stored."""
    async with users.connection("find a user") as connection:
        row = await connection.fetchrow(_BY_NAME, name_key(username))
    if row is None:
        return None
    fields = dict(row)
    password = Password(fields["password_hash"], fields["password_version"])
    return Person(**{name: fields[name] for name in Person.__struct_fields__}), password


async def find_password(users: Database, user_id: UUID) -> Password | None:
    """Find somebody's password as it is stored."""
    async with users.connection("find a password") as connection:
        row = await connection.fetchrow(_PASSWORD, user_id)
    return Password(row["password_hash"], row["password_version"]) if row else None


async def find_by_address(users: Database, email_key: str) -> UUID | None:
    """Find whose address this is, by its :func:`contracts.text.email_key`; whoever asks must not tell."""
    async with users.connection("find a user by address") as connection:
        user_id: UUID | None = await connection.fetchval(_BY_ADDRESS, email_key)
    return user_id


async def find_usernames(users: Database, user_ids: Iterable[UUID]) -> dict[UUID, str]:
    """Find what users are called, by their ids; those there are not are missing."""
    wanted = list(set(user_ids))
    if not wanted:
        return {}
    async with users.connection("find usernames") as connection:
        rows = await connection.fetch(_NAMES, wanted)
    return {row["id"]: row["username"] for row in rows}
