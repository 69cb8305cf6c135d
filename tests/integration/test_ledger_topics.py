"""What the ledger's topics take and refuse, on the real Kafka, PostgreSQL and consumers."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from aiokafka.consumer import fetcher
from aiokafka.errors import MessageSizeTooLargeError

from contracts import topics
from contracts.envelope import operation_id
from contracts.ledgers import personal_ledger_id
from contracts.topics import dead_letter_of
from infra.kafka.producer import MessageTooLarge, Producer, Record
from infra.kafka.tolerant_records import TolerantRecords
from infra.local.stack import LocalStack
from infra.postgres.engine import Database
from infra.settings import KafkaSettings, LedgerDatabaseSettings
from tests.builders.gateway import a_bulk_grant
from tests.builders.kafka import Latin1Name, header, reading, send_batch
from tests.builders.settings import settings_from
from tests.builders.submissions import a_record, a_submission

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def kafka(stack: LocalStack) -> KafkaSettings:
    """The settings of one who may write all that consumers take, and read what becomes of it."""
    return settings_from(stack.environment("operator"), KafkaSettings)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def producer(kafka: KafkaSettings) -> AsyncIterator[Producer]:
    producer = Producer(kafka, client_id="tests")
    yield producer
    await producer.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def ledger(stack: LocalStack) -> AsyncIterator[Database]:
    database = Database(
        settings_from(stack.environment("ledger-consumer"), LedgerDatabaseSettings), application="tests"
    )
    await database.start()
    yield database
    await database.stop()


async def transactions_of(ledger: Database, user_id: UUID) -> int:
    async with ledger.connection("count transactions") as connection:
        count: int = await connection.fetchval(
            "SELECT count(*) FROM transactions WHERE ledger_id = $1", personal_ledger_id(user_id)
        )
        return count


async def until_recorded(ledger: Database, user_id: UUID, count: int, within_s: float = 15) -> None:
    try:
        async with asyncio.timeout(within_s):
            while await transactions_of(ledger, user_id) < count:
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"{await transactions_of(ledger, user_id)} of {count} transactions recorded") from None


def _with_header(record: Record, name: str, value: bytes | None) -> Record:
    headers: list[Any] = [(n, v) for n, v in record.headers if n != name]
    return replace(record, headers=[*headers, (name, value)])


def hopeless(user_id: UUID) -> dict[str, Record]:
    """Return records that nobody can take, all under the key of one ledger."""
    good = a_record(a_submission(user_id), user_id)
    return {
        "not JSON": replace(good, value=b"amount=24.47"),
        "unknown type": _with_header(good, "ce_type", b"cashflow.money.printed.v1"),
        "unknown version": _with_header(good, "ce_type", b"cashflow.transaction.submitted.v9"),
        "null key": replace(good, key=None),
        "null header": _with_header(good, "ce_userid", None),
        "header not UTF-8": _with_header(good, "ce_subject", b"\xff\xfe"),
        "tombstone": replace(good, value=None),
        "900 kB": replace(good, value=b'{"note":"' + b"x" * 900_000 + b'"}'),
    }


async def test_each_hopeless_record_is_dead_lettered_alone_and_the_next_one_is_not_held_up(
    kafka: KafkaSettings, producer: Producer, ledger: Database
) -> None:
    user_id = uuid4()
    source = topics.LEDGER_SUBMISSIONS.name
    records = hopeless(user_id)
    async with reading(kafka, dead_letter_of(source).name) as dead_letters:
        for record in records.values():
            await producer.send(record)
            await producer.send(a_record(a_submission(user_id), user_id))
        dead = await dead_letters.until(lambda dead: len(dead) >= len(records))

    await until_recorded(ledger, user_id, len(records))
    assert len(dead) == len(records)
    assert {record.value for record in dead} == {record.value for record in records.values()}
    for record in dead:
        assert header(record, "deadletter_topic") == source
        assert header(record, "deadletter_cause") == "malformed"
        assert header(record, "deadletter_reason")
        assert header(record, "deadletter_offset")


async def test_a_header_whose_name_is_not_utf_8_keeps_nobody_from_being_recorded(
    kafka: KafkaSettings, ledger: Database
) -> None:
    user_id = uuid4()
    source = topics.LEDGER_SUBMISSIONS.name
    good = [a_record(a_submission(user_id), user_id) for _ in range(4)]
    odd = replace(good[1], headers=[(Latin1Name("tête"), b"1"), *good[1].headers])
    hopeless = replace(odd, value=b"amount=24.47")
    async with reading(kafka, dead_letter_of(source).name) as dead_letters:
        await send_batch(kafka, [good[0], odd, hopeless, good[2]])
        await send_batch(kafka, [good[3]])
        (dead,) = await dead_letters.until(bool)

    # The header is not one of ours, so its record is taken; a dead letter shows the name with backslashes.
    await until_recorded(ledger, user_id, 4)
    assert dead.value == hopeless.value
    assert header(dead, "t\\xeate") == "1"


async def test_what_a_producer_compressed_is_stored_so_that_no_reader_needs_its_codec(
    kafka: KafkaSettings, ledger: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    user_id = uuid4()
    record = a_record(a_submission(user_id), user_id)
    codecs: list[int] = []

    class Noting(TolerantRecords):
        def next_batch(self) -> Any:
            batch = super().next_batch()
            if record.key and record.key in self._data:
                codecs.append(batch.compression_type)
            return batch

    async with reading(kafka, topics.LEDGER_SUBMISSIONS.name) as submissions:
        monkeypatch.setattr(fetcher, "MemoryRecords", Noting)
        await send_batch(kafka, [record] * 5, compression="gzip")
        await submissions.until(lambda records: sum(each.key == record.key for each in records) == 5)

    await until_recorded(ledger, user_id, 1)
    assert set(codecs) == {0}


async def test_a_batch_that_unpacks_to_more_than_the_topic_takes_is_refused_to_its_producer(
    kafka: KafkaSettings,
) -> None:
    user_id = uuid4()
    bomb = replace(a_record(a_submission(user_id), user_id), value=bytes(8_000_000))

    with pytest.raises(MessageSizeTooLargeError):
        await send_batch(kafka, [bomb], compression="gzip")


async def test_the_same_record_ten_times_is_recorded_once(producer: Producer, ledger: Database) -> None:
    user_id = uuid4()
    record = a_record(a_submission(user_id), user_id)

    await producer.send_all([record] * 10)
    await producer.send(a_record(a_submission(user_id, category="Rent"), user_id))

    await until_recorded(ledger, user_id, 2)
    assert await transactions_of(ledger, user_id) == 2


async def test_the_same_key_with_another_content_changes_nothing(producer: Producer, ledger: Database) -> None:
    user_id = uuid4()
    first, second = a_submission(user_id, amount="10.00"), a_submission(user_id, amount="99.00")

    await producer.send_all([a_record(first, user_id, key="k"), a_record(second, user_id, key="k")])
    await producer.send(a_record(a_submission(user_id, amount="1.00"), user_id))

    await until_recorded(ledger, user_id, 2)
    async with ledger.connection("read amounts") as connection:
        rows = await connection.fetch(
            "SELECT amount_minor FROM postings WHERE ledger_id = $1 ORDER BY amount_minor", personal_ledger_id(user_id)
        )
    assert [row["amount_minor"] for row in rows] == [100, 1000]


async def test_what_only_the_ledger_knows_is_refused_with_a_code(producer: Producer, ledger: Database) -> None:
    user_id = uuid4()
    too_precise = a_submission(user_id, amount="1.001")

    await producer.send(a_record(too_precise, user_id, key="k"))
    await producer.send(a_record(a_submission(user_id), user_id))

    await until_recorded(ledger, user_id, 1)
    async with ledger.connection("read the operation") as connection:
        row = await connection.fetchrow(
            "SELECT state, refusal_code, refusal_field, resource_id FROM operations WHERE id = $1",
            operation_id(too_precise, user_id, "k"),
        )
    assert row is not None
    assert tuple(row) == ("refused", "amount_too_precise", "amount", None)


async def test_a_record_of_two_megabytes_is_refused_to_its_producer_and_harms_nobody(
    producer: Producer, ledger: Database
) -> None:
    user_id = uuid4()
    good = a_record(a_submission(user_id), user_id)

    with pytest.raises(MessageTooLarge):
        await producer.send(replace(good, value=b"x" * 2_000_000))
    await producer.send(good)

    await until_recorded(ledger, user_id, 1)


async def test_bulk_records_are_taken_with_a_grant_for_their_ledger_and_none_else_holds_up_the_next(
    kafka: KafkaSettings, producer: Producer, ledger: Database, stack: LocalStack
) -> None:
    user_id = uuid4()
    gateway = stack.environment("gateway")
    good = a_bulk_grant(gateway, user_id)
    refused = {
        "ce_grant is missing": None,
        "had expired": a_bulk_grant(gateway, user_id, lifetime=timedelta(seconds=-1)),
        "is for another ledger": a_bulk_grant(gateway, uuid4()),
        "signature is wrong": good[:-8] + "AAAAAAAA",
    }
    async with reading(kafka, dead_letter_of(topics.LEDGER_BULK.name).name) as dead_letters:
        for grant in refused.values():
            await producer.send(a_record(a_submission(user_id), user_id, topic=topics.LEDGER_BULK, grant=grant))
            await producer.send(a_record(a_submission(user_id), user_id, topic=topics.LEDGER_BULK, grant=good))
        dead = await dead_letters.until(lambda records: len(records) >= len(refused))

    await until_recorded(ledger, user_id, len(refused))
    assert await transactions_of(ledger, user_id) == len(refused)
    for record, reason in zip(dead, refused, strict=True):
        assert reason in (header(record, "deadletter_reason") or "")


async def test_the_journal_counts_every_ledger_without_a_gap(
    kafka: KafkaSettings, producer: Producer, ledger: Database
) -> None:
    user_id = uuid4()
    async with reading(kafka, topics.LEDGER_JOURNAL.name) as journal:
        for _ in range(5):
            await producer.send(a_record(a_submission(user_id), user_id))
        # Opened, the account Cash, the category, five transactions.
        entries = await journal.until(lambda records: len(_of(records, user_id)) >= 8)

    mine = _of(entries, user_id)
    assert [header(record, "ce_type") for record in mine[:3]] == [
        "cashflow.ledger.opened.v1",
        "cashflow.account.opened.v1",
        "cashflow.account.opened.v1",
    ]
    assert len({header(record, "ce_id") for record in mine}) == len(mine) == 8


def _of(records: list[Any], user_id: UUID) -> list[Any]:
    return [record for record in records if record.key == str(personal_ledger_id(user_id)).encode()]
