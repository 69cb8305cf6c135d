"""What a test sees of Kafka: records of a topic, from a moment on."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer

from infra.kafka.connection import connection_arguments
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
