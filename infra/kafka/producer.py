"""The one way we send to Kafka: idempotent, acknowledged by all, every send under a deadline."""

import asyncio
import contextlib
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, OutOfOrderSequenceNumber
from aiokafka.partitioner import murmur2
from prometheus_client import Counter, Histogram

from contracts.topics import TOPICS
from infra.errors import Refused, Unavailable
from infra.kafka.connection import connection_arguments
from infra.kafka.refusals import refusal_of
from infra.settings import KafkaSettings
from infra.telemetry.logs import get_logger

log = get_logger(__name__)

PUBLISH_SECONDS = Histogram(
    "cash_publish_seconds",
    "Time from sending a record to its acknowledgement.",
    ["topic"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5),
)
PUBLISH_FAILURES = Counter("cash_publish_failures_total", "Sends whose outcome is unknown or that failed.", ["topic"])
for _topic in TOPICS:
    PUBLISH_FAILURES.labels(_topic.name)
PRODUCERS_RECREATED = Counter(
    "cash_producers_recreated_total", "Producers replaced after an out-of-order sequence error."
)


#: How long after a send was refused we count as not ready. Whether it would be now only another send can tell.
REFUSED_FOR_S = 30.0

_murmur2 = lru_cache(maxsize=10_000)(murmur2)


def partition_of(key: bytes | None, partitions: Sequence[int], available: Sequence[int]) -> int:
    """Choose a record's partition as aiokafka and Java clients do: by the murmur2 hash of its key.

    The hashes are remembered: made in Python, one costs as much as all the rest of a send.
    """
    if key is None:
        return random.choice(available or partitions)
    hashed: int = _murmur2(key)
    return partitions[(hashed & 0x7FFFFFFF) % len(partitions)]


class MessageTooLarge(Exception):
    """The record is larger than its topic takes; it was not sent and never will be."""


@dataclass(frozen=True, slots=True)
class Record:
    """A record to be sent. Equal keys go to one partition (murmur2, as in Java clients) and keep their order.

    A header may be null: dead letters carry whatever their original had. ``partition`` is for a record that belongs to
    one, whatever its key says; ``timestamp_ms`` for one that is older than its sending.
    """

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]
    partition: int | None = None
    timestamp_ms: int | None = None


Acknowledgement: TypeAlias = "asyncio.Future[object]"
"""Done when Kafka has the record, or has failed for good to take it."""


