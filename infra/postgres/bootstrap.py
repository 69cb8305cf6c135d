"""Prepare a PostgreSQL server: the six roles and two databases; run as superuser, again without harm."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Literal, TypeAlias

import asyncpg
from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from infra.settings import Settings, read

if TYPE_CHECKING:
    Superuser: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

DATABASES = ("users", "ledger")
ROLES = ("migrator", "consumer", "gateway")


class SuperuserSettings(Settings):
    """Who may prepare the server (``CASH_POSTGRES_…``)."""

    model_config = SettingsConfigDict(env_prefix="CASH_POSTGRES_")

    host: str
    port: int = 5432
    user: str = "postgres"
    password: SecretStr
    sslmode: Literal["disable", "prefer", "require", "verify-ca", "verify-full"] = "prefer"


class RolePasswords(Settings):
    """The passwords the roles get (``CASH_USERS_MIGRATOR_PASSWORD`` and so on)."""

    model_config = SettingsConfigDict(env_prefix="CASH_")

    users_migrator_password: SecretStr = Field(description="Owns the schema of the users database.")
    users_consumer_password: SecretStr = Field(description="Of the identity consumer, relay and jobs.")
    users_gateway_password: SecretStr = Field(description="Reads, and nothing else.")
    ledger_migrator_password: SecretStr = Field(description="Owns the schema of the ledger database.")
    ledger_consumer_password: SecretStr = Field(description="Of the ledger consumer and relay.")
    ledger_gateway_password: SecretStr = Field(description="Reads, and nothing else.")

    def of(self, role: str) -> str:
        """Return the password of a role such as ``users_migrator``."""
        secret: SecretStr = getattr(self, f"{role}_password")
        return secret.get_secret_value()


@asynccontextmanager
async def as_superuser(server: SuperuserSettings, database: str = "postgres") -> "AsyncIterator[Superuser]":
    """Lend a superuser's connection to a database of the server."""
    connection = await asyncpg.connect(
        host=server.host,
        port=server.port,
        user=server.user,
        password=server.password.get_secret_value(),
        database=database,
        ssl=server.sslmode,
    )
    try:
        yield connection
    finally:
        await connection.close()


async def bootstrap(server: SuperuserSettings, passwords: RolePasswords) -> None:
    """Create what is missing and set every role's password to the given one.

    Each database belongs to its migrator; nobody else may connect to it than its own roles. What they may
    do with which table is the migrations' business.
    """
    async with as_superuser(server) as connection:
        for database in DATABASES:
            for role in ROLES:
                await _ensure_role(connection, f"{database}_{role}", passwords.of(f"{database}_{role}"))
            await ensure_database(connection, database, roles_of=database)


async def _ensure_role(connection: "Superuser", role: str, password: str) -> None:
    known = await connection.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", role)
    # CREATE and ALTER ROLE take no parameters, so PostgreSQL itself quotes the password.
    quoted = await connection.fetchval("SELECT quote_literal($1::text)", password)
    await connection.execute(f"{'ALTER' if known else 'CREATE'} ROLE {role} LOGIN NOINHERIT PASSWORD {quoted}")


async def ensure_database(connection: "Superuser", database: str, *, roles_of: str) -> None:
    """Create a database unless it is there; it belongs to the roles of ``roles_of`` (``users`` or ``ledger``) alone."""
    if not await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", database):
        await connection.execute(f"CREATE DATABASE {database} OWNER {roles_of}_migrator")
    await connection.execute(f"REVOKE ALL ON DATABASE {database} FROM PUBLIC")
    for role in ROLES:
        await connection.execute(f"GRANT CONNECT ON DATABASE {database} TO {roles_of}_{role}")


def main() -> int:
    """Prepare the server the environment names."""
    server, passwords = read(SuperuserSettings), read(RolePasswords)
    try:
        asyncio.run(bootstrap(server, passwords))
    except (OSError, asyncpg.PostgresError) as error:
        print(f"The PostgreSQL server {server.host}:{server.port} could not be prepared: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
