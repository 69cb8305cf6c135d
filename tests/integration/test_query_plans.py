"""How PostgreSQL means to answer our statements, on tables that are nearly empty, where it likes to read them whole."""

import importlib
import pkgutil
from collections.abc import AsyncIterator, Iterator
from types import ModuleType
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

import consumers.jobs
import consumers.repositories
import gateway.queries
from infra.local.stack import LocalStack
from infra.postgres.engine import Database
from infra.settings import LedgerDatabaseSettings, UsersDatabaseSettings
from tests.builders.plans import plan_of
from tests.builders.settings import settings_from

pytestmark = pytest.mark.stack

VERBS = ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")


def statements(room: ModuleType) -> Iterator[Any]:
    """Yield every statement that is a constant of a module of this room."""
    for found in pkgutil.iter_modules(room.__path__, f"{room.__name__}."):
        module = importlib.import_module(found.name)
        for name, value in vars(module).items():
            if type(value) is str and value.lstrip().startswith(VERBS):
                yield pytest.param(value, id=f"{found.name}.{name}")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def databases(stack: LocalStack) -> AsyncIterator[list[Database]]:
    environment = stack.environment("celery-worker")
    databases = [
        Database(settings_from(environment, settings), application="tests")
        for settings in (LedgerDatabaseSettings, UsersDatabaseSettings)
    ]
    for database in databases:
        await database.start()
    yield databases
    for database in databases:
        await database.stop()


@pytest.mark.parametrize(
    "statement",
    [each for room in (gateway.queries, consumers.repositories, consumers.jobs) for each in statements(room)],
)
async def test_no_statement_is_planned_to_read_a_whole_table(databases: list[Database], statement: str) -> None:
    plans = []
    for database in databases:
        try:
            plans.append(await plan_of(database, statement))
        except (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError, asyncpg.InsufficientPrivilegeError):
            continue  # the other database's

    assert plans
    for plan in plans:
        assert "Seq Scan" not in plan
        assert "Hash Join" not in plan
