"""The journal's records: from Kafka into an archive, and from there, and from an outbox, into Kafka again.

An archive has them as they stand in the topic. What is put back is each ledger's entries in their order, once, up to
the last one that the ledger database knows, and marked: their offsets are of topics that are gone.
"""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias
from uuid import UUID

import msgspec

from contracts import topics
from contracts.envelope import RESTORED
from infra.backups.archive import ArchiveReader, ArchiveWriter
from infra.backups.chunks import CHUNK_BYTES, ChunkWriter, read_chunks
from infra.kafka.producer import Producer, Record
from infra.kafka.reading import TopicReader, reading
from infra.settings import KafkaSettings

if TYPE_CHECKING:
    from infra.backups.tables import PlainConnection

JOURNAL = topics.LEDGER_JOURNAL.name
FOLDER = "journal"
_CLIENT = "backup"
_RECORDS_AT_ONCE = 2_000
#: So long a broker may take for as many.
_SENT_WITHIN_S = 60.0

Headers: TypeAlias = list[tuple[str, bytes | None]]

_OUTBOX = "SELECT messages, created_at FROM outbox WHERE topic = $1 AND (sent_at IS NULL OR NOT $2) ORDER BY id"
_SEQUENCES = "SELECT id, sequence FROM ledgers WHERE sequence > 0"


class JournalRecord(msgspec.Struct, frozen=True, array_like=True):
    """A record as it stood in the topic, without its place there."""

    timestamp_ms: int
    key: bytes
    headers: Headers
    value: bytes


class _Numbered(msgspec.Struct):
    """What is read of an entry here."""

    sequence: int


_number = msgspec.json.Decoder(_Numbered)
_pack = msgspec.msgpack.Encoder()
_unpack = msgspec.msgpack.Decoder(list[JournalRecord])
_unpack_outbox = msgspec.msgpack.Decoder(list[tuple[bytes, Headers, bytes]])


class Heights(dict[UUID, int]):
    """The last entry of each ledger, as far as one has come without a gap."""

    def is_next(self, record: JournalRecord) -> bool:
        """Count a record in; return whether it is the next entry of its ledger, and not a repeat or behind a gap."""
        place = find_place(record)
        if place is None or place[1] != self.get(place[0], 0) + 1:
            return False
        self[place[0]] = place[1]
        return True

    def lacking(self, wanted: Mapping[UUID, int]) -> list[UUID]:
        """Return the ledgers of which entries are missing."""
        return [ledger_id for ledger_id, last in wanted.items() if self.get(ledger_id, 0) < last]


def find_place(record: JournalRecord) -> tuple[UUID, int] | None:
    """Return the ledger that an entry is of, and its number there; nothing for what is no entry."""
    try:
        return UUID(record.key.decode()), _number.decode(record.value).sequence
    except (ValueError, msgspec.MsgspecError):
        return None


async def read_heights(connection: "PlainConnection") -> dict[UUID, int]:
    """Return the last entry of each ledger that the ledger database knows."""
    return {row["id"]: row["sequence"] for row in await connection.fetch(_SEQUENCES)}


async def dump_journal(kafka: KafkaSettings, archive: ArchiveWriter) -> tuple[int, Heights]:
    """Put the journal into the archive, up to where it ends now; return how many records, and how far they go.

    Raises:
        Unavailable: Kafka does not answer.
    """
    chunks = ChunkWriter(archive, FOLDER)
    heights = Heights()
    count = size = 0
    held: list[JournalRecord] = []
    async with reading(kafka, JOURNAL, _CLIENT) as reader:
        async for records in _records(reader):
            for record in records:
                heights.is_next(record)
                held.append(record)
                size += len(record.value) + sum(len(value or b"") for _, value in record.headers)
                if size > CHUNK_BYTES:
                    await _write(chunks, held)
                    held, size = [], 0
            count += len(records)
    await _write(chunks, held)
    return count, heights


async def read_journal(archive: ArchiveReader) -> AsyncIterator[list[JournalRecord]]:
    """Yield an archive's records, each ledger's in their order."""
    async for chunk in read_chunks(archive, FOLDER):
        yield _unpack.decode(chunk)


