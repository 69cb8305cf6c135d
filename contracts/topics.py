"""The topics: what each carries, how it is keyed, and how long it is kept."""

from dataclasses import dataclass
from datetime import timedelta

DEAD_LETTER_SUFFIX = ".dead-letter"
PARTITIONS = 12
"""Of each topic, unless ``CASH_KAFKA_PARTITIONS`` says otherwise before it is made. Changing it later would break the
order of a key."""

_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Topic:
    """A Kafka topic with the settings it is created with.

    ``retention`` of ``None`` keeps records for ever. Kafka deletes closed segments only, so ``segment`` bounds how much
    longer than its retention a record may stay. What it ``carries`` and its ``key`` is for people: the AsyncAPI
    document and the topic cards show it. By whom it is ``written_by`` and ``read_by``, each a user of Kafka, they show
    too, and the broker lets nobody else (``infra/kafka/access.py``). ``group`` is the consumer group in which its
    readers take its records, empty where each reads for itself.
    """

    name: str
    retention: timedelta | None
    carries: str
    key: str
    written_by: tuple[str, ...]
    read_by: tuple[str, ...] = ()
    group: str = ""
    segment: timedelta = timedelta(days=1)
    max_message_bytes: int = _MIB
    log_append_time: bool = False

    def settings(self) -> dict[str, str]:
        """Return the topic's configuration as Kafka names it."""
        return {
            "cleanup.policy": "delete",
            "retention.ms": "-1" if self.retention is None else _milliseconds(self.retention),
            "retention.bytes": "-1",
            "segment.ms": _milliseconds(self.segment),
            "max.message.bytes": str(self.max_message_bytes),
            "message.timestamp.type": "LogAppendTime" if self.log_append_time else "CreateTime",
            # Whatever a producer packs with, no reader needs its codec, and max.message.bytes speaks of what is read.
            "compression.type": "uncompressed",
        }


def _milliseconds(span: timedelta) -> str:
    return str(span // timedelta(milliseconds=1))


IDENTITY_SUBMISSIONS = Topic(
    "identity.submissions",
    timedelta(days=7),
    carries="What people ask about registering and signing in, and letters to be written.",
    key="registration or user id",
    # The operator sends dead letters again.
    written_by=("gateway", "operator"),
    read_by=("identity-consumer",),
    group="identity-consumer",
)
LEDGER_SUBMISSIONS = Topic(
    "ledger.submissions",
    timedelta(days=7),
    carries="What people ask of their books.",
    key="ledger id",
    # The simulator in a person's name too: a cluster that needs none is given no password for it, and has no such user.
    written_by=("gateway", "operator", "simulator"),
    read_by=("ledger-consumer",),
    group="ledger-consumer",
)
#: The broker's own time, because a bulk grant's expiry is judged by it.
LEDGER_BULK = Topic(
    "ledger.bulk",
    timedelta(days=7),
    carries="The same from imports, each record with a bulk grant: a million rows must not delay a person's one.",
    key="ledger id",
    written_by=("importer", "operator", "simulator"),
    read_by=("ledger-consumer",),
    # One of its own, so that a million imported rows do not stand in front of a person's one.
    group="ledger-consumer-bulk",
    log_append_time=True,
)
IDENTITY_JOURNAL = Topic(
    "identity.journal",
    timedelta(days=30),
    carries="What was decided about registrations, users and sessions; ids only, no name, no address.",
    key="user or registration id",
    written_by=("relay",),
    # `cash test` compares it with the stored users.
    read_by=("operator",),
    max_message_bytes=2 * _MIB,
)
LEDGER_JOURNAL = Topic(
    "ledger.journal",
    None,
    carries="What was decided about the books, with each ledger's own sequence from 1 without gaps.",
    key="ledger id",
    written_by=("relay",),
    # Gateways show what changes. The others look what was recorded: before a start, a rebuild, a verdict.
    read_by=("gateway", "ledger-consumer", "operator", "simulator"),
    segment=timedelta(days=7),
    max_message_bytes=2 * _MIB,
)


SUBMISSION_TOPICS = (IDENTITY_SUBMISSIONS, LEDGER_SUBMISSIONS, LEDGER_BULK)
_DEAD_LETTERS = {
    source.name: Topic(
        source.name + DEAD_LETTER_SUFFIX,
        timedelta(days=30),
        carries=f"Records of {source.name} that could not be taken, untouched, each with the reason.",
        key="as the original",
        written_by=source.read_by,
        # The simulator looks for what it has sent flawed.
        read_by=("operator", "simulator") if "simulator" in source.written_by else ("operator",),
        max_message_bytes=2 * _MIB,
    )
    for source in SUBMISSION_TOPICS
}


def dead_letter_of(source: str) -> Topic:
    """Return the topic that keeps what could not be taken from the submission topic ``source``."""
    return _DEAD_LETTERS[source]


TOPICS: tuple[Topic, ...] = (
    *SUBMISSION_TOPICS,
    IDENTITY_JOURNAL,
    LEDGER_JOURNAL,
    *_DEAD_LETTERS.values(),
)
