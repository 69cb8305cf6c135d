"""Reading a journal by key, in no consumer group: one live tail that many listen to, and pages of what came before."""

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, NamedTuple, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from contracts.topics import Topic
from infra.errors import Unavailable
from infra.kafka.connection import connection_arguments
from infra.kafka.producer import partition_of
from infra.kafka.tolerant_records import tolerate_any_header_name
from infra.settings import KafkaSettings
from infra.telemetry.logs import get_logger

log = get_logger(__name__)

ANSWER_TIMEOUT_S = 5.0
#: How long after its last use the connections to Kafka are kept.
IDLE_S = 60.0
AGAIN_S = 1.0
#: Also the longest that a question to the broker waits behind a fetch of the tail, on the same connection.
FETCH_WAIT_MS = 200
#: Of one partition in one answer, of the tail and of the reader: there about a page, whose headers are as large as its
#: values. A broker sends a larger record whole all the same (KIP-74).
TAIL_FETCH_BYTES = 512 * 1024
PAGE_FETCH_BYTES = 128 * 1024
#: Records handed over before whoever listens has a turn to take them.
TAIL_RECORDS = 200
#: How long the tail waits where one of them has little room left.
CROWDED_S = 0.005
#: What one listener may leave untaken, in bytes of values, before it has to read pages.
LISTENING_BYTES_MAX = 256 * 1024
#: A page ends when it holds so much, or took so long.
PAGE_BYTES = 64 * 1024
PAGE_S = 0.25
_PAGE_RECORDS = 100

_AWAY = (KafkaError, TimeoutError, OSError)


class JournalRecord(NamedTuple):
    """A record of the journal: where it stands in its partition, its CloudEvents type, and its value."""

    offset: int
    type: str
    value: bytes


class Page(NamedTuple):
    """Records of one key in the order they stand in, and the offset where the next page begins."""

    records: Sequence[JournalRecord]
    next_offset: int


class Listening:
    """What the tail brings for one key from the offset ``start`` on. To be used in a ``with``, which ends it.

    It holds a bounded amount. When that is exceeded, or the tail broke off, it is ``lost``: nothing more comes, and who
    wants to go on reads pages from where they are, up to the start of a new one.
    """

    def __init__(self, journal: "Journal", key: bytes, partition: int, start: int) -> None:
        self.key = key
        self.partition = partition
        self.start = start
        self.lost = False
        self._journal = journal
        self._records: deque[JournalRecord] = deque()
        self._bytes = 0
        self._changed = asyncio.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._journal.stop_listening(self)

    async def take(self) -> list[JournalRecord]:
        """Wait for records and take them all, in their order; none once it is lost."""
        while not self._records and not self.lost:
            self._changed.clear()
            await self._changed.wait()
        records = list(self._records)
        self._records.clear()
        self._bytes = 0
        return records

    def add(self, record: JournalRecord) -> bool:
        """Hold a record that the tail brought; return whether there is little room left."""
        if self.lost:
            return False
        if self._records and self._bytes + len(record.value) > LISTENING_BYTES_MAX:
            self.lose()
            return False
        self._records.append(record)
        self._bytes += len(record.value)
        self._changed.set()
        return self._bytes > LISTENING_BYTES_MAX // 2

    def lose(self) -> None:
        """Let go of everything: from here on something may be missing."""
        self.lost = True
        self._records.clear()
        self._bytes = 0
        self._changed.set()


@dataclass(eq=False)
class _Connected:
    """The two consumers, opened and closed together: one follows the end of the topic, one reads pages."""

    tail: AIOKafkaConsumer
    reader: AIOKafkaConsumer
    partitions: Sequence[int]


