"""Preparing a PostgreSQL server: a database and its roles, by a superuser or by one who is none."""

import secrets
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from pydantic import SecretStr

from infra.local.stack import LocalStack
from infra.postgres.bootstrap import ROLES, LedgerRolePasswords, LedgerServerSettings, as_superuser, bootstrap
from tests.builders.settings import settings_from

pytestmark = pytest.mark.stack


class Server:
    """The stack's server, and a database of the test's own on it."""

    def __init__(self, settings: LedgerServerSettings) -> None:
        self.settings = settings
        self.database = f"made_{uuid4().hex[:8]}"
        self.administrator = f"{self.database}_administrator"

    async def ask(self, role: str, password: str, question: str) -> Any:
        """Ask the database something as one of its roles."""
        connection = await asyncpg.connect(
            host=self.settings.host,
            port=self.settings.port,
            user=f"{self.database}_{role}",
            password=password,
            database=self.database,
        )
        try:
            return await connection.fetchval(question)
        finally:
            await connection.close()


@pytest.fixture
async def server(stack: LocalStack) -> AsyncIterator[Server]:
    lent = Server(settings_from(stack.environment("bootstrap-postgres"), LedgerServerSettings))
    yield lent
    async with as_superuser(lent.settings) as superuser:
        await superuser.execute(f"DROP DATABASE IF EXISTS {lent.database}")
        for role in (*ROLES, "administrator"):
            if await superuser.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", f"{lent.database}_{role}"):
                await superuser.execute(f"DROP OWNED BY {lent.database}_{role}; DROP ROLE {lent.database}_{role}")


def passwords(each: str = "") -> LedgerRolePasswords:
    made = {f"{role}_password": each or secrets.token_urlsafe(8) for role in ROLES}
    return LedgerRolePasswords.model_validate(made)


@pytest.mark.parametrize("password", ["a plain one", 'it\'s \\ "quoted"', "Straße ① ﬁn"])
async def test_roles_sign_in_with_the_passwords_they_were_given(server: Server, password: str) -> None:
    await bootstrap(server.settings, server.database, passwords(password))

    for role in ROLES:
        assert await server.ask(role, password, "SELECT current_user") == f"{server.database}_{role}"
    with pytest.raises(asyncpg.InvalidPasswordError):
        await server.ask("gateway", f"{password}!", "SELECT 1")


async def test_another_password_replaces_the_one_before(server: Server) -> None:
    before, after = passwords(), passwords()
    await bootstrap(server.settings, server.database, before)
    await bootstrap(server.settings, server.database, after)

    assert await server.ask("consumer", after.of("consumer"), "SELECT 1") == 1
    with pytest.raises(asyncpg.InvalidPasswordError):
        await server.ask("consumer", before.of("consumer"), "SELECT 1")


async def test_database_sorts_by_code_point_and_is_closed_to_all_others(server: Server) -> None:
    given = passwords()
    await bootstrap(server.settings, server.database, given)

    sorting = "SELECT string_agg(word, ' ' ORDER BY word) FROM unnest('{b,Z,a,É}'::text[]) word"
    order = await server.ask("gateway", given.of("gateway"), sorting)

    assert order == "Z a b É"
    async with as_superuser(server.settings) as superuser:
        assert not await superuser.fetchval(
            "SELECT has_database_privilege('users_gateway', $1, 'CONNECT')", server.database
        )


async def test_administrator_who_is_no_superuser_can_prepare_a_managed_server(server: Server) -> None:
    password, given = secrets.token_urlsafe(8), passwords()
    async with as_superuser(server.settings) as superuser:
        await superuser.execute(f"CREATE ROLE {server.administrator} LOGIN CREATEDB CREATEROLE PASSWORD '{password}'")
    managed = server.settings.model_copy(update={"user": server.administrator, "password": SecretStr(password)})

    await bootstrap(managed, server.database, given)
    await bootstrap(managed, server.database, given)

    assert await server.ask("migrator", given.of("migrator"), "CREATE TABLE made (id int)") is None
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await server.ask("gateway", given.of("gateway"), "CREATE TABLE also_made (id int)")
