"""FastStream's broker and the batch subscriptions we make on it: at least once, raw records, tolerant of any header."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

from aiokafka import ConsumerRecord
from aiokafka.errors import IllegalStateError, KafkaError
from faststream import AckPolicy
from faststream.exceptions import NackMessage
from faststream.kafka import KafkaBroker, KafkaMessage
from faststream.security import BaseSecurity, SASLPlaintext, SASLScram256, SASLScram512
from prometheus_client import Gauge

from infra.errors import Unavailable
from infra.kafka.lost_connections import outlive_lost_connections
from infra.kafka.membership import Membership
from infra.kafka.refusals import refusal_of, tell_why_not_connected
from infra.kafka.tolerant_records import tolerate_any_header_name
from infra.settings import KafkaSettings
from infra.telemetry.logs import get_logger

log = get_logger(__name__)

LAG = Gauge("cash_consumer_lag_records", "Records written to our partitions and not yet taken.", ["topic", "group"])
LAG_SECONDS = Gauge(
    "cash_consumer_lag_seconds",
    "How long ago the oldest record was written that is being taken, or was put back; 0 when none is.",
    ["topic", "group"],
)

_SASL = {"PLAIN": SASLPlaintext, "SCRAM-SHA-256": SASLScram256, "SCRAM-SHA-512": SASLScram512}

GRACEFUL_TIMEOUT_S = 15.0
BATCH_RECORDS_MAX = 2000
#: Of one partition in one answer: a batch of an import's records. With aiokafka's 1 MiB a batch was half full.
FETCH_BYTES_MAX = 2 * 1024 * 1024
#: How long an idle consumer may be deaf (STACK: FastStream waits it twice). Short where a person waits.
INTERACTIVE_WAIT_MS = 10
BULK_WAIT_MS = 200
#: A member that was not heard of for so long is given up, which is the least that Kafka allows by default.
SESSION_MS = 6_000
#: How often a member asks whether its group's members changed. Until all have asked, nobody has partitions: nothing is
#: decided for so long whenever a process comes or goes.
HEARTBEAT_MS = 500
ANSWER_TIMEOUT_S = 3.0
#: How long a refusal counts after it was last heard: FastStream asks again every five seconds.
REFUSED_FOR_S = 15.0
DEFECT_WAIT_S = 1.0

Records = Sequence["ConsumerRecord[Any, Any]"]


def create_broker(settings: KafkaSettings, client_id: str) -> KafkaBroker:
    """Return a broker that never creates topics and gives a batch 15 s to finish when stopped."""
    tolerate_any_header_name()
    outlive_lost_connections()
    tell_why_not_connected()
    return KafkaBroker(
        settings.bootstrap_servers.split(","),
        client_id=client_id,
        security=_security(settings),
        allow_auto_create_topics=False,
        graceful_timeout=GRACEFUL_TIMEOUT_S,
        apply_types=False,
        logger=None,
    )


class BatchSubscription:
    """One consumer group on one topic, handing over raw batches; the offset is committed when the handler returns.

    The handler raises ``Unavailable`` to get the batch again, after a wait of its own.
    """

    def __init__(
        self,
        broker: KafkaBroker,
        topic: str,
        group: str,
        handle: Callable[[Records], Awaitable[None]],
        *,
        settings: KafkaSettings,
        wait_ms: int,
    ) -> None:
        """Subscribe; consuming begins when the broker starts. ``settings`` are those the broker was made with."""
        self.topic = topic
        self.group = group
        self._handle = handle
        self._membership = Membership(topic, group)
        self.settings = settings
        self._refusal: str | None = None
        self._refused_at = 0.0
        #: When the oldest record was written of a batch that is being taken, or was put back; seconds since 1970.
        self._oldest_at: float | None = None
        self._is_taking = False
        LAG_SECONDS.labels(topic, group).set_function(self.lag_s)
        self._subscriber = broker.subscriber(
            topic,
            group_id=group,
            group_instance_id=settings.instance_id,
            batch=True,
            max_records=BATCH_RECORDS_MAX,
            batch_timeout_ms=wait_ms,
            auto_offset_reset="earliest",
            ack_policy=AckPolicy.NACK_ON_ERROR,
            max_partition_fetch_bytes=FETCH_BYTES_MAX,
            session_timeout_ms=SESSION_MS,
            heartbeat_interval_ms=HEARTBEAT_MS,
            listener=self._membership,
            parser=_raw_batch,
            decoder=_undecoded,
        )
        self._subscriber(self._on_batch)
        self._get = self._subscriber.get_msg
        self._subscriber.get_msg = self._get_noting_refusals  # type: ignore[method-assign]

    async def _get_noting_refusals(self, consumer: Any) -> Any:
        """Get a batch; FastStream waits five seconds after any error of Kafka's and, having no logger, says nothing."""
        self._membership.end_batch()
        try:
            if records := await self._get(consumer):
                self._membership.begin_batch()
            return records
        except KafkaError as error:
            self._note(error)
            raise

    def _note(self, error: BaseException) -> str | None:
        """Remember what Kafka refuses and log it, once for as long as it does; return it, or ``None``."""
        if (refusal := refusal_of(error, self.settings, "read")) is None:
            return None
        if self.refusal != refusal:
            log.error("Kafka refuses", topic=self.topic, group=self.group, why=refusal)
        self._refusal, self._refused_at = refusal, time.monotonic()
        return refusal

    @property
    def refusal(self) -> str | None:
        """What Kafka refused us just now, in a sentence; every try is a few seconds after the last."""
        return self._refusal if time.monotonic() - self._refused_at < REFUSED_FOR_S else None

    async def _on_batch(self, message: Any) -> None:
        """Hand over; ``NackMessage`` makes FastStream rewind every partition of the batch, without a traceback."""
        records = message.raw_message
        self._oldest_at, self._is_taking = min(record.timestamp for record in records) / 1000, True
        try:
            await self._handle(records)
            self._oldest_at = None
            # The message stands in a circle of references. With all its records it would wait for the collector, which
            # looks seldom: a consumer grew to 300 MB in a backlog [measured].
            message.raw_message = records[:1]
        except Unavailable as error:
            raise NackMessage from error
        except (
            Exception
        ) as error:  # a defect beside the decisions: try again, but not in a hot loop, and not in silence
            log.error("batch failed as a whole", topic=self.topic, exc_info=error)
            await asyncio.sleep(DEFECT_WAIT_S)
            raise NackMessage from error
        finally:
            self._is_taking = False

    def lag_s(self) -> float:
        """Return how long ago the oldest record was written of what is being taken, or was put back; 0 for none."""
        return 0.0 if self._oldest_at is None else max(0.0, time.time() - self._oldest_at)

    async def problems(self) -> list[str]:
        """Return what is wrong with consuming; measures the lag on the way, which shows that the broker answers."""
        if self.refusal:
            return [f"{self.topic}: {self.refusal}"]
        consumer = self._subscriber.consumer
        if consumer is None:
            return [f"{self.topic}: not subscribed yet"]
        if problem := self._membership.problem():
            return [f"{self.topic}: {problem}"]
        partitions = consumer.assignment() if not self._membership.is_rebalancing else frozenset()
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                if not partitions and self.topic not in await consumer.topics():
                    return [f"{self.topic}: Kafka has no such topic, or shows us none"]
                ends = await consumer.end_offsets(partitions)
                positions = {partition: await consumer.position(partition) for partition in ends}
        except IllegalStateError:
            return []  # a partition was taken away while we asked
        except (KafkaError, TimeoutError, OSError) as error:
            return [f"{self.topic}: {self._note(error) or f'Kafka does not answer ({type(error).__name__})'}"]
        waiting = sum(ends[partition] - at for partition, at in positions.items())
        LAG.labels(self.topic, self.group).set(waiting)
        if not waiting and not self._is_taking:
            self._oldest_at = None  # what was put back is another consumer's now
        return []


def _security(settings: KafkaSettings) -> BaseSecurity:
    tls, context = settings.security_protocol.endswith("SSL"), settings.ssl_context()
    if settings.sasl_username is None or settings.sasl_password is None:
        return BaseSecurity(ssl_context=context, use_ssl=tls)
    credentials = (settings.sasl_username, settings.sasl_password.get_secret_value(), context, tls)
    return _SASL[settings.sasl_mechanism](*credentials)


async def _raw_batch(
    records: tuple["ConsumerRecord[Any, Any]", ...], original: Callable[[Any], Awaitable[KafkaMessage]]
) -> KafkaMessage:
    """Parse a batch without touching a header: FastStream's parser fails on one that is null or not UTF-8.

    It sees the first record without headers, for the acknowledgement it wires up; the handler sees the raw records.
    """
    message = await original((replace(records[0], headers=(), value=b""),))
    message.raw_message = records
    return message


async def _undecoded(message: KafkaMessage) -> KafkaMessage:
    return message
