"""Read users from the users database."""

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


_BY_NAME = "SELECT id, username, base_currency, time_zone, password_hash FROM users WHERE username_key = $1"


async def find_by_username(users: Database, username: str) -> tuple[Person, str] | None:
    """Find the user of this name, however it is spelled, with the hash of the password."""
    async with users.connection("find a user") as connection:
        row = await connection.fetchrow(_BY_NAME, name_key(username))
    if row is None:
        return None
    fields = dict(row)
    return Person(**{name: fields[name] for name in Person.__struct_fields__}), fields["password_hash"]
