"""A ledger's journal in memory, with its readers, and entries as they stand in it."""

from collections.abc import Iterable
from datetime import UTC, datetime
from uuid import UUID, uuid5

from contracts.ledgers import LedgerChanged
from contracts.members import MemberRemoved
from contracts.messages import JournalEntry, LedgerEntry, Source
from contracts.transactions import Posting, TransactionKind, TransactionRecorded
from infra.errors import Unavailable
from infra.kafka.journal import JournalRecord, Listening, Page

LEDGER = UUID(int=7)
CASH, GROCERIES = UUID(int=71), UUID(int=72)
ANN = UUID(int=1)
MONDAY_NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def stamped(sequence: int, ledger_id: UUID = LEDGER, user_id: UUID = ANN) -> dict[str, object]:
    """Return what every entry says of itself."""
    return {
        "ledger_id": ledger_id,
        "sequence": sequence,
        "operation_id": uuid5(ledger_id, f"operation {sequence}"),
        "user_id": user_id,
        "request_hash": f"{sequence:064x}",
        "source": Source(topic="ledger.submissions", partition=0, offset=sequence),
        "recorded_at": MONDAY_NOON,
    }


def a_recorded(sequence: int, *, minor: int = 2447, currency: str = "EUR", ledger_id: UUID = LEDGER) -> LedgerEntry:
    """Return that an expense was recorded."""
    posting = Posting(source_account_id=CASH, destination_account_id=GROCERIES, amount_minor=minor, currency=currency)
    return TransactionRecorded.model_validate(
        {
            **stamped(sequence, ledger_id),
            "transaction_id": uuid5(ledger_id, f"transaction {sequence}"),
            "revision": 1,
            "kind": TransactionKind.EXPENSE,
            "postings": (posting,),
            "booked_on": MONDAY_NOON.date(),
            "booked_at": MONDAY_NOON,
            "submitted_at": MONDAY_NOON,
            "description": "Weekly shop",
        }
    )


def a_renaming(sequence: int, *, ledger_id: UUID = LEDGER, name: str = "Ours") -> LedgerEntry:
    """Return that the ledger was renamed."""
    return LedgerChanged.model_validate({**stamped(sequence, ledger_id), "name": name, "default_account_id": CASH})


def a_removal(sequence: int, member_id: UUID) -> LedgerEntry:
    """Return that a member was removed."""
    return MemberRemoved.model_validate({**stamped(sequence), "member_id": member_id})


def as_record(entry: JournalEntry, offset: int) -> JournalRecord:
    """Return an entry as it stands in the journal."""
    return JournalRecord(offset, entry.type, entry.model_dump_json(exclude_defaults=True).encode())


class JournalInMemory:
    """Stands in for ``infra.kafka.journal.Journal``: one partition, whose records all belong to one ledger."""

    def __init__(self, entries: Iterable[JournalEntry] = (), *, page: int = 3) -> None:
        """Hold entries; a page has so many."""
        self.records: list[JournalRecord] = []
        self.listening: set[Listening] = set()
        self.away = False
        self.found: list[datetime | None] = []
        self.find_at = 0
        self._page = page
        self.append(*entries)

    def append(self, *entries: JournalEntry) -> None:
        """Write entries behind the others, and bring them to who listens."""
        for entry in entries:
            record = as_record(entry, len(self.records))
            self.records.append(record)
            for each in self.listening:
                each.add(record)

    async def listen(self, key: bytes) -> Listening:
        """Begin to listen."""
        self._ask()
        listening = Listening(self, key, 0, len(self.records))  # type: ignore[arg-type]  # stands in
        self.listening.add(listening)
        return listening

    def stop_listening(self, listening: Listening) -> None:
        """End it."""
        self.listening.discard(listening)

    async def find_offset(self, key: bytes, moment: datetime | None) -> int:
        """Find a place; which one, ``find_at`` says."""
        self._ask()
        self.found.append(moment)
        return 0 if moment is None else self.find_at

    async def read(self, key: bytes, offset: int, until: int) -> Page:
        """Read a page."""
        self._ask()
        end = min(offset + self._page, until)
        return Page(self.records[offset:end], end)

    def lose(self) -> None:
        """Break the connection of everybody who listens."""
        for each in self.listening:
            each.lose()

    def _ask(self) -> None:
        if self.away:
            raise Unavailable("read the journal")