async def read_outbox(
    connection: "PlainConnection", *, unsent_only: bool = False
) -> AsyncIterator[list[JournalRecord]]:
    """Yield the entries that an outbox holds; it must be read in a database transaction."""
    async for row in connection.cursor(_OUTBOX, JOURNAL, unsent_only, prefetch=20):
        at = int(row["created_at"].timestamp() * 1000)
        yield [JournalRecord(at, *message) for message in _unpack_outbox.decode(row["messages"])]


async def all_entries(archive: ArchiveReader, connection: "PlainConnection") -> AsyncIterator[list[JournalRecord]]:
    """Yield what an archive and an outbox know of the journal, the older first; some come twice."""
    async for records in read_journal(archive):
        yield records
    async for records in read_outbox(connection):
        yield records


async def measure(entries: AsyncIterator[Sequence[JournalRecord]]) -> Heights:
    """Return how far entries go."""
    heights = Heights()
    async for records in entries:
        for record in records:
            heights.is_next(record)
    return heights


async def write_journal(
    kafka: KafkaSettings, entries: AsyncIterator[Sequence[JournalRecord]], until: Mapping[UUID, int], mark: UUID
) -> tuple[int, Heights]:
    """Write entries into the journal, marked, up to each ledger's last one; return how many, and how far they go.

    Raises:
        Unavailable: Kafka does not answer, or refuses.
    """
    heights = Heights()
    count = 0
    patient = kafka.model_copy(update={"send_timeout_s": _SENT_WITHIN_S})
    producer = Producer(patient, client_id=_CLIENT, linger_ms=5)
    await producer.start()
    try:
        async for records in entries:
            wanted = [each for each in records if _is_known(each, until) and heights.is_next(each)]
            for some in _slices(wanted):
                await producer.send_all([_marked(each, mark) for each in some])
            count += len(wanted)
    finally:
        await producer.stop()
    return count, heights


@dataclass(slots=True)
class Survey:
    """What stands in a journal: the marks its records have (``None``: one has none), the last entry of each ledger."""

    marks: set[str | None] = field(default_factory=set)
    last: dict[UUID, int] = field(default_factory=dict)

    def beyond(self, known: Mapping[UUID, int]) -> list[UUID]:
        """Return the ledgers of which the journal has a later entry than is known."""
        return [ledger_id for ledger_id, last in self.last.items() if last > known.get(ledger_id, 0)]


async def survey_journal(kafka: KafkaSettings) -> Survey:
    """Read the whole journal and return what stands in it.

    Raises:
        Unavailable: Kafka does not answer.
    """
    found = Survey()
    async with reading(kafka, JOURNAL, _CLIENT) as reader:
        async for records in _records(reader):
            for record in records:
                found.marks.add(_mark_of(record))
                if place := find_place(record):
                    ledger_id, sequence = place
                    found.last[ledger_id] = max(sequence, found.last.get(ledger_id, 0))
    return found


async def _records(reader: TopicReader) -> AsyncIterator[list[JournalRecord]]:
    batches = reader.read_to(await reader.ends(), records_max=_RECORDS_AT_ONCE)
    try:
        async for records in batches:
            yield [
                JournalRecord(record.timestamp, record.key or b"", list(record.headers), record.value or b"")
                for record in records
            ]
    finally:
        await batches.aclose()


async def _write(chunks: ChunkWriter, records: Sequence[JournalRecord]) -> None:
    """Write records as one chunk, which can be read by itself."""
    if records:
        await chunks.take(_pack.encode(records))
        await chunks.flush()


def _is_known(record: JournalRecord, until: Mapping[UUID, int]) -> bool:
    place = find_place(record)
    return place is not None and place[1] <= until.get(place[0], 0)


def _marked(record: JournalRecord, mark: UUID) -> Record:
    headers = [header for header in record.headers if header[0] != RESTORED]
    return Record(
        JOURNAL, record.key, record.value, [*headers, (RESTORED, str(mark).encode())], timestamp_ms=record.timestamp_ms
    )


def _mark_of(record: JournalRecord) -> str | None:
    return next((value.decode() for name, value in record.headers if name == RESTORED and value), None)


def _slices(records: Sequence[JournalRecord]) -> Iterator[Sequence[JournalRecord]]:
    for at in range(0, len(records), _RECORDS_AT_ONCE):
        yield records[at : at + _RECORDS_AT_ONCE]
