"""What a test sees of Kafka: records of a topic, from a moment on."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.record.default_records import DefaultRecordBatch, _DefaultRecordBatchBuilderPy

from contracts.topics import PARTITIONS
from infra.kafka.connection import connection_arguments
from infra.kafka.producer import Record, partition_of
from infra.settings import KafkaSettings


@asynccontextmanager
async def reading(settings: KafkaSettings, topic: str, *, from_beginning: bool = False) -> AsyncIterator["Reading"]:
    """Read a topic from its end (or beginning) at this moment on, in no consumer group."""
    consumer = AIOKafkaConsumer(
        topic,
        **connection_arguments(settings, "tests"),
        auto_offset_reset="earliest" if from_beginning else "latest",
        max_partition_fetch_bytes=3 * 1024 * 1024,
    )
    await consumer.start()
    try:
        if not from_beginning:
            await consumer.seek_to_end()
            for partition in consumer.assignment():
                await consumer.position(partition)
        yield Reading(consumer)
    finally:
        await consumer.stop()


async def read_whole(settings: KafkaSettings, topic: str, within_s: float = 30) -> list[Any]:
    """Read a topic from its beginning to the end it has at this moment, each partition in order."""
    consumer = AIOKafkaConsumer(
        topic,
        **connection_arguments(settings, "tests"),
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=3 * 1024 * 1024,
    )
    await consumer.start()
    records: list[Any] = []
    try:
        async with asyncio.timeout(within_s):
            ends = await consumer.end_offsets(consumer.assignment())
            while any([await consumer.position(partition) < end for partition, end in ends.items()]):
                for batch in (await consumer.getmany(timeout_ms=200)).values():
                    records.extend(batch)
    finally:
        await consumer.stop()
    return records


class Reading:
    """Records read so far."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._consumer = consumer
        self.records: list[Any] = []

    async def until(self, enough: Callable[[list[Any]], bool], within_s: float = 15) -> list[Any]:
        """Read until the records satisfy a condition, and return them all."""
        try:
            async with asyncio.timeout(within_s):
                while not enough(self.records):
                    for batch in (await self._consumer.getmany(timeout_ms=200)).values():
                        self.records.extend(batch)
        except TimeoutError:
            raise AssertionError(f"not enough after {within_s} s: {len(self.records)} records") from None
        return self.records


def header(record: Any, name: str) -> str | None:
    """Return a header's text, or ``None``."""
    return next((value.decode() for key, value in record.headers if key == name and value is not None), None)


class Latin1Name(str):
    """A header's name that is not UTF-8 on the wire, as clients in other languages can send it."""

    def encode(self, *_: str) -> bytes:
        return super().encode("latin-1")


def a_batch(records: Sequence[Record], *, compression: int = DefaultRecordBatch.CODEC_NONE) -> bytes:
    """Return a record batch as it travels, made by aiokafka's Python: its C takes no name that is not UTF-8."""
    builder = _DefaultRecordBatchBuilderPy(2, compression, 0, -1, -1, -1, 1 << 20)
    for place, record in enumerate(records):
        builder.append(place, None, record.key, record.value, list(record.headers))
    return bytes(builder.build())


async def send_batch(
    settings: KafkaSettings, records: Sequence[Record], *, compression: Literal["gzip"] | None = None
) -> None:
    """Send records of one topic and key as one batch of a foreign client: any header name, compressed if asked."""
    codec = DefaultRecordBatch.CODEC_GZIP if compression else DefaultRecordBatch.CODEC_NONE
    producer = AIOKafkaProducer(
        **connection_arguments(settings, "tests"), enable_idempotence=False, compression_type=compression
    )
    await producer.start()
    try:
        batch = producer.create_batch()
        batch._builder = _DefaultRecordBatchBuilderPy(2, codec, 0, -1, -1, -1, 1 << 20)
        for record in records:
            batch.append(timestamp=None, key=record.key, value=record.value, headers=list(record.headers))
        partition = partition_of(records[0].key, range(PARTITIONS), ())
        await (await producer.send_batch(batch, records[0].topic, partition=partition))
    finally:
        await producer.stop()
