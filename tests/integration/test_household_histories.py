"""Whole histories of many households in the real database, mixed and cut at random: the same as decided one by one."""

import os
from collections.abc import AsyncIterator
from random import Random
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from consumers.domain.books import Books
from consumers.repositories.books import BooksRepository
from contracts.messages import JournalEntry
from infra.local.stack import LocalStack
from infra.postgres.engine import Connection, Database
from infra.postgres.ledger_checks import check_ledgers
from infra.settings import LedgerDatabaseSettings
from tests.builders.books import decide
from tests.builders.histories import Act, Household
from tests.builders.settings import settings_from

pytestmark = pytest.mark.stack

SEED = int(os.environ.get("CASH_HISTORIES_SEED", Random().randrange(10**6)))
HOUSEHOLDS = 60
LENGTH = 40
REPOSITORY = BooksRepository()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def ledger(stack: LocalStack) -> AsyncIterator[Database]:
    settings = settings_from(stack.environment("ledger-consumer"), LedgerDatabaseSettings)
    database = Database(settings, application="tests")
    await database.start()
    yield database
    await database.stop()


async def take_batch(connection: Connection, batch: list[Act]) -> dict[UUID, Books]:
    """Do with a batch what delivery does, but for operations and outbox, with each act's own clock."""
    received = [SimpleNamespace(message=act.message, envelope=SimpleNamespace(user_id=act.user_id)) for act in batch]
    await REPOSITORY.lock(connection, cast(Any, received))
    books = await REPOSITORY.load(connection, [act.asked() for act in batch])
    for act in batch:
        state = books[act.message.subject_id]
        state.apply(act.asked(), decide(act.asked(), state))
    await REPOSITORY.save(connection, books.values(), ())
    return books


def mixed(households: list[Household], chance: Random) -> list[Act]:
    """Mix the acts of households; those of one keep their order."""
    turns = [household for household in households for _ in household.acts]
    chance.shuffle(turns)
    left = {household.ledger_id: iter(household.acts) for household in households}
    return [next(left[household.ledger_id]) for household in turns]


async def test_histories_in_the_database_are_those_decided_one_by_one(ledger: Database) -> None:
    print(f"CASH_HISTORIES_SEED={SEED}")
    chance = Random(SEED)
    households = [Household(Random(f"{SEED} {n}"), uuid4(), uuid4(), uuid4()) for n in range(HOUSEHOLDS)]
    for household in households:
        household.live(LENGTH)
    acts = mixed(households, chance)

    journals: dict[UUID, list[JournalEntry]] = {household.ledger_id: [] for household in households}
    at = 0
    while at < len(acts):
        size = chance.choice([1, 2, 7, 30, 200])
        async with ledger.transaction("take a batch") as connection:
            for ledger_id, books in (await take_batch(connection, acts[at : at + size])).items():
                journals[ledger_id] += books.journal
        at += size

    for household in households:
        assert journals[household.ledger_id] == household.journal
    assert await check_ledgers(ledger, [household.ledger_id for household in households]) == []
    await assert_rows_are_as_the_books(ledger, households)


async def assert_rows_are_as_the_books(ledger: Database, households: list[Household]) -> None:
    """What stands in the tables is what stands in the books of a household that was decided in memory."""
    async with ledger.connection("read what stands") as connection:
        for household in households:
            books, ledger_id = household.books.after(()), household.ledger_id
            heads = await connection.fetch(
                "SELECT id, version, state_of, revision, deleted, description, payee, tags, note, status, amount_minor "
                "FROM transactions WHERE ledger_id = $1",
                ledger_id,
            )
            assert len(heads) == len(books.transaction_ids)
            for head in heads:
                state = books.find_transaction(head["id"])
                assert state is not None
                kept = state.annotations
                assert tuple(head) == (
                    state.id, state.version, state.state_of, state.revision, state.deleted, kept.description,
                    kept.payee, list(kept.tags), kept.note, kept.status, state.amount_minor,
                )  # fmt: skip
            tags = await connection.fetch(
                "SELECT transaction_id, count(*) FROM transaction_tags WHERE ledger_id = $1 GROUP BY 1", ledger_id
            )
            assert dict(map(tuple, tags)) == {
                head["id"]: len(head["tags"]) for head in heads if head["tags"] and not head["deleted"]
            }
            versions = await connection.fetchval(
                "SELECT count(*) FROM transaction_versions WHERE ledger_id = $1", ledger_id
            )
            assert versions == sum(map(len, books.earlier_transactions.values()))
            accounts = await connection.fetch(
                "SELECT id, name, closed, merged_into, version, state_of, root_id FROM accounts WHERE ledger_id = $1",
                ledger_id,
            )
            for row in accounts:
                account, root = books.account(row["id"]), books.find_account(row["id"])
                assert account is not None
                assert root is not None
                assert tuple(row) == (
                    account.id, account.name, account.closed, account.merged_into, account.version, account.state_of,
                    root.id,
                )  # fmt: skip
            members = await connection.fetch("SELECT user_id, role FROM members WHERE ledger_id = $1", ledger_id)
            assert dict(map(tuple, members)) == books.roles
