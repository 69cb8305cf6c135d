"""Prepare the PostgreSQL servers: both databases, each with its three roles; run as superuser, again without harm.

Each database may have a server of its own, or both one.
"""

import asyncio
import hashlib
import hmac
import os
import sys
import unicodedata
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeAlias

import asyncpg
from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from infra.settings import PostgresServerSettings, Settings, read

if TYPE_CHECKING:
    Superuser: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

ROLES = ("migrator", "consumer", "gateway")
#: PostgreSQL's own number.
_SCRAM_ITERATIONS = 4096


class UsersServerSettings(PostgresServerSettings):
    """Who may prepare the server of the users database (``CASH_USERS_POSTGRES_…``)."""

    model_config = SettingsConfigDict(env_prefix="CASH_USERS_POSTGRES_")

    user: str = Field("postgres", description="The superuser we sign in as.")


class LedgerServerSettings(PostgresServerSettings):
    """Who may prepare the server of the ledger database (``CASH_LEDGER_POSTGRES_…``)."""

    model_config = SettingsConfigDict(env_prefix="CASH_LEDGER_POSTGRES_")

    user: str = Field("postgres", description="The superuser we sign in as.")


class RolePasswords(Settings):
    """The passwords that the roles of one database get."""

    migrator_password: SecretStr = Field(description="Owns the schema.")
    consumer_password: SecretStr = Field(description="Of whoever writes: consumers, relay, jobs.")
    gateway_password: SecretStr = Field(description="Reads, and nothing else.")

    def of(self, role: str) -> str:
        """Return the password of ``migrator``, ``consumer`` or ``gateway``."""
        secret: SecretStr = getattr(self, f"{role}_password")
        return secret.get_secret_value()


class UsersRolePasswords(RolePasswords):
    """Those of the users database (``CASH_USERS_MIGRATOR_PASSWORD`` and so on)."""

    model_config = SettingsConfigDict(env_prefix="CASH_USERS_")


class LedgerRolePasswords(RolePasswords):
    """Those of the ledger database (``CASH_LEDGER_MIGRATOR_PASSWORD`` and so on)."""

    model_config = SettingsConfigDict(env_prefix="CASH_LEDGER_")


@asynccontextmanager
async def as_superuser(server: PostgresServerSettings, database: str = "postgres") -> "AsyncIterator[Superuser]":
    """Lend a superuser's connection to a database of the server."""
    connection = await asyncpg.connect(
        host=server.host,
        port=server.port,
        user=server.user,
        password=server.password.get_secret_value(),
        database=database,
        ssl=server.tls(),
    )
    try:
        yield connection
    finally:
        await connection.close()


async def bootstrap(server: PostgresServerSettings, database: str, passwords: RolePasswords) -> None:
    """Create what a database (``users`` or ``ledger``) lacks and set its roles' passwords to the given ones.

    It belongs to its migrator; nobody else may connect to it than its own roles. What they may do with which table is
    the migrations' business.
    """
    async with as_superuser(server) as connection:
        for role in ROLES:
            await _ensure_role(connection, f"{database}_{role}", passwords.of(role))
        await ensure_database(connection, database, roles_of=database)


async def _ensure_role(connection: "Superuser", role: str, password: str) -> None:
    known = await connection.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", role)
    # What the server would keep, made here: a server's log shows statements, and these take no parameters.
    verifier = scram_verifier(password, os.urandom(16))
    await connection.execute(f"{'ALTER' if known else 'CREATE'} ROLE {role} LOGIN NOINHERIT PASSWORD '{verifier}'")
    if not await connection.fetchval("SELECT rolsuper FROM pg_roles WHERE rolname = current_user"):
        # A managed server's administrator is none, and may give a database to its own roles only.
        await connection.execute(f"GRANT {role} TO CURRENT_USER WITH INHERIT TRUE, SET TRUE")


def scram_verifier(password: str, salt: bytes) -> str:
    """Return what PostgreSQL keeps of a password (RFC 5803): it can be checked by it, and not be found from it."""
    normalized = unicodedata.normalize("NFKC", password).encode()
    salted = hashlib.pbkdf2_hmac("sha256", normalized, salt, _SCRAM_ITERATIONS)
    client_key, server_key = (hmac.digest(salted, name, "sha256") for name in (b"Client Key", b"Server Key"))
    stored_key = hashlib.sha256(client_key).digest()
    encoded = [b64encode(each).decode() for each in (salt, stored_key, server_key)]
    return f"SCRAM-SHA-256${_SCRAM_ITERATIONS}:{encoded[0]}${encoded[1]}:{encoded[2]}"


async def ensure_database(connection: "Superuser", database: str, *, roles_of: str) -> None:
    """Create a database unless it is there; it belongs to the roles of ``roles_of`` (``users`` or ``ledger``) alone."""
    if not await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", database):
        # Sorted by code point, whatever the server's own default is.
        await connection.execute(
            f"CREATE DATABASE {database} OWNER {roles_of}_migrator TEMPLATE template0 ENCODING 'UTF8' "
            "LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LOCALE 'C'"
        )
    await connection.execute(f"REVOKE ALL ON DATABASE {database} FROM PUBLIC")
    for role in ROLES:
        await connection.execute(f"GRANT CONNECT ON DATABASE {database} TO {roles_of}_{role}")


def main() -> int:
    """Prepare the servers the environment names."""
    servers = (
        ("users", read(UsersServerSettings), read(UsersRolePasswords)),
        ("ledger", read(LedgerServerSettings), read(LedgerRolePasswords)),
    )
    for database, server, passwords in servers:
        try:
            asyncio.run(bootstrap(server, database, passwords))
        except (OSError, asyncpg.PostgresError) as error:
            place = f"{server.host}:{server.port}"
            print(f"The PostgreSQL server {place} could not be prepared for {database}: {error}", file=sys.stderr)
            return 1
        print(f"{database}: database and roles as they should be")
    return 0


if __name__ == "__main__":
    sys.exit(main())
