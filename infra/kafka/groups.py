"""Consumer groups from outside: who is in one, and where it goes on reading."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import for_code

from contracts.topics import Topic
from infra.kafka.connection import connection_arguments, unavailable
from infra.settings import KafkaSettings

_ANSWER_TIMEOUT_S = 30
#: What somebody looks at and waits for.
_LOOK_TIMEOUT_S = 10


@dataclass(frozen=True, slots=True)
class PartitionLag:
    """One partition: where its group goes on (``None``: it never committed), and the offsets it reaches from and to."""

    partition: int
    next_offset: int | None
    beginning: int
    end: int

    @property
    def records(self) -> int:
        """How many records are written and not yet taken; a group that never committed begins at the beginning."""
        return self.end - max(self.beginning if self.next_offset is None else self.next_offset, self.beginning)


@dataclass(frozen=True, slots=True)
class Lag:
    """How far the consumer group of a topic is behind, and how many members it has."""

    topic: str
    group: str
    members: int
    partitions: Sequence[PartitionLag]

    @property
    def records(self) -> int:
        """How many records of the topic are written and not yet taken."""
        return sum(each.records for each in self.partitions)


async def count_members(settings: KafkaSettings, group: str) -> int:
    """Return how many consumers are in a group, as Kafka sees it: one with a name stays until its session is over.

    Raises:
        Unavailable: Kafka does not answer.
    """
    with unavailable(f"look at the group {group}", settings):
        async with asyncio.timeout(_ANSWER_TIMEOUT_S), _administering(settings) as admin:
            return await _count_members(admin, group)


async def _count_members(admin: AIOKafkaAdminClient, group: str) -> int:
    # One group at a time: aiokafka 0.14 misreads an answer about several, and loses the connection by it.
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
    with unavailable(f"look at the offsets of {group}", settings):
        async with asyncio.timeout(_ANSWER_TIMEOUT_S), _administering(settings) as admin:
            found = await admin.list_consumer_group_offsets(group)
    return {place.partition: at.offset for place, at in found.items() if place.topic == topic and at.offset >= 0}


async def measure_lags(settings: KafkaSettings, topics: Sequence[Topic]) -> list[Lag]:
    """Return how far the consumer group of each topic is behind.

    Raises:
        Unavailable: Kafka does not answer.
    """
    with unavailable("look at the consumer groups", settings):
        async with asyncio.timeout(_LOOK_TIMEOUT_S), _administering(settings) as admin:
            descriptions = await admin.describe_topics([topic.name for topic in topics])
            places = [
                TopicPartition(each["topic"], part["partition"]) for each in descriptions for part in each["partitions"]
            ]
            members = {topic.group: await _count_members(admin, topic.group) for topic in topics}
            committed = {topic.name: await admin.list_consumer_group_offsets(topic.group) for topic in topics}
            consumer = AIOKafkaConsumer(**connection_arguments(settings, "groups"))
            try:
                await consumer.start()
                beginnings = await consumer.beginning_offsets(places)
                ends = await consumer.end_offsets(places)
            finally:
                await consumer.stop()
    return [
        Lag(
            topic.name,
            topic.group,
            members[topic.group],
            [
                PartitionLag(
                    place.partition, _next_of(committed[topic.name].get(place)), beginnings[place], ends[place]
                )
                for place in places
                if place.topic == topic.name
            ],
        )
        for topic in topics
    ]


def _next_of(committed: Any) -> int | None:
    return committed.offset if committed is not None and committed.offset >= 0 else None


async def set_offsets(settings: KafkaSettings, group: str, topic: str, offsets: Mapping[int, int]) -> None:
    """Let a group go on at these offsets, by partition; those not named it takes from the topic's beginning.

    Raises:
        Unavailable: Kafka does not answer, or refuses, as it does while the group has members.
    """
    with unavailable(f"set the offsets of {group}", settings):
        async with asyncio.timeout(_ANSWER_TIMEOUT_S):
            partitions = await _find_partitions(settings, [topic])
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


async def partitions_of(settings: KafkaSettings, topics: Sequence[str]) -> list[TopicPartition]:
    """Return the partitions of topics.

    Raises:
        Unavailable: Kafka does not answer, or has no such topic.
    """
    with unavailable("look at the partitions of topics", settings):
        async with asyncio.timeout(_LOOK_TIMEOUT_S):
            return await _find_partitions(settings, topics)


async def _find_partitions(settings: KafkaSettings, topics: Sequence[str]) -> list[TopicPartition]:
    async with _administering(settings) as admin:
        descriptions = await admin.describe_topics(list(topics))
    for description in descriptions:
        if code := description["error_code"]:
            raise for_code(code)
    return [
        TopicPartition(description["topic"], each["partition"])
        for description in descriptions
        for each in description["partitions"]
    ]


@asynccontextmanager
async def _administering(settings: KafkaSettings) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(**connection_arguments(settings, "groups"))
    try:
        await admin.start()
        yield admin
    finally:
        await admin.close()
