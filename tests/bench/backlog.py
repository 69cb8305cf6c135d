"""The bench's backlog: in ``ledger.bulk`` or ``ledger.submissions``, until it is taken; the relay runs."""

import asyncio
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import psutil
from aiokafka import AIOKafkaProducer

from consumers.repositories.book_rows import POSTING_COLUMNS, TRANSACTION_COLUMNS
from contracts import topics
from contracts.text import name_key
from contracts.topics import Topic
from infra.kafka.broker import BATCH_RECORDS_MAX
from infra.kafka.connection import connection_arguments
from infra.kafka.producer import Producer, Record
from tests.bench.http_load import cpu_seconds
from tests.bench.ledger_batches import TAG_COLUMNS, some_have
from tests.bench.sizes import Sizes
from tests.bench.system import GROUPS, SCRATCH_TOPIC, Person, System, committed
from tests.bench.table import Row, Table
from tests.builders.submissions import a_record, a_submission

CATEGORIES = 24
LINGER_MS = 5
SENT_AT_ONCE = 5000
_FIRST_MINUTE_S = 60.0
_DAYS = 730
_MEGABYTE = 1024 * 1024


@dataclass(slots=True)
class Timed:
    """How many things took how many seconds, added up over rounds."""

    count: int = 0
    seconds: float = 0.0

    def add(self, count: int, seconds: float) -> None:
        self.count += count
        self.seconds += seconds

    @property
    def per_second(self) -> float:
        return self.count / self.seconds


@dataclass(slots=True)
class Memory:
    """Resident memory of the ledger consumer, in bytes, by seconds since a backlog began."""

    samples: list[tuple[float, int]] = field(default_factory=list)

    def row(self) -> Row:
        later = [rss for at, rss in self.samples if at >= _FIRST_MINUTE_S]
        path, goal = "RSS of the ledger consumer in a backlog", "± 10 % after the first minute, ≤ 200 MB"
        highest = max(rss for _, rss in self.samples) / _MEGABYTE
        if not later:
            lasted = max(at for at, _ in self.samples)
            measured = f"at most {highest:.0f} MB in {lasted:.0f} s (a minute is needed to judge: --backlog 1000000)"
            return Row(path, measured, goal=goal, met=None if highest <= 200 else False)
        low, high = min(later) / _MEGABYTE, max(later) / _MEGABYTE
        middle = (low + high) / 2
        return Row(path, f"{low:.0f}–{high:.0f} MB", goal=goal, met=high <= 200 and high - middle <= 0.1 * middle)


@dataclass(slots=True)
class Backlog:
    """What is added up over the rounds of one kind of backlog."""

    taken: Timed = field(default_factory=Timed)
    consumer_cpu_s: float = 0.0
    copied: Timed = field(default_factory=Timed)
    produced: Timed = field(default_factory=Timed)
    produced_raw: Timed = field(default_factory=Timed)
    relay_later_s: float = 0.0

    @property
    def cpu_each_us(self) -> float:
        return self.consumer_cpu_s / self.taken.count * 1e6


