"""What the shadow takes from a journal, and what it does not: repeats, gaps, two histories, what is no entry."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from uuid import uuid4

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from consumers.shadow import JournalDamaged, Shadow, Taken
from contracts.envelope import RESTORED
from contracts.ledgers import LedgerOpened, personal_ledger_id
from contracts.messages import LedgerEntry
from contracts.topics import LEDGER_JOURNAL
from infra.errors import Unavailable
from infra.kafka import producer as producing
from infra.kafka.connection import connection_arguments
from infra.kafka.groups import count_members, find_offsets, set_offsets
from infra.kafka.producer import Producer, Record
from infra.kafka.reading import reading
from infra.local.stack import LocalStack
from infra.settings import KafkaSettings
from tests.builders.journal import a_renaming, stamped
from tests.builders.ledger_database import LedgerDatabase, a_ledger_database
from tests.builders.lived_in import LivedIn
from tests.builders.settings import settings_from

pytestmark = pytest.mark.stack


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def ledger(stack: LocalStack) -> AsyncIterator[LedgerDatabase]:
    async with a_ledger_database(stack) as database:
        yield database


@pytest.fixture(scope="module")
def kafka(stack: LocalStack) -> KafkaSettings:
    return settings_from(stack.environment("bootstrap-kafka"), KafkaSettings)


@pytest_asyncio.fixture(loop_scope="session")
async def topic(kafka: KafkaSettings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """A journal of the test's own, of three partitions."""
    name = f"test.journal.{uuid4().hex[:8]}"
    monkeypatch.setitem(producing._MAX_MESSAGE_BYTES, name, LEDGER_JOURNAL.max_message_bytes)
    admin = AIOKafkaAdminClient(**connection_arguments(kafka, "tests"))
    await admin.start()
    await admin.create_topics([NewTopic(name, 3, 1)])
    yield name
    await admin.delete_topics([name])
    await admin.close()


def records_of(topic: str, entries: Sequence[LedgerEntry]) -> list[Record]:
    return [
        Record(topic, str(each.ledger_id).encode(), each.model_dump_json().encode(), [("ce_type", each.type.encode())])
        for each in entries
    ]


async def taken(kafka: KafkaSettings, ledger: LedgerDatabase, topic: str, records: Sequence[Record]) -> Taken:
    """Write records and take in the whole topic, from its beginning."""
    async with sending(kafka) as producer:
        for record in records:
            await producer.send(record)
    shadow = Shadow(ledger.consumer, lambda _: None)
    async with reading(kafka, topic, "tests") as reader:
        await shadow.read_to(reader, await reader.ends())
    return shadow.taken


@asynccontextmanager
async def sending(kafka: KafkaSettings) -> AsyncIterator[Producer]:
    producer = Producer(kafka, client_id="tests")
    try:
        yield producer
    finally:
        await producer.stop()


async def test_repeats_are_left_out_whenever_they_come(
    kafka: KafkaSettings, ledger: LedgerDatabase, topic: str
) -> None:
    home, other = LivedIn(), LivedIn()
    entries = [*home.journal, *home.journal[3:9], *other.journal[:5], *home.journal, *other.journal]

    found = await taken(kafka, ledger, topic, records_of(topic, entries))
    again = await taken(kafka, ledger, topic, [])

    assert (found.entries, found.repeats) == (2 * len(home.journal), len(home.journal) + 6 + 5)
    assert found.offsets == {"ledger.submissions": {0: len(home.asked)}}
    assert (again.entries, again.repeats) == (0, len(entries))


async def test_restored_entries_say_nothing_about_offsets(
    kafka: KafkaSettings, ledger: LedgerDatabase, topic: str
) -> None:
    """Theirs are of topics that are gone; whoever went on behind them would pass over what stands there today."""
    home = LivedIn()
    records = records_of(topic, home.journal)
    restored = [replace(each, headers=[*each.headers, (RESTORED, b"some backup")]) for each in records[:-1]]

    found = await taken(kafka, ledger, topic, [*restored, records[-1]])
    none = await taken(kafka, ledger, topic, [])

    last = home.journal[-1].source
    assert (found.entries, found.offsets) == (len(records), {last.topic: {last.partition: last.offset}})
    assert none.offsets == {}


