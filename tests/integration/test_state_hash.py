"""The state hash on the real PostgreSQL: one history has one hash, and whatever differs changes it."""

from collections.abc import AsyncIterator, Sequence
from random import Random
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from contracts.messages import LedgerEntry
from infra.local.stack import LocalStack
from infra.postgres.engine import Database, reading_whole_tables
from infra.postgres.state_hash import STATE_TABLES, StateHash, hash_state
from tests.builders.books import cut
from tests.builders.histories import Household
from tests.builders.ledger_database import LedgerDatabase, a_ledger_database
from tests.builders.lived_in import LivedIn

pytestmark = pytest.mark.stack


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def ledger(stack: LocalStack) -> AsyncIterator[LedgerDatabase]:
    async with a_ledger_database(stack) as database:
        yield database


async def state_of(database: Database, ledger_ids: Sequence[UUID] | None = None) -> StateHash:
    async with (
        database.connection("hash") as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        await reading_whole_tables(connection)
        return await hash_state(connection, ledger_ids)


async def test_a_history_has_one_hash_in_batches_of_any_size(ledger: LedgerDatabase) -> None:
    home, household = LivedIn(), Household(Random(7), uuid4(), uuid4(), uuid4())
    household.live(150)
    journal = [*home.journal, *(entry for entry in household.journal if isinstance(entry, LedgerEntry))]

    hashes = []
    for sizes in ([], [1] * len(journal), [7] * len(journal), [1, 100, 2, 3]):
        await ledger.take(cut(journal, sizes))
        hashes.append(await state_of(ledger.consumer))
        for ledger_id in (home.ledger_id, household.ledger_id):
            await ledger.forget(ledger_id)

    assert hashes[0].rows["ledgers"] == 2
    assert all(hashes[0].rows.values())
    for other in hashes[1:]:
        assert hashes[0].differing(other) == []
        assert other.total == hashes[0].total
    assert (await state_of(ledger.consumer)).total != hashes[0].total


@pytest.mark.parametrize("table", [table.name for table in STATE_TABLES if table.name != "ledgers"])
async def test_a_row_more_or_less_changes_the_hash_of_its_table(ledger: LedgerDatabase, table: str) -> None:
    home = LivedIn()
    await ledger.take([home.journal])
    before = await state_of(ledger.consumer)
    async with ledger.migrator.connection("do damage") as connection:
        await connection.execute(
            f"DELETE FROM {table} WHERE ctid = (SELECT ctid FROM {table} WHERE ledger_id = $1 LIMIT 1)", home.ledger_id
        )

    after = await state_of(ledger.consumer)

    await ledger.forget(home.ledger_id)
    assert before.differing(after) == [table]
    assert before.total != after.total
    assert before.rows[table] == after.rows[table] + 1


async def test_every_column_counts(ledger: LedgerDatabase) -> None:
    home = LivedIn()
    await ledger.take([home.journal])
    before = await state_of(ledger.consumer)
    async with ledger.migrator.connection("do damage") as connection:
        await connection.execute("UPDATE ledgers SET name = name || ' ' WHERE id = $1", home.ledger_id)
        await connection.execute(
            "UPDATE transactions SET booked_at = booked_at + interval '1 microsecond' WHERE ledger_id = $1",
            home.ledger_id,
        )
        await connection.execute(
            "UPDATE changes SET detail = detail || '{\"more\": null}' WHERE ledger_id = $1", home.ledger_id
        )

    assert before.differing(await state_of(ledger.consumer)) == ["changes", "ledgers", "transactions"]
    await ledger.forget(home.ledger_id)


async def test_one_ledger_has_a_hash_of_its_own(ledger: LedgerDatabase) -> None:
    one, other = LivedIn(), LivedIn()
    await ledger.take([one.journal])
    alone = await state_of(ledger.consumer)

    await ledger.take([other.journal])

    assert await state_of(ledger.consumer, [one.ledger_id]) == alone
    assert await state_of(ledger.consumer, [other.ledger_id]) != alone
    for home in (one, other):
        await ledger.forget(home.ledger_id)


async def test_what_no_entry_says_is_not_state(ledger: LedgerDatabase) -> None:
    before = await state_of(ledger.consumer)
    async with ledger.consumer.connection("insert") as connection:
        await connection.execute("INSERT INTO ledgers (id) VALUES ($1)", uuid4())
        await connection.execute("INSERT INTO outbox (topic, message_count, messages) VALUES ('t', 1, 'x')")
        await connection.execute(
            "INSERT INTO operations (id, subject_id, noun, state, request_hash, recorded_at, source_topic,"
            " source_partition, source_offset) VALUES ($1, $1, 'transaction', 'refused', 'x', now(), 't', 0, 0)",
            uuid4(),
        )

    assert await state_of(ledger.consumer) == before
