"""Reading the journal by key on a real Kafka: what is listened to, pages of what was before, and Kafka away."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from contracts import topics
from contracts.envelope import Envelope, to_headers
from contracts.messages import LedgerEntry
from infra.errors import Unavailable
from infra.kafka import journal as journal_module
from infra.kafka.journal import Journal, JournalRecord, Listening
from infra.kafka.producer import Producer, Record, partition_of
from infra.local.stack import LocalStack
from infra.settings import KafkaSettings
from tests.builders.journal import a_recorded
from tests.builders.settings import settings_from

pytestmark = pytest.mark.stack

PARTITIONS = range(topics.PARTITIONS)


@pytest.fixture(scope="module")
def settings(stack: LocalStack) -> KafkaSettings:
    return settings_from(stack.environment("gateway"), KafkaSettings)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def producer(stack: LocalStack) -> AsyncIterator[Producer]:
    producer = Producer(settings_from(stack.environment("relay"), KafkaSettings), client_id="tests")
    yield producer
    await producer.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def journal(settings: KafkaSettings) -> AsyncIterator[Journal]:
    journal = Journal(settings, topics.LEDGER_JOURNAL, client_id="tests")
    task = asyncio.create_task(journal.run())
    yield journal
    task.cancel()
    await asyncio.wait({task})


def key_of(ledger_id: UUID) -> bytes:
    return str(ledger_id).encode()


def another(ledger_id: UUID, *, same_partition: bool) -> UUID:
    place = partition_of(key_of(ledger_id), PARTITIONS, PARTITIONS)
    while (partition_of(key_of(found := uuid4()), PARTITIONS, PARTITIONS) == place) is not same_partition:
        pass
    return found


async def send(producer: Producer, entries: Sequence[LedgerEntry]) -> None:
    """Send entries as the relay does."""
    records = [
        Record(
            topics.LEDGER_JOURNAL.name,
            key_of(entry.ledger_id),
            entry.model_dump_json(exclude_defaults=True).encode(),
            to_headers(Envelope(str(entry.event_id), entry.type, "tests", entry.recorded_at)),
        )
        for entry in entries
    ]
    await producer.send_all(records)


def recorded(ledger_id: UUID, *sequences: int) -> list[LedgerEntry]:
    return [a_recorded(sequence, ledger_id=ledger_id) for sequence in sequences]


def sequences_of(records: Sequence[JournalRecord]) -> list[int]:
    assert all(record.type == "cashflow.transaction.recorded.v1" for record in records)
    return [int(record.value.partition(b'"sequence":')[2].partition(b",")[0]) for record in records]


async def heard(listening: Listening, count: int) -> list[int]:
    found: list[int] = []
    async with asyncio.timeout(10):
        while len(found) < count:
            taken = await listening.take()
            assert taken, "it was lost"
            found += sequences_of(taken)
    return found


async def pages(journal: Journal, ledger_id: UUID, offset: int, until: int) -> list[list[int]]:
    found = []
    while offset < until:
        page = await journal.read(key_of(ledger_id), offset, until)
        assert page.next_offset > offset
        offset = page.next_offset
        found.append(sequences_of(page.records))
    return found


async def test_who_listens_hears_one_ledger_from_that_moment_on(journal: Journal, producer: Producer) -> None:
    ledger, other = uuid4(), uuid4()
    neighbour = another(ledger, same_partition=True)
    await send(producer, recorded(ledger, 1, 2))
    with await journal.listen(key_of(ledger)) as first, await journal.listen(key_of(ledger)) as second:
        await send(producer, recorded(other, 1) + recorded(neighbour, 1, 2) + recorded(ledger, 3, 4))

        assert await heard(first, 2) == [3, 4]
        assert await heard(second, 2) == [3, 4]
        assert first.start == second.start


async def test_pages_and_what_is_heard_meet_without_a_gap(journal: Journal, producer: Producer) -> None:
    ledger = uuid4()
    neighbour = another(ledger, same_partition=True)
    began = datetime.now(UTC)
    await send(producer, [entry for number in range(1, 301) for entry in recorded(ledger, number)])
    await send(producer, recorded(neighbour, *range(1, 301)))
    with await journal.listen(key_of(ledger)) as listening:
        await send(producer, recorded(ledger, 301, 302))
        offset = await journal.find_offset(key_of(ledger), began - timedelta(seconds=1))
        before = [number for page in await pages(journal, ledger, offset, listening.start) for number in page]

        assert before == list(range(1, 301))
        assert await heard(listening, 2) == [301, 302]


async def test_pages_end_before_they_hold_too_much(
    journal: Journal, producer: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = uuid4()
    await send(producer, recorded(ledger, *range(1, 501)))
    monkeypatch.setattr(journal_module, "PAGE_BYTES", 20_000)
    with await journal.listen(key_of(ledger)) as listening:
        found = await pages(journal, ledger, listening.start - 500, listening.start)

    assert [number for page in found for number in page] == list(range(1, 501))
    assert all(len(page) <= 200 for page in found)


async def test_a_moment_leads_to_what_was_written_from_then_on(journal: Journal, producer: Producer) -> None:
    ledger = uuid4()
    await send(producer, recorded(ledger, 1, 2))
    await asyncio.sleep(0.01)
    between = datetime.now(UTC)
    await asyncio.sleep(0.01)
    await send(producer, recorded(ledger, 3, 4))
    with await journal.listen(key_of(ledger)) as listening:
        offset = await journal.find_offset(key_of(ledger), between)
        assert await pages(journal, ledger, offset, listening.start) == [[3, 4]]
        late = await journal.find_offset(key_of(ledger), datetime.now(UTC) + timedelta(days=1))
        assert late == listening.start
        assert await journal.find_offset(key_of(ledger), None) == 0


async def test_readers_take_turns_page_by_page(journal: Journal, producer: Producer) -> None:
    ledgers = [uuid4() for _ in range(4)]
    for ledger in ledgers:
        await send(producer, recorded(ledger, *range(1, 201)))

    async def read(ledger: UUID) -> list[int]:
        with await journal.listen(key_of(ledger)) as listening:
            found = await pages(journal, ledger, 0, listening.start)
        return [number for page in found for number in page]

    assert await asyncio.gather(*(read(ledger) for ledger in ledgers)) == [list(range(1, 201))] * 4


async def test_what_nobody_takes_is_let_go_and_others_are_not_held_up(
    journal: Journal, producer: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "LISTENING_BYTES_MAX", 20_000)
    ledger = uuid4()
    with await journal.listen(key_of(ledger)) as idle, await journal.listen(key_of(ledger)) as quick:
        for start in range(1, 301, 10):
            await send(producer, recorded(ledger, *range(start, start + 10)))
            assert await heard(quick, 10) == list(range(start, start + 10))

        assert idle.lost
        assert await idle.take() == []
        assert not idle._records


async def test_partitions_that_nobody_listens_to_are_not_fetched(journal: Journal, producer: Producer) -> None:
    ledger = uuid4()
    with await journal.listen(key_of(ledger)) as listening:
        connected = journal._connected
        assert connected is not None
        assert len(connected.tail.paused()) == topics.PARTITIONS - 1
        # Somebody who leaves and comes back hears only what is new.
        other = another(ledger, same_partition=False)
        with await journal.listen(key_of(other)):
            pass
        await send(producer, recorded(other, 1))
        with await journal.listen(key_of(other)) as again:
            await send(producer, recorded(other, 2) + recorded(ledger, 1))
            assert await heard(again, 1) == [2]
        assert await heard(listening, 1) == [1]
    assert len(connected.tail.paused()) == topics.PARTITIONS


async def test_a_minute_after_the_last_reader_it_lets_go_of_kafka(
    journal: Journal, producer: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "IDLE_S", 0.1)
    ledger = uuid4()
    with await journal.listen(key_of(ledger)):
        await asyncio.sleep(1.5)
        assert journal._connected is not None
    async with asyncio.timeout(10):
        while journal._connected is not None:
            await asyncio.sleep(0.05)
    with await journal.listen(key_of(ledger)) as listening:
        await send(producer, recorded(ledger, 1))
        assert await heard(listening, 1) == [1]


async def test_with_kafka_away_it_says_so_and_goes_on_when_it_is_back(
    stack: LocalStack, journal: Journal, producer: Producer
) -> None:
    ledger = uuid4()
    with await journal.listen(key_of(ledger)) as listening:
        # Held, not killed: a killed one may be back before the question is given up.
        await asyncio.to_thread(stack.hold, "kafka")
        try:
            with pytest.raises(Unavailable):
                await journal.find_offset(key_of(ledger), datetime.now(UTC))
        finally:
            await asyncio.to_thread(stack.release, "kafka")
        async with asyncio.timeout(30):
            while True:
                try:
                    await send(producer, recorded(ledger, 1))
                except Unavailable:
                    continue
                break

        # It kept its place through it all, or says that it was lost: then the pages have it.
        if not listening.lost:
            assert set(await heard(listening, 1)) == {1}
    with await journal.listen(key_of(ledger)) as listening:
        found = await pages(journal, ledger, 0, listening.start)
        assert {number for page in found for number in page} == {1}


async def test_a_kafka_that_was_never_there_is_waited_for(settings: KafkaSettings) -> None:
    nowhere = settings.model_copy(update={"bootstrap_servers": "127.0.0.1:1"})
    journal = Journal(nowhere, topics.LEDGER_JOURNAL, client_id="tests")
    task = asyncio.create_task(journal.run())
    with pytest.raises(Unavailable):
        await journal.listen(b"x")
    assert not task.done()
    task.cancel()
    await asyncio.wait({task})
