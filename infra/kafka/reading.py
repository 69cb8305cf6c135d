"""Reading a whole topic, from its beginning to an end, in no consumer group."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from infra.errors import Unavailable
from infra.kafka.connection import connection_arguments, unavailable
from infra.kafka.tolerant_records import tolerate_any_header_name
from infra.settings import KafkaSettings

#: So long Kafka may bring nothing while there is more to read.
SILENCE_MAX_S = 30.0
_FETCH_BYTES_MAX = 4 * 1024 * 1024


class TopicReader:
    """Reads a topic's records, each partition's in order; where it has come to, it goes on."""

    def __init__(self, consumer: AIOKafkaConsumer, topic: str) -> None:
        """Read with a consumer that is started, and is this reader's alone."""
        self._consumer = consumer
        self._topic = topic

    async def beginnings(self) -> dict[int, int]:
        """Return the offset of each partition's first record."""
        return self._by_partition(await self._consumer.beginning_offsets(self._partitions()))

    async def ends(self) -> dict[int, int]:
        """Return the offset that each partition's next record will have, at this moment."""
        return self._by_partition(await self._consumer.end_offsets(self._partitions()))

    async def read_to(
        self, ends: Mapping[int, int], *, records_max: int
    ) -> AsyncGenerator[Sequence["ConsumerRecord[Any, Any]"]]:
        """Yield records until every partition is read to its end; some behind the ends may come too.

        Raises:
            Unavailable: Kafka does not answer, or brings nothing for :data:`SILENCE_MAX_S`.
        """
        loop = asyncio.get_running_loop()
        heard_at = loop.time()
        with unavailable(f"read {self._topic}", doing="read"):
            while await self._is_before(ends):
                found = await self._consumer.getmany(timeout_ms=500, max_records=records_max)
                records = [record for partition in found.values() for record in partition]
                if records:
                    yield records
                    heard_at = loop.time()
                elif loop.time() - heard_at > SILENCE_MAX_S:
                    raise Unavailable(f"read {self._topic}: nothing came for {SILENCE_MAX_S:.0f} s")

    async def _is_before(self, ends: Mapping[int, int]) -> bool:
        return any(
            [await self._consumer.position(TopicPartition(self._topic, number)) < end for number, end in ends.items()]
        )

    def _partitions(self) -> set[TopicPartition]:
        return set(self._consumer.assignment())

    def _by_partition(self, offsets: Mapping[TopicPartition, int]) -> dict[int, int]:
        return {each.partition: offset for each, offset in offsets.items()}


@asynccontextmanager
async def reading(settings: KafkaSettings, topic: str, client_id: str) -> AsyncIterator[TopicReader]:
    """Open a reader at the beginning of a topic.

    Raises:
        Unavailable: Kafka does not answer, or has no such topic.
    """
    tolerate_any_header_name()
    consumer = AIOKafkaConsumer(
        topic,
        **connection_arguments(settings, client_id),
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        max_partition_fetch_bytes=_FETCH_BYTES_MAX,
    )
    try:
        with unavailable(f"open {topic}", settings, "read"):
            async with asyncio.timeout(SILENCE_MAX_S):
                await consumer.start()
        if not consumer.assignment():
            raise Unavailable(f"open {topic}: there is no such topic")
        yield TopicReader(consumer, topic)
    finally:
        await consumer.stop()
