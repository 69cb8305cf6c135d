"""What the tests of the read side share: the databases as the gateway reads them, and the ledger as it is written.

A module has connections of its own: other modules kill the server under theirs.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio

from infra.local.stack import LocalStack
from infra.postgres.engine import Database
from infra.settings import LedgerDatabaseSettings, PostgresSettings, UsersDatabaseSettings
from tests.builders.ledger_rows import LedgerRows, Write
from tests.builders.settings import settings_from


@asynccontextmanager
async def _opened(stack: LocalStack, process: str, settings: type[PostgresSettings]) -> AsyncIterator[Database]:
    database = Database(settings_from(stack.environment(process), settings), application="tests")
    await database.start()
    yield database
    await database.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def ledger_reading(stack: LocalStack) -> AsyncIterator[Database]:
    """The ledger database, as the gateway may read it."""
    async with _opened(stack, "gateway", LedgerDatabaseSettings) as database:
        yield database


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def users_reading(stack: LocalStack) -> AsyncIterator[Database]:
    """The users database, as the gateway may read it."""
    async with _opened(stack, "gateway", UsersDatabaseSettings) as database:
        yield database


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def ledger_writing(stack: LocalStack) -> AsyncIterator[Database]:
    """The ledger database, as its consumer may write it."""
    async with _opened(stack, "ledger-consumer", LedgerDatabaseSettings) as database:
        yield database


@pytest.fixture(scope="module")
def write(ledger_writing: Database) -> Write:
    """Write what was not written yet of a ledger's rows."""

    async def write(rows: LedgerRows) -> None:
        async with ledger_writing.connection("write rows") as connection:
            await rows.write(connection)

    return write
