"""Consumer groups from outside: who is in one, and where it goes on reading."""

import asyncio
from collections.abc import Mapping

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import for_code

from infra.errors import Unavailable
from infra.kafka.connection import connection_arguments, unavailable
from infra.settings import KafkaSettings

_ANSWER_TIMEOUT_S = 30


async def count_members(settings: KafkaSettings, group: str) -> int:
    """Return how many consumers are in a group, as Kafka sees it: one with a name stays until its session is over.

    Raises:
        Unavailable: Kafka does not answer.
    """
    with unavailable(f"look at the group {group}"):
        async with asyncio.timeout(_ANSWER_TIMEOUT_S):
            admin = AIOKafkaAdminClient(**connection_arguments(settings, "groups"))
            try:
                await admin.start()
                (response,) = await admin.describe_consumer_groups([group])
                (description,) = response.groups
                code, members = description[0], description[5]
                if code:
                    raise for_code(code)
                return len(members)
            finally:
                await admin.close()


async def find_offsets(settings: KafkaSettings, group: str, topic: str) -> dict[int, int]:
    """Return the offset a group goes on at, by partition of a topic; those it has none of are left out.

    Raises:
        Unavailable: Kafka does not answer.
    """
    with unavailable(f"look at the offsets of {group}"):
        async with asyncio.timeout(_ANSWER_TIMEOUT_S):
            admin = AIOKafkaAdminClient(**connection_arguments(settings, "groups"))
            try:
                await admin.start()
                found = await admin.list_consumer_group_offsets(group)
            finally:
                await admin.close()
    return {place.partition: at.offset for place, at in found.items() if place.topic == topic and at.offset >= 0}


async def set_offsets(settings: KafkaSettings, group: str, topic: str, offsets: Mapping[int, int]) -> None:
    """Let a group go on at these offsets, by partition; those not named it takes from the topic's beginning.

    Raises:
        Unavailable: Kafka does not answer, or refuses, as it does while the group has members.
    """
    with unavailable(f"set the offsets of {group}"):
        async with asyncio.timeout(_ANSWER_TIMEOUT_S):
            consumer = AIOKafkaConsumer(
                **connection_arguments(settings, "groups"), group_id=group, enable_auto_commit=False
            )
            try:
                await consumer.start()
                await consumer.topics()
                partitions = [
                    TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic) or ())
                ]
                if not partitions:
                    raise Unavailable(f"set the offsets of {group}: there is no topic {topic}")
                consumer.assign(partitions)
                beginnings = await consumer.beginning_offsets(partitions)
                await consumer.commit({each: offsets.get(each.partition, beginnings[each]) for each in partitions})
            finally:
                await consumer.stop()
