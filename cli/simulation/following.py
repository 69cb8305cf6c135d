"""What is heard of a run's events while it goes on: journal entries, dead letters, and how far the consumer is."""

import contextlib
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import msgspec

from cli.simulation.accounting import Accounting, Entry
from cli.simulation.events import Writer
from contracts import topics
from contracts.dead_letters import read_label
from contracts.errors import MalformedMessage
from contracts.transactions import TransactionRecorded
from infra.errors import Unavailable
from infra.kafka.following import Follower, GroupWatch

_RECORDS_MAX = 2_000
_WITHIN_S = 0.1
_RECORDED = TransactionRecorded.type.encode()


class _Posting(msgspec.Struct):
    amount_minor: int


class _JournalEntry(msgspec.Struct):
    """What of an entry matters here."""

    sequence: int
    operation_id: str
    postings: list[_Posting] = []
    booked_on: date = date.min


@dataclass(frozen=True, slots=True)
class Sample:
    """How a run stood at a moment: ``at`` of ``time.monotonic``; counts since the run began.

    ``behind`` is what the consumer's group has not taken of its topic, whoever wrote it; ``None`` where nobody knows.
    """

    at: float
    sent: int
    accepted: int
    recorded: int
    waiting: int
    behind: int | None


class Listener:
    """Tells the accounting what the topics say."""

    def __init__(
        self, follower: Follower, writer: Writer, accounting: Accounting, ledgers: Mapping[bytes, int], road: str
    ) -> None:
        """Listen to a follower of the journal and of the road's dead letters; ``ledgers`` are places by key."""
        self._follower = follower
        self._writer = writer
        self._accounting = accounting
        self._ledgers = ledgers
        self._dead_letters = topics.dead_letter_of(road).name
        self._decode = msgspec.json.Decoder(_JournalEntry).decode

    async def listen(self, recorded: Callable[[int, float], None]) -> None:
        """Listen until cancelled; tell the number of each event that was recorded, and when that was seen."""
        while True:
            records = await self._follower.take(records_max=_RECORDS_MAX, within_s=_WITHIN_S)
            now = time.monotonic()
            for record in records:
                if record.topic == self._dead_letters:
                    self._hear_dead_letter(record)
                elif (ledger := self._ledgers.get(record.key)) is not None:
                    number = self._hear_entry(record, ledger)
                    if number is not None:
                        recorded(number, now)

    def _hear_entry(self, record: Any, ledger: int) -> int | None:
        entry = self._decode(record.value)
        if not self._accounting.entry(ledger, entry.sequence) or _header(record.headers, "ce_type") != _RECORDED:
            return None
        amount_minor = sum(posting.amount_minor for posting in entry.postings)
        return self._accounting.record(Entry(ledger, entry.operation_id, amount_minor, entry.booked_on.toordinal()))

    def _hear_dead_letter(self, record: Any) -> None:
        number = self._writer.number_of((_header(record.headers, "ce_id") or b"").decode(errors="replace"))
        if number is None:
            return
        with contextlib.suppress(MalformedMessage):
            label = read_label(record.headers)
            source = (label.source.topic, label.source.partition, label.source.offset)
            self._accounting.dead_letter(number, source, label.cause, label.reason)


class Drain:
    """How much of a topic its consumer has still to take."""

    def __init__(self, follower: Follower, watch: GroupWatch) -> None:
        """Ask with these."""
        self._follower = follower
        self._watch = watch

    async def behind(self) -> int | None:
        """Return how many records are written and not taken; ``None`` where Kafka does not answer."""
        with contextlib.suppress(Unavailable):
            taken = await self._watch.offsets()
            ends = await self._follower.ends(taken)
            return sum(max(0, ends[place] - offset) for place, offset in taken.items())
        return None


def _header(headers: Iterable[tuple[str, bytes]], name: str) -> bytes | None:
    return next((value for each, value in headers if each == name), None)