class Journal:
    """A topic whose records are read by key, by any number of readers over two connections to Kafka.

    It connects when somebody first wants to read and lets go a minute after the last one left: a gateway at which
    nobody looks takes no part in the traffic of a journal. For the same reason partitions without a listener are not
    fetched; one household's import is then nothing to those who look at another.
    """

    def __init__(self, settings: KafkaSettings, topic: Topic, *, client_id: str) -> None:
        """Keep the settings; :meth:`run` does the rest."""
        self._settings = settings
        self._topic = topic
        self._client_id = client_id
        self._wanted = asyncio.Event()
        self._used_at = 0.0
        self._connected: _Connected | None = None
        self._changed = asyncio.Condition()
        self._listening: dict[bytes, set[Listening]] = {}
        self._listeners: Counter[int] = Counter()
        #: By partition that is fetched: the offset of the record that the tail brings next.
        self._next: dict[int, int] = {}
        self._reading = asyncio.Lock()
        #: Partition and offset at which the reader stands, where it can go on without seeking.
        self._reader_at: tuple[int, int] | None = None

    async def run(self) -> None:
        """Connect whenever somebody wants to read, follow the end of the topic, and begin again after a loss."""
        away = False
        while True:
            await self._wanted.wait()
            try:
                async with self._connection() as connected:
                    away = False
                    await self._follow(connected)
            except _AWAY as error:
                # Once for each time it goes away; aiokafka tells of every try.
                if not away:
                    log.warning("journal not read", topic=self._topic.name, cause=repr(error))
                away = True
            except Exception as error:
                log.error("a defect", exc_info=error)
            if self._wanted.is_set():
                await asyncio.sleep(AGAIN_S)

    async def listen(self, key: bytes) -> Listening:
        """Begin to listen to the records of a key, from where the tail stands.

        That is all that is written from now on, and where others listen already a little of what was just now.

        Raises:
            Unavailable: Kafka does not answer.
        """
        async with self._asking("listen to the journal") as connected:
            partition = self._partition_of(key, connected)
            if partition not in self._next:
                place = TopicPartition(self._topic.name, partition)
                end = (await connected.reader.end_offsets([place]))[place]
                if self._connected is not connected:
                    raise Unavailable("listen to the journal")
                # Somebody else may have been faster.
                if partition not in self._next:
                    self._next[partition] = end
                    connected.tail.seek(place, end)
                    connected.tail.resume(place)
            listening = Listening(self, key, partition, self._next[partition])
            self._listening.setdefault(key, set()).add(listening)
            self._listeners[partition] += 1
            return listening

    def stop_listening(self, listening: Listening) -> None:
        """Bring nothing more; a partition that nobody listens to is fetched no more."""
        found = self._listening.get(listening.key, set())
        if listening not in found:
            return
        found.discard(listening)
        if not found:
            del self._listening[listening.key]
        self._listeners[listening.partition] -= 1
        if not self._listeners[listening.partition] and self._connected is not None:
            self._next.pop(listening.partition, None)
            self._connected.tail.pause(TopicPartition(self._topic.name, listening.partition))

    async def find_offset(self, key: bytes, moment: datetime | None) -> int:
        """Find the offset of the first record of a key's partition that was written at a moment or later.

        It is the end where there is none, and the beginning for ``None``.

        Raises:
            Unavailable: Kafka does not answer.
        """
        async with self._asking("find a place in the journal") as connected:
            place = TopicPartition(self._topic.name, self._partition_of(key, connected))
            if moment is None:
                return int((await connected.reader.beginning_offsets([place]))[place])
            found = await connected.reader.offsets_for_times({place: int(moment.timestamp() * 1000)})
            if found[place] is not None:
                return int(found[place].offset)
            return int((await connected.reader.end_offsets([place]))[place])

    async def read(self, key: bytes, offset: int, until: int) -> Page:
        """Read a page of a key's records, from an offset on and before another.

        Readers take turns, page by page. One that is slow to go on holds up nobody, and a page may be empty: it ends
        after a while, whatever it found.

        Raises:
            Unavailable: Kafka does not answer.
        """
        async with self._reading, self._asking("read the journal") as connected:
            place = TopicPartition(self._topic.name, self._partition_of(key, connected))
            reader = connected.reader
            if self._reader_at != (place.partition, offset):
                reader.assign([place])
                reader.seek(place, offset)
            self._reader_at = None
            clock = asyncio.get_running_loop().time
            ends_at = clock() + PAGE_S
            records: list[JournalRecord] = []
            size, position = 0, offset
            while position < until and size < PAGE_BYTES and clock() < ends_at:
                fetched = await reader.getmany(place, timeout_ms=int(PAGE_S * 1000), max_records=_PAGE_RECORDS)
                for record in fetched.get(place, ()):
                    if record.key == key and offset <= record.offset < until:
                        records.append(_record_of(record))
                        size += len(record.value)
                position = await reader.position(place)
                await asyncio.sleep(0)
            self._reader_at = place.partition, position
            return Page(records, position)

    async def _follow(self, connected: _Connected) -> None:
        """Hand over what comes until nobody has used it for a while."""
        while True:
            crowded = False
            fetched = await connected.tail.getmany(timeout_ms=1000, max_records=TAIL_RECORDS)
            for place, records in fetched.items():
                for record in records:
                    if found := self._listening.get(record.key):
                        ours = _record_of(record)
                        for listening in found:
                            crowded |= listening.add(ours)
                if place.partition in self._next:
                    self._next[place.partition] = records[-1].offset + 1
            if self._listening:
                self._used_at = asyncio.get_running_loop().time()
            elif asyncio.get_running_loop().time() - self._used_at > IDLE_S:
                self._wanted.clear()
                return
            # Where records come without end, aiokafka has them at hand: nobody else would have a turn.
            await asyncio.sleep(CROWDED_S if crowded else 0)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[_Connected]:
        tolerate_any_header_name()
        tail, reader = self._consumer(TAIL_FETCH_BYTES), self._consumer(PAGE_FETCH_BYTES)
        try:
            async with asyncio.timeout(2 * ANSWER_TIMEOUT_S):
                await tail.start()
                await reader.start()
                partitions = sorted(tail.partitions_for_topic(self._topic.name) or ())
                places = [TopicPartition(self._topic.name, partition) for partition in partitions]
                ends = await tail.end_offsets(places)
            tail.assign(places)
            for place in places:
                tail.seek(place, ends[place])
                tail.pause(place)
            connected = _Connected(tail, reader, partitions)
            async with self._changed:
                self._connected = connected
                self._changed.notify_all()
            yield connected
        finally:
            self._connected = self._reader_at = None
            self._next.clear()
            for listening in [each for found in self._listening.values() for each in found]:
                listening.lose()
            for consumer in (tail, reader):
                with contextlib.suppress(Exception):
                    await asyncio.wait_for(consumer.stop(), ANSWER_TIMEOUT_S)

    @asynccontextmanager
    async def _asking(self, operation: str) -> AsyncIterator[_Connected]:
        """Wait for the connections and lend them; what goes wrong then is ``Unavailable``."""
        self._used_at = asyncio.get_running_loop().time()
        self._wanted.set()
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                async with self._changed:
                    await self._changed.wait_for(lambda: self._connected is not None)
                assert self._connected is not None
                yield self._connected
        except _AWAY as error:
            raise Unavailable(operation) from error

    def _consumer(self, fetch_bytes: int) -> AIOKafkaConsumer:
        consumer = AIOKafkaConsumer(
            **connection_arguments(self._settings, self._client_id),
            enable_auto_commit=False,
            # An offset that is gone must lead to repeats, which readers drop, and never to a gap.
            auto_offset_reset="earliest",
            fetch_max_wait_ms=FETCH_WAIT_MS,
            max_partition_fetch_bytes=fetch_bytes,
            request_timeout_ms=10_000,
        )
        # Assigned, not subscribed: aiokafka would forget its place when a broker that starts says the topic has no
        # partitions. One partition is enough to learn how many there are.
        consumer.assign([TopicPartition(self._topic.name, 0)])
        return consumer

    def _partition_of(self, key: bytes, connected: _Connected) -> int:
        return partition_of(key, connected.partitions, connected.partitions)


def _record_of(record: Any) -> JournalRecord:
    kind = next((value for name, value in record.headers if name == "ce_type"), None) or b""
    return JournalRecord(record.offset, kind.decode(errors="replace"), record.value or b"")
