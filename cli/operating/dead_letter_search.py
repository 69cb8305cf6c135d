"""Finding dead letters: the newest, or how many of each kind, by reading no more of their topics than that takes."""

import math
import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from uuid import UUID

import jwt
from aiokafka import TopicPartition

from cli.terminal.output import note
from contracts.dead_letters import AnyHeaders, Label, read_label
from contracts.errors import MalformedMessage
from contracts.messages import Source
from contracts.topics import LEDGER_BULK, SUBMISSION_TOPICS, dead_letter_of
from infra.kafka.reading_back import Backwards, KafkaRecord, Partition, reading_back
from infra.settings import KafkaSettings

CLIENT_ID = "dead-letters"
#: Windows grow: the newest few cost little, and a million are read in large pieces.
_WINDOW_FIRST = 64
_WINDOW_MAX = 4096
_BLOCK_BITS = 12
_SAY_EVERY_S = 5.0


class Sources:
    """A set of places of records, kept as bits: a million of them take little memory."""

    def __init__(self) -> None:
        """Begin empty."""
        self._blocks: dict[tuple[str, int, int], int] = {}

    def add(self, source: Source) -> bool:
        """Add a place; return whether it was not there yet."""
        block, bit = self._bit(source)
        bits = self._blocks.get(block, 0)
        self._blocks[block] = bits | bit
        return not bits & bit

    def __contains__(self, source: Source) -> bool:
        block, bit = self._bit(source)
        return bool(self._blocks.get(block, 0) & bit)

    def _bit(self, source: Source) -> tuple[tuple[str, int, int], int]:
        block, place = source.offset >> _BLOCK_BITS, source.offset & ((1 << _BLOCK_BITS) - 1)
        return (source.topic, source.partition, block), 1 << place


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter without what was in it: its label, where it is kept, and the headers.

    ``size`` is that of key and value, in bytes.
    """

    label: Label
    place: Partition
    offset: int
    written_at: datetime
    headers: AnyHeaders
    size: int

    @property
    def id(self) -> Source:
        """Its identity: where the record stood that could not be taken."""
        return self.label.source

    @property
    def type(self) -> str | None:
        """The type its record claims to be of."""
        return self._text("ce_type")

    @property
    def operation_id(self) -> UUID | None:
        """The id of the operation its record asks for, as the record says."""
        try:
            return UUID(self._text("ce_operationid") or "")
        except ValueError:
            return None

    @property
    def grant_ended_at(self) -> datetime | None:
        """When the bulk grant ended that it needs, if it has ended: a replay of it will be refused again."""
        grant = self._text("ce_grant") if self.id.topic == LEDGER_BULK.name else None
        ends_at = _ends_at(grant) if grant else None
        return ends_at if ends_at and ends_at <= datetime.now(UTC) else None

    def _text(self, header: str) -> str | None:
        value = dict(self.headers).get(header)
        return None if value is None else value.decode(errors="backslashreplace")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which dead letters: of these submission topics, of a cause, with these words in the reason, since a moment."""

    topics: Sequence[str] = tuple(topic.name for topic in SUBMISSION_TOPICS)
    cause: str | None = None
    reason: str | None = None
    since: datetime | None = None

    def match(self, letter: Letter) -> bool:
        """Return whether a letter is one of them."""
        label = letter.label
        return (
            self.cause in (None, label.cause)
            and (self.reason is None or self.reason.casefold() in label.reason.casefold())
            and (self.since is None or label.at >= self.since)
        )


@dataclass(slots=True)
class Search:
    """A search under way: how much it has looked at, and what it found on the way.

    ``strangers`` are records that are no dead letters of ours. ``replayed`` are the letters of which a newer one says
    that it was their replay, ``seen`` all that were met.
    """

    reader: Backwards
    looked_at: int = 0
    strangers: int = 0
    seen: Sources = field(default_factory=Sources)
    replayed: Sources = field(default_factory=Sources)
    _said_at: float = field(default_factory=time.monotonic)
    _edges: dict[Partition, float] = field(default_factory=dict)
    _sizes: dict[Partition, int] = field(default_factory=dict)

    @property
    def not_looked_at(self) -> int:
        """How many records there are that were not looked at, all of them older."""
        return sum(self.reader.left.values())

    @property
    def edge(self) -> float:
        """When, in seconds since 1970, the newest record can have been written that was not looked at."""
        return max((self._edges.get(place, float("inf")) for place in self.reader.left), default=0.0)

    async def windows(self, look_at: int | None = None, *, first: Collection[int] = ()) -> AsyncIterator[list[Letter]]:
        """Yield letters, each once, a window of one partition at a time: next is always where the newest can be.

        Args:
            look_at: how many records at most; ``None`` for all there are.
            first: partitions to read before all others.
        """
        while left := self.reader.left:
            place = max(left, key=lambda each: (each.partition in first, self._edges.get(each, float("inf"))))
            size = self._sizes.get(place, _WINDOW_FIRST)
            if look_at is not None:
                size = min(size, look_at - self.looked_at)
            if size <= 0:
                return
            self._sizes[place] = min(size * 4, _WINDOW_MAX)
            read = await self.reader.before(place, size, lambda record: (record.timestamp / 1000, read_letter(record)))
            self.looked_at += len(read)
            self.strangers += sum(letter is None for _, letter in read)
            self._edges[place] = read[-1][0] if read else 0.0
            self._say_progress(look_at)
            yield [letter for _, letter in read if letter is not None and self._is_new(letter)]

    def _say_progress(self, look_at: int | None) -> None:
        left = self.not_looked_at
        if left and time.monotonic() - self._said_at > _SAY_EVERY_S:
            self._said_at = time.monotonic()
            note(f"Looked at {self.looked_at:,} of {min(self.looked_at + left, look_at or math.inf):,} dead letters.")

    def _is_new(self, letter: Letter) -> bool:
        # The same one may have been written twice: its batch was delivered again.
        if not self.seen.add(letter.id):
            return False
        if letter.label.replay_of is not None:
            self.replayed.add(letter.label.replay_of)
        return True


