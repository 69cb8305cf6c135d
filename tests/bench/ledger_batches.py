"""Batches of submissions into the ledger database, without Kafka, against COPY of the rows they became.

``python -m tests.bench.ledger_batches``, with ``CASH_LEDGER_DB_…`` of the ledger consumer set. The floor is copied in
turn with what is measured, batch by batch into the same tables, so that both meet the same indexes and the same noise.
"""

import os
import random
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import uvloop

from consumers.deciders import LEDGER_DECIDERS
from consumers.domain.books import Books
from consumers.domain.decisions import Asked, Decision
from consumers.process import GC_CONTAINERS
from consumers.records import Received, receive
from consumers.repositories import operations
from consumers.repositories.book_rows import POSTING_COLUMNS, TRANSACTION_COLUMNS, rows_of
from consumers.repositories.books import BooksRepository
from consumers.repositories.outbox import insert_outbox
from contracts.messages import OperationState
from infra.memory import collect_seldom
from infra.postgres.engine import Database
from infra.settings import LedgerDatabaseSettings, read
from tests.builders.submissions import a_record, a_submission

BATCH_RECORDS = 2000
FIRST_DAY = date(2024, 1, 1)
DAYS = 730
TAG_COLUMNS = ("ledger_id", "tag_key", "booked_on", "transaction_id")
CATEGORIES = [f"Category {number}" for number in range(24)]


@dataclass(frozen=True)
class Measured:
    """Seconds for a number of transactions: our own room, the whole database transaction, and the floor."""

    path: str
    transactions: int
    books_s: float
    whole_s: float
    copy_s: float

    def lines(self) -> Iterator[str]:
        """Return the rows of the bench's table."""
        floor = self.transactions / self.copy_s
        for name, seconds in (("lock, load, decide, save", self.books_s), ("whole batch", self.whole_s)):
            rate = self.transactions / seconds
            yield f"| {self.path}: {name} | {rate:,.0f} tx/s | {floor:,.0f} tx/s | {rate / floor:.0%} |"


async def measure(database: Database, path: str, *, ledgers: int, transactions: int, seed: int = 3) -> Measured:
    """Record transactions spread evenly over a number of new ledgers, in batches, and copy the same rows in between.

    The first tenth is not counted: it opens ledgers and categories, and warms up.
    """
    collect_seldom(GC_CONTAINERS)  # as the consumers do
    chance = random.Random(seed)
    users = [uuid4() for _ in range(ledgers)]
    elsewhere: dict[UUID, UUID] = {}
    spent = {"books": 0.0, "whole": 0.0, "copy": 0.0}
    counted = 0
    for at in range(0, transactions, BATCH_RECORDS):
        received = [_received(chance, users, at + index) for index in range(BATCH_RECORDS)]
        books_s, whole_s, states = await _take(database, received)
        copy_s = await _copy(database, states, elsewhere)
        if at >= transactions // 10:
            counted += BATCH_RECORDS
            for name, seconds in zip(spent, (books_s, whole_s, copy_s), strict=True):
                spent[name] += seconds
    return Measured(path, counted, spent["books"], spent["whole"], spent["copy"])


async def _take(database: Database, received: Sequence[Received]) -> tuple[float, float, Collection[Books]]:
    """Do what delivery does with a batch; return the seconds of our room, those of all, and the books."""
    repository = BooksRepository()
    began = time.perf_counter()
    elsewhere_s = 0.0
    async with database.transaction("bench") as connection:
        await repository.lock(connection, received)
        aside = time.perf_counter()
        claimed, recorded_at = await operations.claim(connection, received, OperationState.RECORDED)
        assert recorded_at is not None
        elsewhere_s += time.perf_counter() - aside
        asked = [each.asked(recorded_at) for each in claimed]
        states = await repository.load(connection, asked)
        decided: list[tuple[Asked[Any], Decision]] = []
        for each in asked:
            books = states[each.message.subject_id]
            decision = LEDGER_DECIDERS[type(each.message)](each, books)
            books.apply(each, decision)
            decided.append((each, decision))
            assert decision.refusal is None, decision.refusal
        await repository.save(connection, states.values(), decided)
        aside = time.perf_counter()
        await insert_outbox(connection, [entry for books in states.values() for entry in books.journal], recorded_at)
        elsewhere_s += time.perf_counter() - aside
    whole_s = time.perf_counter() - began
    return whole_s - elsewhere_s, whole_s, states.values()


async def _copy(database: Database, states: Collection[Books], elsewhere: dict[UUID, UUID]) -> float:
    """Copy the same rows once more, as those of other ledgers, in one database transaction; return the seconds."""
    rows = rows_of(states)
    transactions, postings, tags = (
        [(elsewhere.setdefault(row[0], uuid4()), *row[1:]) for row in each]
        for each in (rows.transactions, rows.postings, rows.tags)
    )
    began = time.perf_counter()
    async with database.transaction("bench floor") as connection:
        await connection.copy_records_to_table("transactions", records=transactions, columns=TRANSACTION_COLUMNS)
        await connection.copy_records_to_table("postings", records=postings, columns=POSTING_COLUMNS)
        await connection.copy_records_to_table("transaction_tags", records=tags, columns=TAG_COLUMNS)
    return time.perf_counter() - began


def _received(chance: random.Random, users: Sequence[UUID], number: int) -> Received:
    user_id = chance.choice(users)
    day = FIRST_DAY + timedelta(days=chance.randrange(DAYS))
    message = a_submission(
        user_id,
        amount=f"{chance.randrange(1, 50_000) / 100:.2f}",
        category=chance.choice(CATEGORIES),
        description=f"Receipt {number} of the bench",
        booked=day,
        **some_have(chance),
    )
    record = a_record(message, user_id, key=f"row-{number}")
    return receive(
        SimpleNamespace(
            topic=record.topic,
            partition=0,
            offset=number,
            timestamp=int(datetime.now(UTC).timestamp() * 1000),
            key=record.key,
            value=record.value,
            headers=record.headers,
        )
    )


def some_have(chance: random.Random) -> dict[str, Any]:
    """Return what only some transactions have: a third a payee, a tenth a tag."""
    fields: dict[str, Any] = {}
    if chance.random() < 1 / 3:
        fields["payee"] = f"Payee {chance.randrange(300)}"
    if chance.random() < 0.1:
        fields["tags"] = (f"Tag {chance.randrange(40)}",)
    return fields


async def _main(transactions: int) -> None:
    database = Database(read(LedgerDatabaseSettings), application="bench")
    await database.start()
    try:
        print(f"{os.cpu_count()} CPUs, batches of {BATCH_RECORDS}, {transactions} transactions each")
        print("| path | measured | floor: COPY of the same rows | ratio |\n|---|---|---|---|")
        for path, ledgers in (("one ledger", 1), ("1,000 ledgers", 1000)):
            measured = await measure(database, path, ledgers=ledgers, transactions=transactions)
            print("\n".join(measured.lines()), flush=True)
    finally:
        await database.stop()


def main(transactions: int = 100_000) -> int:
    """Print path, measured, floor and ratio for one ledger and for a thousand."""
    uvloop.run(_main(transactions))
    return 0


if __name__ == "__main__":
    sys.exit(main(*(int(argument) for argument in sys.argv[1:2])))