async def measure_backlogs(system: System, table: Table, sizes: Sizes) -> None:
    """Measure one household's import and one spread over many ledgers, and what waited on the way of single ones."""
    memory = Memory()
    rounds, bulk, single = sizes.backlog_rounds, topics.LEDGER_BULK, topics.LEDGER_SUBMISSIONS
    one = await _measure(system, bulk, [system.a_person()], sizes.backlog_one, rounds, memory)
    people = [system.a_person() for _ in range(sizes.ledgers)]
    many = await _measure(system, bulk, people, sizes.backlog_many, rounds, memory)
    typed = await _measure(system, single, [system.a_person()], sizes.backlog_interactive, rounds, memory)
    for name, backlog, goal in (
        (f"{bulk.name} → recorded, one ledger", one, 0.25),
        (f"{bulk.name} → recorded, {sizes.ledgers:,} ledgers", many, 0.17),
        (f"{single.name} → recorded, one ledger", typed, 0.25),
    ):
        ratio = backlog.taken.per_second / backlog.copied.per_second
        table.add(
            Row(
                f"backlog {name}",
                f"{backlog.taken.per_second:,.0f}/s; {backlog.cpu_each_us:.0f} µs CPU each in the consumer; "
                f"journal complete {backlog.relay_later_s:.1f} s later",
                f"{backlog.copied.per_second:,.0f}/s (COPY, {BATCH_RECORDS_MAX:,} a commit)",
                ratio,
                f"≥ {goal:.0%}",
                ratio >= goal,
            )
        )
    table.add(memory.row())
    for name, backlog in (("one ledger", one), (f"{sizes.ledgers:,} ledgers", many)):
        ratio = backlog.produced.per_second / backlog.produced_raw.per_second
        table.add(
            Row(
                f"bulk producer into Kafka, {name}",
                f"{backlog.produced.per_second:,.0f}/s",
                f"{backlog.produced_raw.per_second:,.0f}/s (raw aiokafka, same bytes)",
                ratio,
                "≥ 80 %",
                ratio >= 0.8,
            )
        )


