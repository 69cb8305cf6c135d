"""The shadow: a second ledger database that is made from the journal alone, entry by entry."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from aiokafka import ConsumerRecord

from consumers.repositories.books import BooksRepository
from consumers.repositories.claims import find_stranger, restore
from contracts.catalog import read_journal_entry
from contracts.envelope import RESTORED
from contracts.errors import MalformedMessage
from contracts.messages import LedgerEntry
from infra.kafka.reading import TopicReader
from infra.postgres.engine import Database

BATCH_ENTRIES = 10_000
#: Of one batch; nobody waits for it, and a slow machine may take long.
BATCH_TIMEOUT_S = 600


class JournalDamaged(Exception):
    """The journal does not say what it must; the message is a sentence with the place and what to do."""


@dataclass(slots=True)
class Taken:
    """What was taken from the journal so far: entries, repeats left out, and where their submissions stood.

    ``offsets`` are the highest by topic and partition. What a restore has put into the journal counts for none: it
    tells of offsets in topics that are gone, and a group set to one of those would pass over what stands before it.
    """

    entries: int = 0
    repeats: int = 0
    offsets: dict[str, dict[int, int]] = field(default_factory=dict)

    def note(self, entry: LedgerEntry, *, restored: bool) -> None:
        """Count an entry in."""
        self.entries += 1
        if restored:
            return
        source = entry.source
        partitions = self.offsets.setdefault(source.topic, {})
        if partitions.get(source.partition, -1) < source.offset:
            partitions[source.partition] = source.offset


class Shadow:
    """Takes the journal's entries into the shadow database, with the code that writes the rows of decisions."""

    def __init__(self, database: Database, progress: Callable[[Taken], None]) -> None:
        """Write into a migrated database that nobody else writes; ``progress`` is told after each batch."""
        self._database = database
        self._progress = progress
        self._repository = BooksRepository()
        self.taken = Taken()

    async def read_to(
        self, reader: TopicReader, ends: Mapping[int, int], until: Mapping[UUID, int] | None = None
    ) -> None:
        """Take what the journal holds up to these ends, by partition.

        With ``until`` entries behind a ledger's last sequence there are passed over, and ledgers that are not in it.

        Raises:
            JournalDamaged: an entry is missing or cannot be read, or there are two of one number.
            Unavailable: a server is down.
        """
        batches = _read_ahead(reader, ends)
        try:
            async for records in batches:
                found = [_read(record) for record in records]
                if until is not None:
                    found = [each for each in found if each.entry.sequence <= until.get(each.entry.ledger_id, 0)]
                if found:
                    await self._take(found)
                    self._progress(self.taken)
        finally:
            await batches.aclose()

    async def _take(self, found: Sequence["_Found"]) -> None:
        repeats: list[LedgerEntry] = []
        fresh: list[_Found] = []
        async with self._database.transaction("take in journal entries", timeout_s=BATCH_TIMEOUT_S) as connection:
            books = await self._repository.load_for_entries(connection, [each.entry for each in found])
            for each in found:
                entry, ledger = each.entry, books[each.entry.ledger_id]
                if entry.sequence <= ledger.sequence:
                    repeats.append(entry)
                    continue
                if entry.sequence != ledger.sequence + 1:
                    raise JournalDamaged(
                        f"ledger.journal has a gap: of ledger {entry.ledger_id} entry {ledger.sequence + 1} should come"
                        f" next, and entry {entry.sequence} comes, {each.place};"
                        " see docs/rebuild.md, 'When the journal has a gap'"
                    )
                ledger.enter([entry])
                fresh.append(each)
            await self._repository.save(connection, books.values(), ())
            await restore(connection, [each.entry for each in fresh])
            if repeats and (stranger := await find_stranger(connection, repeats)):
                raise JournalDamaged(
                    f"ledger.journal holds two different entries {stranger[1]} of ledger {stranger[0]};"
                    " see docs/rebuild.md, 'When the journal tells two histories'"
                )
        self.taken.repeats += len(repeats)
        for each in fresh:
            self.taken.note(each.entry, restored=each.restored)


@dataclass(frozen=True, slots=True)
class _Found:
    """An entry, where in the journal it stands, and whether a restore has put it there."""

    entry: LedgerEntry
    place: str
    restored: bool


def _read(record: "ConsumerRecord[Any, Any]") -> _Found:
    place = f"at offset {record.offset} of partition {record.partition}"
    kind = next((value for name, value in record.headers if name == "ce_type" and value is not None), b"")
    try:
        entry = read_journal_entry(kind.decode(errors="replace"), record.value)
    except MalformedMessage as error:
        raise JournalDamaged(f"ledger.journal holds what is no entry, {place}: {error}") from error
    if not isinstance(entry, LedgerEntry):
        raise JournalDamaged(f"ledger.journal holds an entry of another journal, {place}: {entry.type}")
    return _Found(entry, place, any(name == RESTORED for name, _ in record.headers))


async def _read_ahead(
    reader: TopicReader, ends: Mapping[int, int]
) -> AsyncGenerator[Sequence["ConsumerRecord[Any, Any]"]]:
    """Fetch the next records while the last ones are being taken."""
    batches = reader.read_to(ends, records_max=BATCH_ENTRIES)
    following = asyncio.ensure_future(anext(batches, None))
    try:
        while (records := await following) is not None:
            following = asyncio.ensure_future(anext(batches, None))
            yield records
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await batches.aclose()
