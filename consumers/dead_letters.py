"""Dead letters: a record we cannot take, kept untouched beside the reason, so that a person can look and replay it."""

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
from prometheus_client import Counter

from consumers.records import KafkaRecord
from contracts.dead_letters import DEFECT, MALFORMED, Label, label_headers
from contracts.envelope import OURS
from contracts.messages import Source
from contracts.topics import SUBMISSION_TOPICS, dead_letter_of
from infra.kafka.producer import Producer, Record, fits
from infra.telemetry.logs import get_logger

log = get_logger(__name__)

DEAD_LETTERS = Counter("cash_dead_letters_total", "Records sent to a dead-letter topic.", ["topic", "cause"])
for _topic in SUBMISSION_TOPICS:
    for _cause in (MALFORMED, DEFECT):
        # There from the beginning, at 0: of a counter that appears at 1 Prometheus sees no increase.
        DEAD_LETTERS.labels(_topic.name, _cause)


class DeadLetter(msgspec.Struct, frozen=True):
    """A record that cannot be taken. ``cause`` and ``reason`` are those of its label."""

    record: KafkaRecord
    cause: str
    reason: str
    attempts: int = 1


class DeadLetters:
    """Sends records to the dead-letter topic of where they came from."""

    def __init__(self, producer: Producer) -> None:
        """Send with this producer."""
        self._producer = producer

    async def send(self, letters: Sequence[DeadLetter]) -> None:
        """Send key, value and headers as they were, with our own headers behind them, and wait until Kafka has all.

        Sending twice is harmless: a dead letter is known by its source topic, partition and offset. An import whose
        grant ended makes a million of them, so they go together, and the log has a line for each reason.

        Raises:
            Unavailable: Kafka did not take them all; the batch must be delivered again.
        """
        if not letters:
            return
        at = datetime.now(UTC)
        await self._producer.send_all([_to_record(letter, at) for letter in letters])
        alike: dict[tuple[str, str, str], list[KafkaRecord]] = {}
        for letter in letters:
            alike.setdefault((letter.record.topic, letter.cause, letter.reason), []).append(letter.record)
        for (topic, cause, reason), (first, *more) in alike.items():
            DEAD_LETTERS.labels(topic, cause).inc(1 + len(more))
            log.warning(
                "records sent to dead letters",
                records=1 + len(more),
                cause=cause,
                reason=reason,
                topic=topic,
                partition=first.partition,
                offset=first.offset,
            )


def _to_record(letter: DeadLetter, at: datetime) -> Record:
    record = letter.record
    source = Source(topic=record.topic, partition=record.partition, offset=record.offset)
    label = Label(source, letter.cause, letter.reason, letter.attempts, at)
    # Kafka takes no record without both a key and a value; this one got past some other client.
    value = b"" if record.key is None and record.value is None else record.value
    topic = dead_letter_of(record.topic).name
    whole = Record(topic, record.key, value, [*record.headers, *label_headers(label)])
    if fits(whole):
        return whole
    # Names that are not UTF-8 grow as they are read: what nobody understands is left behind, and that is said.
    known = [(name, value) for name, value in record.headers if name in OURS]
    return Record(topic, record.key, value, [*known, *label_headers(msgspec.structs.replace(label, is_whole=False))])
