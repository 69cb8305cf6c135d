"""Reading topics from their newest records back: what is asked of the newest does not cost the whole history."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, TypeAlias, TypeVar

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from infra.errors import Unavailable
from infra.kafka.connection import connection_arguments, unavailable
from infra.kafka.groups import partitions_of
from infra.kafka.reading import SILENCE_MAX_S
from infra.kafka.tolerant_records import tolerate_any_header_name
from infra.settings import KafkaSettings

T = TypeVar("T")
KafkaRecord: TypeAlias = "ConsumerRecord[Any, Any]"
Partition: TypeAlias = TopicPartition

#: Of one answer, and of one round: so much of records that nobody has looked at yet is in memory.
_FETCH_BYTES_MAX = 1024 * 1024
_RECORDS_MAX = 1000


class Backwards:
    """Reads partitions from the end they had at the beginning towards their first record, a window at a time."""

    def __init__(self, consumer: AIOKafkaConsumer, spans: dict[Partition, tuple[int, int]]) -> None:
        """Read with a consumer that is this reader's alone; a span is from where it stops to where it begins."""
        self._consumer = consumer
        self._spans = spans

    @property
    def left(self) -> dict[Partition, int]:
        """How many records of each partition were not read yet; one that is read to its beginning is left out."""
        return {place: end - floor for place, (floor, end) in self._spans.items() if end > floor}

    def places(self, topic: str) -> list[Partition]:
        """Return a topic's partitions."""
        return [place for place in self._spans if place.topic == topic]

    async def before(self, place: Partition, count: int, take: Callable[[KafkaRecord], T]) -> list[T]:
        """Return what ``take`` makes of each of the ``count`` records before those read already, newest first.

        Raises:
            Unavailable: Kafka does not answer.
        """
        floor, end = self._spans[place]
        start = max(floor, end - count)
        taken = await self.between(place, start, end, take)
        self._spans[place] = floor, start
        taken.reverse()
        return taken

    async def between(self, place: Partition, start: int, end: int, take: Callable[[KafkaRecord], T]) -> list[T]:
        """Return what ``take`` makes of each record from an offset to before another one, oldest first.

        Raises:
            Unavailable: Kafka does not answer.
        """
        taken: list[T] = []
        async for records in self.batches(place, start, end):
            taken += [take(record) for record in records]
        return taken

    async def batches(self, place: Partition, start: int, end: int) -> AsyncIterator[Sequence[KafkaRecord]]:
        """Yield the records from an offset to before another one, oldest first.

        Raises:
            Unavailable: Kafka does not answer.
        """
        loop = asyncio.get_running_loop()
        heard_at = loop.time()
        with unavailable(f"read {place.topic}", doing="read"):
            self._consumer.assign([place])
            self._consumer.seek(place, start)
            while await self._consumer.position(place) < end:
                found = await self._consumer.getmany(place, timeout_ms=500, max_records=_RECORDS_MAX)
                if records := found.get(place):
                    heard_at = loop.time()
                    yield [record for record in records if record.offset < end]
                elif loop.time() - heard_at > SILENCE_MAX_S:
                    raise Unavailable(f"read {place.topic}: nothing came for {SILENCE_MAX_S:.0f} s")

    async def ends(self, places: Sequence[Partition]) -> dict[Partition, int]:
        """Return the offset that each partition's next record will have, at this moment.

        Raises:
            Unavailable: Kafka does not answer.
        """
        with unavailable("look at the ends of topics"):
            ends: dict[Partition, int] = await self._consumer.end_offsets(places)
            return ends


@asynccontextmanager
async def reading_back(
    settings: KafkaSettings, topics: Sequence[str], client_id: str, *, since: datetime | None = None
) -> AsyncIterator[Backwards]:
    """Open a reader at the ends of topics, in no consumer group; with ``since`` it stops where older records begin.

    Raises:
        Unavailable: Kafka does not answer, or has no such topic.
    """
    tolerate_any_header_name()
    places = await partitions_of(settings, topics)
    consumer = AIOKafkaConsumer(
        **connection_arguments(settings, client_id),
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        max_partition_fetch_bytes=_FETCH_BYTES_MAX,
    )
    try:
        with unavailable("open the topics", settings, "read"):
            async with asyncio.timeout(SILENCE_MAX_S):
                await consumer.start()
                floors = await consumer.beginning_offsets(places)
                ends = await consumer.end_offsets(places)
                if since is not None:
                    moment_ms = int(since.timestamp() * 1000)
                    found = await consumer.offsets_for_times(dict.fromkeys(places, moment_ms))
                    floors = {place: at.offset if (at := found.get(place)) else ends[place] for place in places}
        yield Backwards(consumer, {place: (floors[place], ends[place]) for place in places})
    finally:
        await consumer.stop()
