"""FastStream's broker and the batch subscriptions we make on it: at least once, raw records, tolerant of any header."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

from aiokafka import ConsumerRecord
from aiokafka.errors import KafkaError
from faststream import AckPolicy
from faststream.exceptions import NackMessage
from faststream.kafka import KafkaBroker, KafkaMessage
from faststream.security import BaseSecurity, SASLPlaintext, SASLScram256, SASLScram512
from prometheus_client import Gauge

from infra.errors import Unavailable
from infra.kafka.lost_connections import outlive_lost_connections
from infra.kafka.tolerant_records import tolerate_any_header_name
from infra.settings import KafkaSettings
from infra.telemetry.logs import get_logger

log = get_logger(__name__)

LAG = Gauge("cash_consumer_lag_records", "Records written to our partitions and not yet taken.", ["topic", "group"])

_SASL = {"PLAIN": SASLPlaintext, "SCRAM-SHA-256": SASLScram256, "SCRAM-SHA-512": SASLScram512}

GRACEFUL_TIMEOUT_S = 15.0
BATCH_RECORDS_MAX = 2000
#: Of one partition in one answer: a batch of an import's records. With aiokafka's 1 MiB a batch was half full.
FETCH_BYTES_MAX = 2 * 1024 * 1024
#: How long an idle consumer may be deaf (STACK: FastStream waits it twice). Short where a person waits.
INTERACTIVE_WAIT_MS = 10
BULK_WAIT_MS = 200
ANSWER_TIMEOUT_S = 3.0
DEFECT_WAIT_S = 1.0

Records = Sequence["ConsumerRecord[Any, Any]"]


def create_broker(settings: KafkaSettings, client_id: str) -> KafkaBroker:
    """Return a broker that never creates topics and gives a batch 15 s to finish when stopped."""
    tolerate_any_header_name()
    outlive_lost_connections()
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
        wait_ms: int,
        instance_id: str | None = None,
    ) -> None:
        """Subscribe; consuming begins when the broker starts. ``instance_id`` as in ``KafkaSettings``."""
        self.topic = topic
        self.group = group
        self._handle = handle
        self._subscriber = broker.subscriber(
            topic,
            group_id=group,
            group_instance_id=instance_id,
            batch=True,
            max_records=BATCH_RECORDS_MAX,
            batch_timeout_ms=wait_ms,
            auto_offset_reset="earliest",
            ack_policy=AckPolicy.NACK_ON_ERROR,
            max_partition_fetch_bytes=FETCH_BYTES_MAX,
            session_timeout_ms=6_000,
            heartbeat_interval_ms=2_000,
            parser=_raw_batch,
            decoder=_undecoded,
        )
        self._subscriber(self._on_batch)

    async def _on_batch(self, message: Any) -> None:
        """Hand over; ``NackMessage`` makes FastStream rewind every partition of the batch, without a traceback."""
        records = message.raw_message
        try:
            await self._handle(records)
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

    async def problems(self) -> list[str]:
        """Return what is wrong with consuming; measures the lag on the way, which shows that the broker answers."""
        consumer = self._subscriber.consumer
        if consumer is None:
            return [f"{self.topic}: not subscribed yet"]
        partitions = consumer.assignment()
        if not partitions:
            return [f"{self.topic}: no partition assigned yet"]
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                ends = await consumer.end_offsets(partitions)
                positions = {partition: await consumer.position(partition) for partition in ends}
        except (KafkaError, TimeoutError, OSError) as error:
            return [f"{self.topic}: Kafka does not answer ({type(error).__name__})"]
        LAG.labels(self.topic, self.group).set(sum(ends[partition] - at for partition, at in positions.items()))
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
