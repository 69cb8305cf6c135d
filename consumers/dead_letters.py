"""Dead letters: a record we cannot take, kept untouched beside the reason, so that a person can look and replay it."""

from datetime import UTC, datetime

from prometheus_client import Counter

from consumers.records import KafkaRecord
from contracts.messages import utc_text
from contracts.topics import dead_letter_of
from infra.kafka.producer import Producer, Record
from infra.telemetry.logs import get_logger

log = get_logger(__name__)

DEAD_LETTERS = Counter("cash_dead_letters_total", "Records sent to a dead-letter topic.", ["topic", "cause"])

_REASON_LENGTH_MAX = 1000


class DeadLetters:
    """Sends records to the dead-letter topic of where they came from."""

    def __init__(self, producer: Producer) -> None:
        """Send with this producer."""
        self._producer = producer

    async def send(self, record: KafkaRecord, *, cause: str, reason: str, attempts: int) -> None:
        """Send key, value and headers as they were, with our own headers behind them, and wait until Kafka has it.

        ``cause`` is ``malformed`` or ``defect``; ``reason`` a sentence for the operator. Sending twice is harmless: a
        dead letter is known by its source topic, partition and offset.

        Raises:
            Unavailable: Kafka did not take it; the batch must be delivered again.
        """
        ours = {
            "deadletter_cause": cause,
            "deadletter_reason": reason[:_REASON_LENGTH_MAX],
            "deadletter_topic": record.topic,
            "deadletter_partition": str(record.partition),
            "deadletter_offset": str(record.offset),
            "deadletter_attempts": str(attempts),
            "deadletter_at": utc_text(datetime.now(UTC)),
        }
        headers = [*record.headers, *((name, text.encode()) for name, text in ours.items())]
        # Kafka takes no record without both a key and a value; this one got past some other client.
        value = b"" if record.key is None and record.value is None else record.value
        await self._producer.send(Record(dead_letter_of(record.topic).name, record.key, value, headers))
        DEAD_LETTERS.labels(record.topic, cause).inc()
        log.warning(
            "record sent to dead letters",
            cause=cause,
            reason=reason,
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
        )
