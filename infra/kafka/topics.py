"""The topics of a cluster: those that are missing are created, with explicit settings; none is ever changed."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import GroupCoordinatorNotAvailableError, for_code
from aiokafka.protocol.admin import DescribeConfigsResponse_v2

from contracts.topics import TOPICS, Topic
from infra.errors import Unavailable
from infra.kafka.connection import connection_arguments, unavailable
from infra.settings import KafkaSettings


@dataclass
class TopicsFound:
    """What was found and done: names created, and sentences on what differs from the settings we would create with."""

    missing: list[str] = field(default_factory=list)
    created: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)


async def examine_topics(settings: KafkaSettings, *, create: bool) -> TopicsFound:
    """Compare the topics of the cluster with ours and, if asked, create what is missing.

    Raises:
        Unavailable: Kafka does not answer or refuses.
    """
    with unavailable("examine topics", settings):
        async with asyncio.timeout(30):
            return await _examine(settings, create=create)


async def _examine(settings: KafkaSettings, *, create: bool) -> TopicsFound:
    admin = AIOKafkaAdminClient(**connection_arguments(settings, "topics"))
    await admin.start()
    try:
        there = set(await admin.list_topics())
        found = TopicsFound(missing=[topic.name for topic in TOPICS if topic.name not in there])
        if create and found.missing:
            found.created = await _create(admin, [topic for topic in TOPICS if topic.name in found.missing], settings)
            await _wait_for_coordinator(admin)
        present = [topic for topic in TOPICS if topic.name in there]
        if present:
            found.differences = await _differences(admin, present, settings)
        return found
    finally:
        await admin.close()


def _wanted_settings(topic: Topic, settings: KafkaSettings) -> dict[str, str]:
    """Return a topic's settings on this cluster: one replica may be away, and ``acks=all`` still means two of three."""
    return topic.settings() | {"min.insync.replicas": str(max(1, settings.replication_factor - 1))}


async def _create(admin: AIOKafkaAdminClient, topics: Sequence[Topic], settings: KafkaSettings) -> list[str]:
    response = await admin.create_topics(
        [
            NewTopic(
                topic.name,
                settings.partitions,
                settings.replication_factor,
                topic_configs=_wanted_settings(topic, settings),
            )
            for topic in topics
        ]
    )
    created = []
    for name, code, *rest in response.topic_errors:
        error = for_code(code)
        # Another start may have been faster.
        if code != 0 and error.__name__ != "TopicAlreadyExistsError":
            raise Unavailable(f"create topic {name}: {error.__name__} {rest}")
        created.append(name)
    return created


async def _wait_for_coordinator(admin: AIOKafkaAdminClient) -> None:
    """Wait until groups have a coordinator; on a new cluster the first question makes its topic.

    Consumers would wait for it too, with an error in their log for every try.
    """
    while True:
        try:
            await admin.find_coordinator("any")
        except GroupCoordinatorNotAvailableError:
            await asyncio.sleep(0.1)
        else:
            return


async def _differences(admin: AIOKafkaAdminClient, topics: Sequence[Topic], settings: KafkaSettings) -> list[str]:
    differences = []
    for description in await admin.describe_topics([topic.name for topic in topics]):
        wanted = next(topic for topic in topics if topic.name == description["topic"])
        partitions = len(description["partitions"])
        if partitions != settings.partitions:
            differences.append(f"{wanted.name} has {partitions} partitions, we create {settings.partitions}")
    responses: list[DescribeConfigsResponse_v2] = await admin.describe_configs(
        [ConfigResource(ConfigResourceType.TOPIC, topic.name) for topic in topics]
    )
    for response in responses:
        for _, _, _, name, entries in response.resources:
            wanted = next(topic for topic in topics if topic.name == name)
            has = {entry[0]: entry[1] for entry in entries}
            differences.extend(
                f"{name}: {setting} is {has.get(setting)}, we create {value}"
                for setting, value in _wanted_settings(wanted, settings).items()
                if has.get(setting) != value
            )
    return differences
