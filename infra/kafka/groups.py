"""Consumer groups from outside: who is in one, and where it goes on reading."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import for_code

from infra.kafka.connection import connection_arguments, unavailable
from infra.settings import KafkaSettings

_ANSWER_TIMEOUT_S = 30


async def count_members(settings: KafkaSettings, group: str) -> int:
    """Return how many consumers are in a group, as Kafka sees it: one with a name stays until its session is over.

    Raises:
        Unavailable: Kafka does not answer.
    """
    with unavailable(f"look at the group {group}"):
        async with asyncio.timeout(_ANSWER_TIMEOUT_S), _administering(settings) as admin:
            (response,) = await admin.describe_consumer_groups([group])
            (description,) = response.groups
            code, members = description[0], description[5]
            if code:
                raise for_code(code)
            return len(members)


async def find_offsets(settings: KafkaSettings, group: str, topic: str) -> dict[int, int]:
    """Return the offset a group goes on at, by partition of a topic; those it has none of are left out.

    Raises:
        Unavailable: Kafka does not answer.
    """
    with unavailable(f"look at the offsets of {group}"):
        async with asyncio.timeout(_ANSWER_TIMEOUT_S), _administering(settings) as admin:
            found = await admin.list_consumer_group_offsets(group)
    return {place.partition: at.offset for place, at in found.items() if place.topic == topic and at.offset >= 0}


async def set_offsets(settings: KafkaSettings, group: str, topic: str, offsets: Mapping[int, int]) -> None:
    """Let a group go on at these offsets, by partition; those not named it takes from the topic's beginning.

    Raises:
        Unavailable: Kafka does not answer, or refuses, as it does while the group has members.
    """
    with unavailable(f"set the offsets of {group}"):
        async with asyncio.timeout(_ANSWER_TIMEOUT_S):
            partitions = await _partitions_of(settings, topic)
            consumer = AIOKafkaConsumer(
                **connection_arguments(settings, "groups"), group_id=group, enable_auto_commit=False
            )
            try:
                await consumer.start()
                consumer.assign(partitions)
                beginnings = await consumer.beginning_offsets(partitions)
                await consumer.commit({each: offsets.get(each.partition, beginnings[each]) for each in partitions})
            finally:
                await consumer.stop()


async def _partitions_of(settings: KafkaSettings, topic: str) -> list[TopicPartition]:
    async with _administering(settings) as admin:
        (description,) = await admin.describe_topics([topic])
    if code := description["error_code"]:
        raise for_code(code)
    return [TopicPartition(topic, each["partition"]) for each in description["partitions"]]


@asynccontextmanager
async def _administering(settings: KafkaSettings) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(**connection_arguments(settings, "groups"))
    try:
        await admin.start()
        yield admin
    finally:
        await admin.close()
