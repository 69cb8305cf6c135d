"""Books on the real PostgreSQL: saved, loaded again, with right totals, by batches that do not hinder each other."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import date
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID, uuid4

import asyncpg
import pytest
import pytest_asyncio

from consumers.domain.accounts import Account
from consumers.domain.books import Books
from consumers.domain.decisions import Asked
from consumers.records import Received, receive
from consumers.repositories.books import BooksRepository
from contracts.accounts import AccountKind
from contracts.ledgers import personal_ledger_id
from contracts.members import Role
from contracts.messages import JournalEntry
from contracts.text import NAME_LENGTH_MAX
from contracts.transactions import TransactionSubmitted
from infra.errors import Unavailable
from infra.local.stack import LocalStack
from infra.postgres.engine import Connection, Database
from infra.postgres.ledger_checks import check_ledgers
from infra.settings import LedgerDatabaseSettings
from tests.builders.books import cut, reloaded, take
from tests.builders.settings import settings_from
from tests.builders.submissions import a_record, a_submission

pytestmark = pytest.mark.stack

REPOSITORY = BooksRepository()


async def opened(stack: LocalStack, process: str) -> AsyncIterator[Database]:
    database = Database(settings_from(stack.environment(process), LedgerDatabaseSettings), application="tests")
    await database.start()
    yield database
    await database.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def ledger(stack: LocalStack) -> AsyncIterator[Database]:
    """The ledger database as the consumer may use it."""
    async for database in opened(stack, "ledger-consumer"):
        yield database


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def readable(stack: LocalStack) -> AsyncIterator[Database]:
    """The ledger database as the gateway may use it."""
    async for database in opened(stack, "gateway"):
        yield database


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def owned(stack: LocalStack) -> AsyncIterator[Database]:
    """The ledger database as its migrator may use it: whoever has this role can do damage."""
    async for database in opened(stack, "migrate"):
        yield database


def received_of(user_id: UUID, number: int = 0, **fields: Any) -> Received:
    """Return a submission as delivery has read it."""
    record = a_record(a_submission(user_id, **fields), user_id, key=f"key-{number}")
    consumed = {"partition": 0, "offset": number, "timestamp": 0, "topic": record.topic, "headers": record.headers}
    return receive(cast(Any, SimpleNamespace(**consumed, key=record.key, value=record.value)))


async def save(connection: Connection, received: Sequence[Received]) -> dict[UUID, Books]:
    """Do with a batch what delivery does, but for the operations and the outbox, and return the books."""
    await REPOSITORY.lock(connection, received)
    recorded_at = await connection.fetchval("SELECT clock_timestamp()")
    asked = cast(list[Asked[TransactionSubmitted]], [each.asked(recorded_at) for each in received])
    books = await REPOSITORY.load(connection, cast(Any, asked))
    decided: list[Any] = [(each, take(books[each.message.ledger_id], each)[0]) for each in asked]
    await REPOSITORY.save(connection, books.values(), decided)
    return books


async def record(database: Database, batches: Iterable[Sequence[Received]]) -> list[JournalEntry]:
    """Save batches one after the other, a database transaction each, and return all their entries."""
    journal: list[JournalEntry] = []
    for batch in batches:
        async with database.transaction("save a batch") as connection:
            for books in (await save(connection, batch)).values():
                journal += books.journal
    return journal


async def load(database: Database, *received: Received) -> dict[UUID, Books]:
    async with database.transaction("load books") as connection:
        recorded_at = await connection.fetchval("SELECT clock_timestamp()")
        return await REPOSITORY.load(connection, [each.asked(recorded_at) for each in received])


def a_history(user_id: UUID, length: int, seed: int = 5) -> list[Received]:
    chance = random.Random(seed)
    return [
        received_of(
            user_id,
            number,
            amount=f"{chance.randrange(1, 10**6)}.{chance.randrange(100):02d}",
            category=chance.choice(["Groceries", "Rent", "GROCERIES", "Salary", "Cash"]),
            kind=chance.choice([None, "expense", "income"]),
            booked=date(2024 + chance.randrange(2), chance.randrange(1, 13), chance.randrange(1, 29)),
        )
        for number in range(length)
    ]


async def test_what_was_saved_is_loaded_again(ledger: Database) -> None:
    user_id = uuid4()
    history = a_history(user_id, 60)

    journal = await record(ledger, cut(history, [1, 7, 2, 30]))

    (loaded,) = (await load(ledger, *history)).values()
    remembered = reloaded(Books(personal_ledger_id(user_id)).after(journal))
    for not_cited in (remembered.transactions, remembered.changes, remembered.balances):
        not_cited.clear()
    assert loaded == remembered


async def test_totals_are_the_sums_of_the_postings_however_a_history_is_cut(ledger: Database) -> None:
    ann, bob = uuid4(), uuid4()

    await record(ledger, cut(a_history(ann, 60), [1, 7, 2, 30]))
    await record(ledger, [a_history(bob, 60)])

    assert await check_ledgers(ledger, [personal_ledger_id(ann), personal_ledger_id(bob)]) == []
    totals = """
        SELECT name, month, incoming_minor, outgoing_minor
        FROM monthly_balances JOIN accounts ON (accounts.ledger_id, id) = (monthly_balances.ledger_id, account_id)
        WHERE accounts.ledger_id = $1 ORDER BY 1, 2
    """
    async with ledger.connection("read totals") as connection:
        anns, bobs = [await connection.fetch(totals, personal_ledger_id(user_id)) for user_id in (ann, bob)]
    assert anns == bobs


async def test_only_what_is_named_is_loaded_and_merges_are_followed(ledger: Database, owned: Database) -> None:
    user_id = uuid4()
    ledger_id = personal_ledger_id(user_id)
    names = ["Lunch", "Meals", "Food", "Rent"]
    await record(ledger, [[received_of(user_id, number, category=name) for number, name in enumerate(names)]])
    async with owned.connection("merge accounts") as connection:
        for name, into in (("lunch", "meals"), ("meals", "food")):
            await connection.execute(
                """
                UPDATE accounts SET closed = true, merged_into = (
                    SELECT id FROM accounts WHERE ledger_id = $1 AND name_key = $3
                ) WHERE ledger_id = $1 AND name_key = $2
                """,
                ledger_id,
                name,
                into,
            )

    books = (await load(ledger, received_of(user_id, 9, category=" LUNCH ")))[ledger_id]

    found = books.find_account("Lunch")
    assert isinstance(found, Account)
    assert (found.name_key, found.kind, found.closed) == ("food", AccountKind.EXPENSE, False)
    assert books.find_account("Rent") is None
    assert books.find_account(books.default_account_id) is not None


async def test_books_of_a_ledger_that_does_not_exist_are_empty(ledger: Database) -> None:
    nowhere = uuid4()

    books = await load(ledger, received_of(uuid4(), ledger_id=nowhere))

    assert books == {nowhere: Books(nowhere)}


async def test_only_the_senders_own_ledger_is_inserted_to_be_locked(ledger: Database) -> None:
    user_id, nowhere = uuid4(), uuid4()

    async with ledger.transaction("lock") as connection:
        await REPOSITORY.lock(connection, [received_of(user_id), received_of(user_id, ledger_id=nowhere)])
        found = await connection.fetch(
            "SELECT id, sequence FROM ledgers WHERE id = ANY ($1)", [nowhere, personal_ledger_id(user_id)]
        )

    assert [tuple(row) for row in found] == [(personal_ledger_id(user_id), 0)]


async def test_a_member_who_only_reads_is_loaded_with_that_role(ledger: Database, owned: Database) -> None:
    ann, bob = uuid4(), uuid4()
    ledger_id = personal_ledger_id(ann)
    await record(ledger, [[received_of(ann)]])
    async with owned.connection("add a member") as connection:
        await connection.execute("INSERT INTO members VALUES ($1, $2, 'viewer', now())", ledger_id, bob)

    (books,) = (await load(ledger, received_of(bob, ledger_id=ledger_id))).values()

    assert books.roles == {bob: Role.VIEWER}


async def test_a_batch_waits_for_the_one_that_has_its_ledger(ledger: Database) -> None:
    user_id = uuid4()
    held, free = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        async with ledger.transaction("first") as connection:
            await save(connection, [received_of(user_id, 1)])
            held.set()
            await free.wait()

    first = asyncio.create_task(hold())
    await held.wait()
    second = asyncio.create_task(record(ledger, [[received_of(user_id, 2)]]))
    done, _ = await asyncio.wait([second], timeout=0.3)
    assert not done
    free.set()
    await first

    assert [getattr(entry, "sequence", None) for entry in await second] == [5]


async def test_a_lock_that_is_not_had_in_time_means_try_again(ledger: Database) -> None:
    user_id = uuid4()

    async def save_second() -> None:
        async with ledger.transaction("second") as other:
            await other.execute("SET LOCAL lock_timeout = '1s'")
            await save(other, [received_of(user_id, 2)])

    async with ledger.transaction("first") as connection:
        await save(connection, [received_of(user_id, 1)])
        with pytest.raises(Unavailable):
            await save_second()


async def test_batches_over_the_same_ledgers_in_any_order_never_deadlock(ledger: Database) -> None:
    chance = random.Random(11)
    users = [uuid4() for _ in range(40)]
    numbers = iter(range(10**6))
    began = time.monotonic()

    async def write() -> int:
        count = 0
        for _ in range(12):
            batch = [received_of(user_id, next(numbers)) for user_id in chance.choices(users, k=30)]
            await record(ledger, [batch])
            count += len(batch)
        return count

    written = sum(await asyncio.gather(*(write() for _ in range(4))))

    # A deadlock would have raised Unavailable, and waiting for its detection would show.
    assert time.monotonic() - began < 60
    ledger_ids = [personal_ledger_id(user_id) for user_id in users]
    assert await check_ledgers(ledger, ledger_ids) == []
    async with ledger.connection("count") as connection:
        count = await connection.fetchval("SELECT count(*) FROM transactions WHERE ledger_id = ANY ($1)", ledger_ids)
        sequences = await connection.fetchval("SELECT sum(sequence) FROM ledgers WHERE id = ANY ($1)", ledger_ids)
        opened = await connection.fetchval(
            "SELECT count(*) FROM ledgers WHERE id = ANY ($1) AND sequence > 0", ledger_ids
        )
    assert count == written
    assert sequences == written + 3 * opened  # each was opened with an account and a category


async def test_a_transaction_id_that_is_in_the_ledger_is_loaded_and_taken(ledger: Database) -> None:
    user_id, chosen = uuid4(), uuid4()

    journal = await record(
        ledger, [[received_of(user_id, 1, transaction_id=chosen)], [received_of(user_id, 2, transaction_id=chosen)]]
    )

    assert [getattr(entry, "transaction_id", None) for entry in journal].count(chosen) == 1


async def test_an_id_chosen_to_be_another_operations_does_not_break_its_batch(ledger: Database) -> None:
    user_id = uuid4()
    victim = received_of(user_id, 2)
    chosen = victim.message.resource_id(victim.operation_id)

    journal = await record(
        ledger, [[received_of(user_id, 1, transaction_id=chosen)], [victim, received_of(user_id, 3)]]
    )

    recorded = [entry for entry in journal if hasattr(entry, "transaction_id")]
    assert len(recorded) == 2


async def test_totals_outgrow_64_bits(ledger: Database, owned: Database) -> None:
    user_id = uuid4()
    ledger_id = personal_ledger_id(user_id)
    await record(ledger, [[received_of(user_id, 1)]])
    async with owned.connection("grow a total") as connection:
        await connection.execute(
            "UPDATE balances SET balance_minor = sign(balance_minor) * 9223372036854775807 WHERE ledger_id = $1",
            ledger_id,
        )

    await record(ledger, [[received_of(user_id, 2, amount="9999999999999.99")]])

    async with ledger.connection("read") as connection:
        total = await connection.fetchval("SELECT max(balance_minor) FROM balances WHERE ledger_id = $1", ledger_id)
    assert total == 9223372036854775807 + 999999999999999


async def test_the_longest_name_there_is_has_room_in_the_index(ledger: Database) -> None:
    # NFKC makes up to 18 letters of one of these.
    chance = random.Random(3)
    ligatures = "ﷺ" + "".join(map(chr, range(0x3300, 0x3358)))
    longest = ["ﷺ" * NAME_LENGTH_MAX, "".join(chance.choices(ligatures, k=NAME_LENGTH_MAX))]
    user_id = uuid4()

    journal = await record(
        ledger, [[received_of(user_id, number, category=name) for number, name in enumerate(longest)]]
    )

    assert sum(hasattr(entry, "transaction_id") for entry in journal) == 2


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE postings SET amount_minor = 1",
        "DELETE FROM postings",
        "TRUNCATE postings",
        "DELETE FROM transactions",
        "DELETE FROM ledgers",
        "DROP TABLE postings",
    ],
)
async def test_no_posting_is_changed_or_removed_by_the_applications_roles(
    ledger: Database, readable: Database, statement: str
) -> None:
    for database in (ledger, readable):
        async with database.connection("do damage") as connection:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)


@pytest.mark.parametrize(
    "table", ["ledgers", "members", "accounts", "transactions", "postings", "balances", "operations"]
)
async def test_the_gateway_reads_and_writes_nothing(readable: Database, table: str) -> None:
    async with readable.connection("read") as connection:
        await connection.fetch(f"SELECT * FROM {table} LIMIT 1")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(f"INSERT INTO {table} DEFAULT VALUES")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("UPDATE monthly_balances SET incoming_minor = incoming_minor + 1", "by the total"),
        ("DELETE FROM monthly_balances", "came in"),
        ("UPDATE balances SET balance_minor = balance_minor + 1", "add up to"),
        ("UPDATE postings SET amount_minor = amount_minor + 1", "by postings"),
        ("DELETE FROM postings", "no posting belongs"),
        ("DELETE FROM transactions", "is missing"),
        ("UPDATE ledgers SET sequence = 1", "sequence stands at 1"),
    ],
)
async def test_the_check_finds_damage(ledger: Database, owned: Database, damage: str, said: str) -> None:
    user_id = uuid4()
    ledger_id = personal_ledger_id(user_id)
    await record(ledger, [[received_of(user_id, number) for number in range(3)]])
    assert await check_ledgers(ledger, [ledger_id]) == []

    async with owned.connection("do damage") as connection:
        column = "id" if "ledgers" in damage else "ledger_id"
        await connection.execute(f"{damage} WHERE {column} = $1", ledger_id)

    findings = await check_ledgers(ledger, [ledger_id])
    assert any(said in finding and str(ledger_id) in finding for finding in findings), findings
