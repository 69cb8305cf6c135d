"""What must be true of a load afterwards, whatever was killed meanwhile; each check reads what a stranger could."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from contracts import topics
from contracts.catalog import read_journal_entry
from contracts.ledgers import personal_ledger_id
from contracts.messages import LedgerEntry
from contracts.topics import Topic, dead_letter_of
from contracts.transactions import TransactionRecorded
from infra.postgres.ledger_checks import check_ledgers
from tests.builders.kafka import header
from tests.chaos.line import Line, until
from tests.chaos.load import Load

RECORDED_WITHIN_S = 90.0


@dataclass(frozen=True)
class Journal:
    """What a careful reader of ``ledger.journal`` made of it."""

    last: dict[UUID, int]
    operations: Counter[UUID]
    repeats: int


async def assert_all_is_true(line: Line, load: Load) -> Journal:
    """Assert that every accepted transaction is recorded once, the books are right and the journal tells the same."""
    accepted = Counter(one.operation_id for one in load.accepted)
    assert len(accepted) == len(load.sent), "the load was left before all of it was accepted"
    await until_recorded(line, load)

    async with line.ledger.connection("read what was recorded") as connection:
        recorded = await connection.fetch(
            "SELECT operation_id FROM transactions WHERE ledger_id = ANY($1::uuid[])", load.ledgers
        )
        operations = await connection.fetch(
            "SELECT id, state FROM operations WHERE subject_id = ANY($1::uuid[])", load.ledgers
        )
        sequences = await connection.fetch("SELECT id, sequence FROM ledgers WHERE id = ANY($1::uuid[])", load.ledgers)
        moved = await connection.fetch(
            "SELECT ledger_id, sum(amount_minor) AS total FROM postings WHERE ledger_id = ANY($1::uuid[]) GROUP BY 1",
            load.ledgers,
        )
    assert Counter(row["operation_id"] for row in recorded) == accepted, "not every accepted transaction exactly once"
    assert {row["id"]: row["state"] for row in operations} == dict.fromkeys(accepted, "recorded")
    assert {row["ledger_id"]: row["total"] for row in moved} == _totals(load), "another amount than was accepted"
    assert await check_ledgers(line.ledger, load.ledgers) == []

    journal = await read_journal(line, load)
    assert journal.last == {row["id"]: row["sequence"] for row in sequences}
    assert journal.operations == accepted, "the journal tells another story than the tables"
    assert await dead_letters(line, load) == []
    return journal


async def until_open(line: Line, load: Load) -> None:
    """Wait until everybody's ledger is open, so that what a test locks is there."""

    async def all_open() -> bool:
        async with line.ledger.connection("count open ledgers") as connection:
            count = await connection.fetchval(
                "SELECT count(DISTINCT ledger_id) FROM balances WHERE ledger_id = ANY($1::uuid[])", load.ledgers
            )
        return bool(count == len(load.ledgers))

    await until(all_open, "everybody's ledger is open", 30)


async def until_recorded(line: Line, load: Load, within_s: float = RECORDED_WITHIN_S) -> None:
    """Wait until everything accepted has its operation, every outbox row is sent and no record waits on a topic."""
    wanted = [one.operation_id for one in load.accepted]

    async def recorded() -> bool:
        async with line.ledger.connection("count operations") as connection:
            missing = await connection.fetchval(
                "SELECT count(*) FROM unnest($1::uuid[]) AS wanted (id)"
                " WHERE NOT EXISTS (SELECT FROM operations WHERE operations.id = wanted.id)",
                wanted,
            )
            unsent = await connection.fetchval("SELECT count(*) FROM outbox WHERE sent_at IS NULL")
        return bool(missing == 0 and unsent == 0)

    await until(recorded, f"{len(wanted)} accepted transactions are recorded and journaled", within_s)


async def read_journal(line: Line, load: Load) -> Journal:
    """Read the journal as DESIGN §4 tells readers to: drop what is at or below the last number, never accept a gap."""
    ours = {str(ledger_id).encode() for ledger_id in load.ledgers}
    last: dict[UUID, int] = defaultdict(int)
    operations: Counter[UUID] = Counter()
    repeats = 0
    for record in await line.read_whole(topics.LEDGER_JOURNAL):
        if record.key not in ours:
            continue
        entry = _entry(record)
        if entry.sequence <= last[entry.ledger_id]:
            repeats += 1
            continue
        assert entry.sequence == last[entry.ledger_id] + 1, f"ledger {entry.ledger_id} has a gap at {entry.sequence}"
        last[entry.ledger_id] = entry.sequence
        if isinstance(entry, TransactionRecorded):
            operations[entry.operation_id] += 1
    return Journal(dict(last), operations, repeats)


async def dead_letters(line: Line, load: Load) -> list[str]:
    """Return the reasons of the load's records among the dead letters."""
    keys = {str(ledger_id).encode() for ledger_id in load.ledgers}
    return [
        header(record, "deadletter_reason") or "without a reason"
        for source in (topics.LEDGER_SUBMISSIONS, topics.LEDGER_BULK)
        for record in await line.read_whole(dead_letter_of(source.name))
        if record.key in keys
    ]


async def recovery_s(line: Line, load: Load, killed_at: datetime, road: str | None = None) -> float:
    """Return how long after a kill the first transaction was recorded that was begun after it, on one road or any.

    All clocks are this machine's: the load's, and PostgreSQL's ``recorded_at``.
    """

    async def first() -> datetime | None:
        later = [one.operation_id for one in load.sent if one.sent_at > killed_at and road in (one.road, None)]
        async with line.ledger.connection("find the next transaction") as connection:
            moment: datetime | None = await connection.fetchval(
                "SELECT min(recorded_at) FROM operations WHERE id = ANY($1::uuid[])", later
            )
            return moment

    recorded_at = await until(first, "a transaction is recorded after the kill", RECORDED_WITHIN_S)
    assert recorded_at is not None
    return (recorded_at - killed_at).total_seconds()


async def recorded_of(line: Line, topic: Topic) -> int:
    """Return how many records of a topic have been recorded."""
    async with line.ledger.connection("count operations of a topic") as connection:
        count: int = await connection.fetchval("SELECT count(*) FROM operations WHERE source_topic = $1", topic.name)
        return count


async def unsent_rows(line: Line) -> int:
    """Return how many outbox rows the relay has not sent, or not marked."""
    async with line.ledger.connection("count unsent rows") as connection:
        count: int = await connection.fetchval("SELECT count(*) FROM outbox WHERE sent_at IS NULL")
        return count


async def recorded_beyond(line: Line, topic: Topic, committed: Mapping[int, int]) -> int:
    """Return how many records were recorded whose offset was not committed: they will be delivered again."""
    async with line.ledger.connection("look beyond the committed offsets") as connection:
        count: int = await connection.fetchval(
            """
            SELECT count(*) FROM operations
            LEFT JOIN unnest($2::int[], $3::bigint[]) AS committed (part, next) ON part = source_partition
            WHERE source_topic = $1 AND source_offset >= coalesce(next, 0)
            """,
            topic.name,
            list(committed),
            list(committed.values()),
        )
        return count


def _totals(load: Load) -> dict[UUID, int]:
    totals: dict[UUID, int] = defaultdict(int)
    for one in load.accepted:
        totals[personal_ledger_id(one.user_id)] += one.amount_minor
    return dict(totals)


def _entry(record: Any) -> LedgerEntry:
    entry = read_journal_entry(header(record, "ce_type") or "", record.value)
    assert isinstance(entry, LedgerEntry)
    return entry