class Producer:
    """An AIOKafkaProducer that is replaced when Kafka says its sequence is out of order (aiokafka issue 1017)."""

    def __init__(self, settings: KafkaSettings, *, client_id: str, linger_ms: int = 0) -> None:
        """Keep the settings; ``linger_ms`` stays 0 on a request path: sends batch while a request is in flight."""
        self._settings = settings
        self._client_id = client_id
        self._linger_ms = linger_ms
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()
        #: By topic: what was refused, and when.
        self._refused: dict[str, tuple[str, float]] = {}

    async def start(self) -> None:
        """Connect.

        Raises:
            Unavailable: no broker answers.
        """
        await self._started()

    async def stop(self) -> None:
        """Flush what was sent, then disconnect; five seconds at most."""
        producer, self._producer = self._producer, None
        if producer is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(producer.stop(), 5)

    async def send(self, record: Record) -> None:
        """Send one record and wait until all in-sync replicas have it.

        Raises:
            Unavailable: not acknowledged within the deadline. The outcome is unknown: it may still arrive, so the
                sender must try again with the same id.
            Refused: we may not write there, or not sign in.
            MessageTooLarge: it never will be.
        """
        await self.send_all([record])

    async def send_all(self, records: Sequence[Record]) -> list[tuple[int, int]]:
        """Send records, each key's in order, and wait for all; return the partition and offset of each.

        Errors as :meth:`send`, of the first that failed.
        """
        topic = records[0].topic
        for record in records:
            _refuse_oversized(record)
        producer = await self._started()
        try:
            with PUBLISH_SECONDS.labels(topic).time():
                async with asyncio.timeout(self._settings.send_timeout_s):
                    # send() queues in order; gathering the acknowledgements afterwards keeps that order and pipelines.
                    pending = [await _put(producer, record) for record in records]
                    acknowledged = await asyncio.gather(*pending)
        except MessageSizeTooLargeError as error:
            # The broker refused what we let pass; aiokafka has counted it, so every later send would be out of order.
            await self._replace(producer)
            raise MessageTooLarge(f"A record for {topic} is larger than the topic takes.") from error
        except (KafkaError, TimeoutError, OSError) as error:
            PUBLISH_FAILURES.labels(topic).inc()
            if isinstance(error, OutOfOrderSequenceNumber):
                await self._replace(producer)
            raise self._failure(f"publish to {topic}", error, topic) from error
        self._refused.pop(topic, None)
        return [(each.partition, each.offset) for each in acknowledged]

    async def queue(self, records: Sequence[Record]) -> list[Acknowledgement]:
        """Queue records behind those queued before, each key's in order, and do not wait for Kafka to have them.

        For one who sends at a pace of their own. Whatever becomes of an acknowledgement, ask for it; one that fails
        goes to :meth:`mend`. There are fewer than records where the queue stayed full, or Kafka away, for as long as
        the deadline of a send: those at the end were not sent, and never will be.
        """
        queued: list[Acknowledgement] = []
        with contextlib.suppress(KafkaError, TimeoutError, OSError, Unavailable):
            producer = await self._started()
            async with asyncio.timeout(self._settings.send_timeout_s):
                for record in records:
                    queued.append(await _put(producer, record))  # noqa: PERF401 - what was queued counts
        return queued

    async def mend(self, error: BaseException) -> None:
        """Do what is needed after an acknowledgement has failed, so that what is queued next is taken."""
        if isinstance(error, OutOfOrderSequenceNumber) and self._producer is not None:
            await self._replace(self._producer)

    async def ping(self) -> None:
        """Raise ``Unavailable`` unless a broker answers within two seconds, and refused nothing of late."""
        producer = await self._started()
        earliest = time.monotonic() - REFUSED_FOR_S
        if refusal := next((refusal for refusal, at in self._refused.values() if at > earliest), None):
            raise Refused(refusal)
        try:
            async with asyncio.timeout(2):
                answered = await producer.client.force_metadata_update()
        except (KafkaError, TimeoutError, OSError) as error:
            raise Unavailable("ping Kafka") from error
        if not answered:
            raise Unavailable("ping Kafka")

    async def _started(self) -> AIOKafkaProducer:
        if self._producer is not None:
            return self._producer
        async with self._starting:
            if self._producer is None:
                producer = AIOKafkaProducer(
                    **connection_arguments(self._settings, self._client_id),
                    acks="all",
                    enable_idempotence=True,
                    partitioner=partition_of,
                    linger_ms=self._linger_ms,
                    max_request_size=2 * 1024 * 1024,
                    request_timeout_ms=10_000,
                )
                try:
                    await asyncio.wait_for(producer.start(), self._settings.send_timeout_s)
                except (KafkaError, TimeoutError, OSError) as error:
                    with contextlib.suppress(Exception):
                        await producer.stop()
                    raise self._failure("connect to Kafka", error) from error
                self._producer = producer
            return self._producer

    def _failure(self, operation: str, error: Exception, topic: str = "") -> Unavailable:
        """Return what to raise for an error of Kafka's client; what was refused for a topic is remembered a while."""
        if refusal := refusal_of(error, self._settings, "write"):
            if topic:
                self._refused[topic] = refusal, time.monotonic()
            return Refused(refusal)
        return Unavailable(operation)

    async def _replace(self, broken: AIOKafkaProducer) -> None:
        if self._producer == broken:
            self._producer = None
            PRODUCERS_RECREATED.inc()
            log.warning("producer replaced: its sequence is out of order")
            with contextlib.suppress(Exception):
                await asyncio.wait_for(broken.stop(), 2)


async def _put(producer: AIOKafkaProducer, record: Record) -> Any:
    return await producer.send(
        record.topic,
        record.value,
        key=record.key,
        headers=record.headers,
        partition=record.partition,
        timestamp_ms=record.timestamp_ms,
    )


_RECORD_OVERHEAD_BYTES = 512
_MAX_MESSAGE_BYTES = {topic.name: topic.max_message_bytes for topic in TOPICS}


def fits(record: Record) -> bool:
    """Return whether its topic takes a record of this size."""
    return _size(record) <= _MAX_MESSAGE_BYTES[record.topic]


def _refuse_oversized(record: Record) -> None:
    """Refuse before sending: a broker's refusal costs every sender of this producer its place in the sequence."""
    if not fits(record):
        raise MessageTooLarge(f"A record of {_size(record)} bytes is larger than {record.topic} takes.")


def _size(record: Record) -> int:
    # Most names are ASCII; one that is not takes up to four bytes a letter.
    names = sum(len(name) if name.isascii() else len(name.encode()) for name, _ in record.headers)
    values = sum(len(value or b"") + 4 for _, value in record.headers)
    return len(record.key or b"") + len(record.value or b"") + names + values + _RECORD_OVERHEAD_BYTES
