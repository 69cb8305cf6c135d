"""Following topics from where they end now, in no consumer group, and how far a group has come meanwhile."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from infra.errors import Unavailable
from infra.kafka.connection import connection_arguments, unavailable
from infra.kafka.tolerant_records import tolerate_any_header_name
from infra.settings import KafkaSettings
from infra.telemetry.logs import get_logger

log = get_logger(__name__)

ANSWER_TIMEOUT_S = 10.0
_FETCH_BYTES_MAX = 1024 * 1024
#: Also the longest that a question for a topic's ends waits behind a fetch, on the same connection.
_FETCH_WAIT_MS = 100


class Follower:
    """Brings what is written to some topics, each partition's records in order."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        """Follow with a consumer that stands at the ends of its partitions and is this follower's alone."""
        self._consumer = consumer

    async def take(self, *, records_max: int, within_s: float) -> Sequence["ConsumerRecord[Any, Any]"]:
        """Return what has come, at most so many; wait for it no longer than so.

        A broker that is away brings nothing; it is asked again until it is back, and nothing is missing then.
        """
        try:
            fetched = await self._consumer.getmany(timeout_ms=int(within_s * 1000), max_records=records_max)
        except KafkaError as error:
            log.warning("nothing brought", cause=repr(error))
            await asyncio.sleep(within_s)
            return []
        return [record for records in fetched.values() for record in records]

    async def ends(self, places: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the offset that the next record of each partition of any topic will have, at this moment.

        Raises:
            Unavailable: Kafka does not answer.
        """
        with unavailable("look at the ends of topics"):
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                ends: dict[TopicPartition, int] = await self._consumer.end_offsets(places)
                return ends


@asynccontextmanager
async def following(settings: KafkaSettings, topics: Sequence[str], client_id: str) -> AsyncIterator[Follower]:
    """Open a follower at the ends that topics have at this moment.

    Raises:
        Unavailable: Kafka does not answer, or has no such topic.
    """
    tolerate_any_header_name()
    consumer = AIOKafkaConsumer(
        **connection_arguments(settings, client_id),
        enable_auto_commit=False,
        # An offset that is gone must lead to repeats, which readers drop, and never to a gap.
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=_FETCH_BYTES_MAX,
        fetch_max_wait_ms=_FETCH_WAIT_MS,
        request_timeout_ms=10_000,
    )
    try:
        with unavailable(f"open {', '.join(topics)}", settings, "read"):
            async with asyncio.timeout(3 * ANSWER_TIMEOUT_S):
                # Assigned, not subscribed, for the reason that journal.py gives.
                consumer.assign([TopicPartition(topic, 0) for topic in topics])
                await consumer.start()
                places = [place for topic in topics for place in _partitions_of(consumer, topic)]
                ends = await consumer.end_offsets(places)
                consumer.assign(places)
                for place, end in ends.items():
                    consumer.seek(place, end)
        yield Follower(consumer)
    finally:
        # Not awaited itself: where its broker is gone, aiokafka lets the cancellation of its own tasks out of it.
        stopping = asyncio.create_task(consumer.stop())
        await asyncio.wait([stopping], timeout=ANSWER_TIMEOUT_S)
        if not stopping.done():
            stopping.cancel()
        elif not stopping.cancelled() and (error := stopping.exception()) is not None:
            log.warning("consumer not stopped in order", cause=repr(error))


def _partitions_of(consumer: AIOKafkaConsumer, topic: str) -> list[TopicPartition]:
    partitions = consumer.partitions_for_topic(topic)
    if not partitions:
        raise Unavailable(f"open {topic}: there is no such topic")
    return [TopicPartition(topic, partition) for partition in sorted(partitions)]


class GroupWatch:
    """Asks again and again where a consumer group goes on reading a topic, over one connection."""

    def __init__(self, settings: KafkaSettings, group: str, topic: str, client_id: str) -> None:
        """Keep what to ask; the connection is made with the first question, and anew when it was lost."""
        self._settings = settings
        self._group = group
        self._topic = topic
        self._client_id = client_id
        self._admin: AIOKafkaAdminClient | None = None
        self._places: Sequence[TopicPartition] = ()

    async def offsets(self) -> Mapping[TopicPartition, int]:
        """Return the offset the group goes on at in each partition; 0 where it has none yet.

        Raises:
            Unavailable: Kafka does not answer.
        """
        try:
            with unavailable(f"look at the offsets of {self._group}", self._settings):
                async with asyncio.timeout(ANSWER_TIMEOUT_S):
                    admin = await self._connected()
                    found = await admin.list_consumer_group_offsets(self._group)
        except (Unavailable, KafkaError):
            await self.close()
            raise
        return {place: max(0, found[place].offset) if place in found else 0 for place in self._places}

    async def close(self) -> None:
        """Give the connection back."""
        admin, self._admin = self._admin, None
        if admin is not None:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(admin.close(), ANSWER_TIMEOUT_S)

    async def _connected(self) -> AIOKafkaAdminClient:
        if self._admin is None:
            admin = AIOKafkaAdminClient(**connection_arguments(self._settings, self._client_id))
            try:
                await admin.start()
                (description,) = await admin.describe_topics([self._topic])
            except BaseException:
                with contextlib.suppress(Exception):
                    await admin.close()
                raise
            self._admin = admin
            self._places = [TopicPartition(self._topic, each["partition"]) for each in description["partitions"]]
        return self._admin
