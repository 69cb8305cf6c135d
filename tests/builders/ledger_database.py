"""A ledger database of a test's own on the stack's server, and entries written into it as a rebuild does."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID, uuid4

from consumers.repositories.books import BooksRepository
from contracts.messages import LedgerEntry
from infra.local.stack import LocalStack
from infra.postgres.bootstrap import LedgerServerSettings, as_superuser, ensure_database
from infra.postgres.engine import Database
from infra.postgres.ledger_tables import metadata
from infra.postgres.migrate import migrate
from infra.settings import LedgerDatabaseSettings
from tests.builders.settings import settings_from


@dataclass(frozen=True)
class LedgerDatabase:
    """The database as the consumer may use it, and as the migrator may, who can do damage."""

    consumer: Database
    migrator: Database

    async def take(self, batches: Iterable[Sequence[LedgerEntry]]) -> None:
        """Write journal entries, a database transaction for each batch."""
        repository = BooksRepository()
        for batch in batches:
            async with self.consumer.transaction("take entries") as connection:
                books = await repository.load_for_entries(connection, batch)
                for entry in batch:
                    books[entry.ledger_id].enter([entry])
                await repository.save(connection, books.values(), ())

    async def forget(self, ledger_id: UUID) -> None:
        """Delete all rows of a ledger, which only a migrator can."""
        async with self.migrator.transaction("forget a ledger") as connection:
            for table in reversed(metadata.sorted_tables):
                if "ledger_id" in table.columns:
                    await connection.execute(f"DELETE FROM {table.name} WHERE ledger_id = $1", ledger_id)
            await connection.execute("DELETE FROM ledgers WHERE id = $1", ledger_id)


@asynccontextmanager
async def a_ledger_database(stack: LocalStack) -> AsyncIterator[LedgerDatabase]:
    """Create and migrate a database, lend it, drop it."""
    name = f"ledger_{uuid4().hex[:12]}"
    async with as_superuser(settings_from(stack.environment("bootstrap-postgres"), LedgerServerSettings)) as superuser:
        await ensure_database(superuser, name, roles_of="ledger")
        try:
            owner, user = (
                settings_from(stack.environment(process), LedgerDatabaseSettings).model_copy(update={"name": name})
                for process in ("migrate", "ledger-consumer")
            )
            await asyncio.to_thread(migrate, [(owner, "ledger")])
            consumer, migrator = Database(user, application="tests"), Database(owner, application="tests")
            await consumer.start()
            await migrator.start()
            try:
                yield LedgerDatabase(consumer, migrator)
            finally:
                await consumer.stop()
                await migrator.stop()
        finally:
            await superuser.execute(f"DROP DATABASE {name} WITH (FORCE)")
