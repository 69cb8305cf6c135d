"""Following topics from where they end, how far a group has come, and sending without waiting; on the real broker."""

import asyncio
from uuid import uuid4

import pytest
from aiokafka import TopicPartition

from contracts import topics
from infra.errors import Unavailable
from infra.kafka.following import Follower, GroupWatch, following
from infra.kafka.producer import Producer, Record
from infra.local.stack import LocalStack
from infra.settings import KafkaSettings
from tests.builders.settings import settings_from

pytestmark = pytest.mark.stack

#: Nobody takes anything from here.
TOPIC = topics.dead_letter_of(topics.LEDGER_BULK.name).name


@pytest.fixture
def kafka(stack: LocalStack) -> KafkaSettings:
    return settings_from(stack.environment("simulator"), KafkaSettings)


@pytest.fixture
def writing(stack: LocalStack) -> KafkaSettings:
    """The settings of one who may write dead letters."""
    return settings_from(stack.environment("ledger-consumer"), KafkaSettings)


def records(key: bytes, *values: bytes) -> list[Record]:
    return [Record(TOPIC, key, value, [("ce_id", value)]) for value in values]


async def until_taken(follower: Follower, key: bytes, count: int) -> list[bytes]:
    taken: list[bytes] = []
    async with asyncio.timeout(15):
        while len(taken) < count:
            brought = await follower.take(records_max=100, within_s=0.1)
            taken += [record.value for record in brought if record.key == key]
    return taken


async def test_only_what_comes_after_the_beginning_is_brought_and_in_its_order(
    kafka: KafkaSettings, writing: KafkaSettings
) -> None:
    key = str(uuid4()).encode()
    producer = Producer(writing, client_id="tests")
    await producer.send_all(records(key, b"before"))
    try:
        async with following(kafka, [TOPIC, topics.LEDGER_JOURNAL.name], "tests") as follower:
            acknowledgements = await producer.queue(records(key, b"1", b"2", b"3"))
            taken = await until_taken(follower, key, 3)
            await asyncio.gather(*acknowledgements)
    finally:
        await producer.stop()

    assert taken == [b"1", b"2", b"3"]


async def test_the_ends_of_any_topic_and_the_place_of_its_group_can_be_asked(kafka: KafkaSettings) -> None:
    watch = GroupWatch(kafka, topics.LEDGER_BULK.group, topics.LEDGER_BULK.name, "tests")
    try:
        async with following(kafka, [TOPIC], "tests") as follower:
            taken = await watch.offsets()
            ends = await follower.ends(taken)
    finally:
        await watch.close()

    assert set(taken) == {TopicPartition(topics.LEDGER_BULK.name, number) for number in range(topics.PARTITIONS)}
    assert all(0 <= offset <= ends[place] for place, offset in taken.items())


async def test_where_no_broker_answers_nothing_is_queued_and_the_watch_says_so(kafka: KafkaSettings) -> None:
    away = kafka.model_copy(update={"bootstrap_servers": "127.0.0.1:1", "send_timeout_s": 0.5})
    producer = Producer(away, client_id="tests")
    watch = GroupWatch(away, topics.LEDGER_BULK.group, topics.LEDGER_BULK.name, "tests")

    assert await producer.queue(records(b"key", b"value")) == []
    with pytest.raises(Unavailable):
        await watch.offsets()