async def test_the_opening_of_a_ledger_whose_first_record_was_refused_may_be_repeated(
    kafka: KafkaSettings, ledger: LedgerDatabase, topic: str
) -> None:
    opening = LivedIn().journal[:2]

    assert (await taken(kafka, ledger, topic, records_of(topic, [*opening, *opening]))).repeats == 2


async def test_a_gap_is_an_error_that_names_its_place(kafka: KafkaSettings, ledger: LedgerDatabase, topic: str) -> None:
    home = LivedIn()
    entries = [*home.journal[:4], *home.journal[5:]]

    with pytest.raises(JournalDamaged, match=r"has a gap: .* entry 5 should come next, and entry 6 comes, at offset 4"):
        await taken(kafka, ledger, topic, records_of(topic, entries))


async def test_a_journal_without_its_beginning_is_an_error(
    kafka: KafkaSettings, ledger: LedgerDatabase, topic: str
) -> None:
    with pytest.raises(JournalDamaged, match="entry 1 should come next, and entry 7 comes"):
        await taken(kafka, ledger, topic, records_of(topic, [a_renaming(7, ledger_id=uuid4())]))


async def test_two_histories_under_one_ledgers_numbers_are_an_error(
    kafka: KafkaSettings, ledger: LedgerDatabase, topic: str
) -> None:
    home = LivedIn()
    another = LedgerOpened.model_validate(
        {
            **stamped(1, personal_ledger_id(home.owner_id)),
            "owner_id": home.owner_id,
            "base_currency": "CHF",
            "time_zone": "Europe/Zurich",
            "default_account_id": uuid4(),
        }
    )

    with pytest.raises(JournalDamaged, match=f"two different entries 1 of ledger {home.ledger_id}"):
        await taken(kafka, ledger, topic, records_of(topic, [*home.journal, another]))


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [
        (b"cashflow.ledger.changed.v1", b"not JSON", "holds what is no entry, at offset 0 of partition"),
        (b"cashflow.money.printed.v1", b"{}", "is not a journal entry this version knows"),
        (b"cashflow.ledger.changed.v1", None, "The value is empty"),
        (
            b"cashflow.registration.expired.v1",
            b'{"registration_id":"00000000-0000-0000-0000-000000000001"}',
            "an entry of another journal",
        ),
    ],
)
async def test_what_is_no_entry_of_a_ledger_is_an_error(
    kafka: KafkaSettings, ledger: LedgerDatabase, topic: str, kind: bytes, value: bytes | None, said: str
) -> None:
    with pytest.raises(JournalDamaged, match=said):
        await taken(kafka, ledger, topic, [Record(topic, b"key", value, [("ce_type", kind)])])


async def test_a_topic_that_does_not_exist_is_said_so(kafka: KafkaSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.kafka.reading.SILENCE_MAX_S", 2.0)
    with pytest.raises(Unavailable, match=r"no\.such\.topic"):
        async with reading(kafka, "no.such.topic", "tests"):
            pass


async def test_a_groups_offsets_are_set_while_it_is_empty_and_refused_while_it_is_not(
    kafka: KafkaSettings, topic: str
) -> None:
    group = f"test-{uuid4().hex[:8]}"
    async with sending(kafka) as producer:
        await producer.send_all([Record(topic, str(number).encode(), b"value", []) for number in range(30)])
    await set_offsets(kafka, group, topic, {1: 4})
    assert await find_offsets(kafka, group, topic) == {0: 0, 1: 4, 2: 0}

    member = AIOKafkaConsumer(topic, **connection_arguments(kafka, "tests"), group_id=group, enable_auto_commit=False)
    await member.start()
    try:
        assert await count_members(kafka, group) == 1
        with pytest.raises(Unavailable, match="set the offsets"):
            await set_offsets(kafka, group, topic, {1: 2})
    finally:
        await member.stop()

    assert await count_members(kafka, group) == 0
    await set_offsets(kafka, group, topic, {0: 1, 1: 2})
    assert await find_offsets(kafka, group, topic) == {0: 1, 1: 2, 2: 0}