@asynccontextmanager
async def searching(kafka: KafkaSettings, wanted: Wanted) -> AsyncIterator[Search]:
    """Open a search among the dead letters of the wanted topics; raise ``Unavailable`` where Kafka does not answer."""
    topics = [dead_letter_of(topic).name for topic in wanted.topics]
    async with reading_back(kafka, topics, CLIENT_ID, since=wanted.since) as reader:
        yield Search(reader)


async def find_newest(search: Search, wanted: Wanted, *, limit: int, look_at: int | None) -> list[Letter]:
    """Return the newest letters that are wanted, newest first."""
    newest: list[Letter] = []
    async for window in search.windows(look_at):
        newest += filter(wanted.match, window)
        newest.sort(key=lambda letter: letter.written_at, reverse=True)
        del newest[limit:]
        if len(newest) == limit and search.edge <= newest[-1].written_at.timestamp():
            break
    return newest


@dataclass(slots=True)
class Kind:
    """How many letters are of one kind, and when the newest was given up."""

    count: int
    newest_at: datetime


async def count_kinds(
    search: Search, wanted: Wanted, kind_of: Callable[[Letter], tuple[str, ...]], *, look_at: int | None, kinds_max: int
) -> tuple[dict[tuple[str, ...], Kind], int]:
    """Count letters by their kind; return the kinds, and how many letters were of others beyond ``kinds_max``."""
    kinds: dict[tuple[str, ...], Kind] = {}
    others = 0
    async for window in search.windows(look_at):
        for letter in filter(wanted.match, window):
            name = kind_of(letter)
            if (kind := kinds.get(name)) is not None:
                kind.count += 1
                kind.newest_at = max(kind.newest_at, letter.label.at)
            elif len(kinds) < kinds_max:
                kinds[name] = Kind(1, letter.label.at)
            else:
                others += 1
    return kinds, others


async def find_letters(search: Search, ids: Sequence[Source]) -> tuple[dict[Source, Letter], dict[Source, Letter]]:
    """Find letters by their ids, and of each the newest replay that became a dead letter too."""
    missing, found = set(ids), dict[Source, Letter]()
    replays: dict[Source, Letter] = {}
    # A dead letter has its record's key, so almost always the number of its partition too.
    async for window in search.windows(first={each.partition for each in ids}):
        for letter in window:
            if letter.id in missing:
                missing.discard(letter.id)
                found[letter.id] = letter
            if (of := letter.label.replay_of) is not None and of in ids:
                replays.setdefault(of, letter)
        if not missing:
            break
    return found, replays


def read_letter(record: KafkaRecord) -> Letter | None:
    """Read a record of a dead-letter topic, all but its value; ``None`` where it is no dead letter of ours."""
    try:
        label = read_label(record.headers)
    except MalformedMessage:
        return None
    return Letter(
        label=label,
        place=TopicPartition(record.topic, record.partition),
        offset=record.offset,
        written_at=datetime.fromtimestamp(record.timestamp / 1000, UTC),
        headers=record.headers,
        size=len(record.key or b"") + len(record.value or b""),
    )


@lru_cache(maxsize=1000)
def _ends_at(grant: str) -> datetime | None:
    """Return when a grant ends, as it says itself; nobody is let in by this."""
    try:
        claims = jwt.decode(grant, options={"verify_signature": False})
        return datetime.fromtimestamp(claims["exp"], UTC)
    except (jwt.InvalidTokenError, KeyError, TypeError, ValueError, OverflowError, OSError):
        return None