async def _measure(
    system: System, topic: Topic, people: Sequence[Person], rows: int, rounds: int, memory: Memory
) -> Backlog:
    backlog = Backlog()
    chance = random.Random(3)
    # A busy machine may take longer over thousands at once than a person would wait for one.
    patient = system.kafka.model_copy(update={"send_timeout_s": 60.0})
    producer = Producer(patient, client_id="bench", linger_ms=LINGER_MS)
    # The first rows open ledgers and categories; an import of any length does that once.
    opening = [_record(chance, topic, person, number, number) for person in people for number in range(CATEGORIES)]
    sent = len(opening)
    await _send(producer, opening)
    await _send_raw(system, opening)
    await system.quiet()
    try:
        for turn in range(rounds):
            records = [_record(chance, topic, chance.choice(people), sent + at) for at in range(rows // rounds)]
            sent += len(records)
            await asyncio.to_thread(system.stack.hold, "ledger-consumer")
            if turn % 2:
                backlog.produced.add(len(records), await _send(producer, records))
            backlog.produced_raw.add(len(records), await _send_raw(system, records))
            if not turn % 2:
                backlog.produced.add(len(records), await _send(producer, records))
            del records
            began = await clock(system)
            await _take(system, topic, backlog, memory)
            taken_at = time.perf_counter()
            await system.quiet()
            backlog.relay_later_s = max(backlog.relay_later_s, time.perf_counter() - taken_at)
            backlog.copied.add(*await copy_again(system, [person.ledger_id for person in people], began))
    finally:
        await producer.stop()
    await _check(system, people, sent)
    return backlog


async def _send(producer: Producer, records: Sequence[Record]) -> float:
    """Send as an importer does: our producer, some thousands at once; return the seconds."""
    await producer.start()
    began = time.perf_counter()
    for chunk in _chunks(records, SENT_AT_ONCE):
        await producer.send_all(chunk)
    return time.perf_counter() - began


async def _send_raw(system: System, records: Sequence[Record]) -> float:
    """Send the same bytes to a scratch topic with nothing of ours in between; return the seconds."""
    producer = AIOKafkaProducer(
        **connection_arguments(system.kafka, "bench"), acks="all", enable_idempotence=True, linger_ms=LINGER_MS
    )
    await producer.start()
    try:
        began = time.perf_counter()
        for chunk in _chunks(records, SENT_AT_ONCE):
            pending = [await producer.send(SCRATCH_TOPIC, each.value, each.key, headers=each.headers) for each in chunk]
            await asyncio.gather(*pending)
        return time.perf_counter() - began
    finally:
        await producer.stop()


async def _take(system: System, topic: Topic, backlog: Backlog, memory: Memory) -> None:
    """Let the consumer go and add up what it takes from its first commit to its last, in how many seconds."""
    group = next(name for name, taken in GROUPS.items() if taken is topic)
    written = await system.written(topic)
    async with system.admin() as admin:
        before = await committed(admin, group, topic)
        releasing = asyncio.create_task(asyncio.to_thread(system.stack.release, "ledger-consumer"))
        while (first := await committed(admin, group, topic)) == before:
            await asyncio.sleep(0.02)
        began = time.perf_counter()
        consumer = psutil.Process(_pid(system))
        cpu_began = cpu_seconds(consumer)
        while await committed(admin, group, topic) < written:
            memory.samples.append((time.perf_counter() - began, consumer.memory_info().rss))
            await asyncio.sleep(0.05)
        backlog.taken.add(written - first, time.perf_counter() - began)
        backlog.consumer_cpu_s += cpu_seconds(consumer) - cpu_began
        await releasing


def _pid(system: System) -> int:
    state = system.stack.state()
    assert state is not None
    process = state.processes["ledger-consumer"]
    assert process.pid is not None
    return process.pid


async def copy_again(system: System, ledgers: Sequence[UUID], since: Any) -> tuple[int, float]:
    """Copy the rows recorded since then once more, into tables like theirs; return how many and the seconds."""
    connection = await system.connect("migrator")
    try:
        transactions: list[Any] = await connection.fetch(
            f"SELECT {', '.join(TRANSACTION_COLUMNS)} FROM transactions WHERE ledger_id = ANY($1) AND recorded_at > $2 "
            "ORDER BY recorded_at, ledger_id, sequence",
            ledgers,
            since,
        )
        postings = {
            (row["ledger_id"], row["transaction_id"]): row
            for row in await connection.fetch(
                f"SELECT {', '.join(POSTING_COLUMNS)} FROM postings WHERE ledger_id = ANY($1)", ledgers
            )
        }
        seconds = 0.0
        for chunk in _chunks(transactions, BATCH_RECORDS_MAX):
            theirs: list[Any] = [postings[row["ledger_id"], row["id"]] for row in chunk]
            tags = [
                (row["ledger_id"], name_key(tag), row["booked_on"], row["id"]) for row in chunk for tag in row["tags"]
            ]
            began = time.perf_counter()
            async with connection.transaction():
                await connection.copy_records_to_table(
                    "transactions", schema_name="bench", records=chunk, columns=TRANSACTION_COLUMNS
                )
                await connection.copy_records_to_table(
                    "postings", schema_name="bench", records=theirs, columns=POSTING_COLUMNS
                )
                await connection.copy_records_to_table(
                    "transaction_tags", schema_name="bench", records=tags, columns=TAG_COLUMNS
                )
            seconds += time.perf_counter() - began
    finally:
        await connection.close()
    return len(transactions), seconds


async def _check(system: System, people: Sequence[Person], sent: int) -> None:
    """Say so where a row is missing, doubled or refused: then the figures are worth nothing."""
    connection = await system.connect("gateway")
    ledgers: list[UUID] = [person.ledger_id for person in people]
    try:
        recorded = await connection.fetchval("SELECT count(*) FROM transactions WHERE ledger_id = ANY($1)", ledgers)
    finally:
        await connection.close()
    assert recorded == sent, f"{sent} were sent, {recorded} recorded"


async def clock(system: System) -> Any:
    connection = await system.connect("gateway")
    try:
        return await connection.fetchval("SELECT clock_timestamp()")
    finally:
        await connection.close()


def _record(chance: random.Random, topic: Topic, person: Person, number: int, category: int | None = None) -> Record:
    message = a_submission(
        person.user_id,
        amount=f"{chance.randrange(1, 50_000) / 100:.2f}",
        category=f"Category {chance.randrange(CATEGORIES) if category is None else category}",
        description=f"Receipt {number} of the bench",
        booked=date(2024, 1, 1) + timedelta(days=chance.randrange(_DAYS)),
        **some_have(chance),
    )
    return a_record(message, person.user_id, key=f"row-{number}", topic=topic, grant=person.grant)


def _chunks(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (items[at : at + size] for at in range(0, len(items), size))
