"""Balances on the real database: random histories, summed by the books' tables and by plain Python."""

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from contracts.accounts import AccountKind
from contracts.members import Role
from gateway.queries.balances import Knowledge, find_knowledge, list_balances
from infra.local.stack import LocalStack
from infra.postgres.engine import Database
from tests.builders.gateway import Person, a_person
from tests.builders.ledger_rows import LedgerRows, Move, Write

pytestmark = pytest.mark.stack

START = datetime(2021, 6, 1, tzinfo=UTC)
CURRENCIES = ("EUR", "JPY", "USD")


class History:
    """A ledger with a random history, and the sums of it."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.rows = LedgerRows(recorded_at=START)
        self.assets = [self.rows.account(name) for name in ("Cash", "Bank", "Savings")]
        self.assets.append(self.rows.account("Card", AccountKind.LIABILITY))
        self.categories = [self.rows.category(name) for name in ("Food", "Rent", "Fun", "Groceries", "Snacks")]
        self.roots = {account_id: account_id for account_id in (*self.assets, *self.categories)}
        self.standing: list[UUID] = []

    def merge(self) -> None:
        """Merge some categories into the first, at one remove too."""
        first, second, third = self.categories[0], self.categories[3], self.categories[4]
        self.rows.account("Groceries", AccountKind.EXPENSE, id=second, merged_into=first, root_id=first)
        self.rows.account("Snacks", AccountKind.EXPENSE, id=third, merged_into=second, root_id=first)
        self.roots |= {second: first, third: first}

    def moment(self) -> datetime:
        """Go on in time: at once, or after days."""
        return self.rows.recorded_at + timedelta(seconds=self.random.choice((0, 0, 1, 3600, 86400, 86400 * 9)))

    def day(self) -> date:
        return date(2020, 1, 1) + timedelta(days=self.random.choice((0, 30, 31, self.random.randrange(1500))))

    def moves(self) -> list[Move]:
        pool = [*self.assets, *self.categories]
        return [
            Move(source, destination, self.random.randrange(1, 10**9), self.random.choice(CURRENCIES))
            for source, destination in (self.random.sample(pool, 2) for _ in range(self.random.choice((1, 1, 1, 2, 5))))
        ]

    def grow(self, entries: int) -> None:
        for _ in range(entries):
            step = self.random.random()
            if self.standing and step < 0.1:
                self.rows.delete(self.standing.pop(self.random.randrange(len(self.standing))), at=self.moment())
            elif self.standing and step < 0.25:
                self.rows.change(self.random.choice(self.standing), *self.moves(), on=self.day(), at=self.moment())
            elif step < 0.35:
                self.rows.account(f"Category {uuid4().hex}", AccountKind.EXPENSE, at=self.moment())
            else:
                self.standing.append(self.rows.transaction(*self.moves(), on=self.day(), at=self.moment()))

    def sums(self, *, on: date | None = None, known_at: datetime | None = None) -> dict[tuple[UUID, str], int]:
        """Sum the postings."""
        found: Counter[tuple[UUID, str]] = Counter()
        for _, booked_on, recorded_at, move in self.rows.moves:
            if (on is None or booked_on <= on) and (known_at is None or recorded_at <= known_at):
                found[self.roots[move.destination], move.currency] += move.minor
                found[self.roots[move.source], move.currency] -= move.minor
        return {key: total for key, total in found.items() if total}


async def read(ledger_reading: Database, rows: LedgerRows, **asked: Any) -> dict[tuple[UUID, str], int]:
    lines = await list_balances(ledger_reading, rows.ledger_id, rows.user_id, **asked)
    return {(line.account.id, line.currency): line.minor for line in lines}


async def knowledge_of(ledger_reading: Database, rows: LedgerRows, known_at: datetime) -> Knowledge:
    knowledge = await find_knowledge(ledger_reading, rows.ledger_id, rows.user_id, known_at)
    assert knowledge.settled
    return knowledge


@pytest.fixture(params=range(12))
def seed() -> int:
    return random.SystemRandom().randrange(2**32)


async def test_balances_are_the_sums_of_what_was_posted(seed: int, ledger_reading: Database, write: Write) -> None:
    history = History(seed)
    history.grow(history.random.choice((1, 5, 60, 120)))
    if history.random.random() < 0.5:
        history.merge()
    await write(history.rows)
    rows = history.rows

    assert await read(ledger_reading, rows) == history.sums(), seed
    for _ in range(12):
        day = history.day()
        assert await read(ledger_reading, rows, on=day) == history.sums(on=day), (seed, day)
    moments = [START - timedelta(days=1), rows.recorded_at, *(recorded_at for _, _, recorded_at, _ in rows.moves)]
    for known_at in history.random.sample(moments, min(12, len(moments))):
        known_at += timedelta(microseconds=history.random.choice((0, -1, 1)))
        knowledge = await knowledge_of(ledger_reading, rows, known_at)
        assert await read(ledger_reading, rows, knowledge=knowledge) == history.sums(known_at=known_at), (
            seed,
            known_at,
        )
        day = history.day()
        expected = history.sums(on=day, known_at=known_at)
        assert await read(ledger_reading, rows, on=day, knowledge=knowledge) == expected, (seed, day, known_at)
        # Whichever side of what is known is summed, it comes to the same.
        account = history.random.choice([*history.assets, *history.categories])
        of_account = {key: minor for key, minor in expected.items() if key[0] == account}
        for last in (0, knowledge.sequence, 10**12):
            asked = {"on": day, "knowledge": Knowledge(knowledge.sequence, last, True)}
            assert await read(ledger_reading, rows, **asked) == expected, (seed, day, known_at)
            found = await read(ledger_reading, rows, account_id=account, **asked)
            assert found == of_account, (seed, day, known_at, account)


async def test_what_was_known_stays_the_same_whatever_is_recorded_after(
    seed: int, ledger_reading: Database, write: Write
) -> None:
    history = History(seed)
    asked: list[tuple[date, datetime]] = []
    answers: list[dict[tuple[UUID, str], int]] = []
    for _ in range(4):
        history.grow(15)
        await write(history.rows)
        known_at = history.rows.recorded_at
        # The next entry must not share the moment: what was known at K was all of K.
        history.rows.recorded_at += timedelta(microseconds=1)
        asked.append((history.day(), known_at))
        answers.append(
            await read(
                ledger_reading,
                history.rows,
                on=asked[-1][0],
                knowledge=await knowledge_of(ledger_reading, history.rows, known_at),
            )
        )

        for (day, moment), before in zip(asked, answers, strict=True):
            knowledge = await knowledge_of(ledger_reading, history.rows, moment)
            assert await read(ledger_reading, history.rows, on=day, knowledge=knowledge) == before, seed


async def test_one_account_has_what_was_merged_into_it(ledger_reading: Database, write: Write) -> None:
    rows = LedgerRows()
    cash, food = rows.account("Cash"), rows.category("Food")
    snacks = rows.category("Snacks", merged_into=food, root_id=food)
    rows.transaction(Move(cash, food, 500), on=date(2024, 1, 10))
    rows.transaction(Move(cash, snacks, 250), on=date(2024, 1, 20))
    await write(rows)

    assert await read(ledger_reading, rows, account_id=food) == {(food, "EUR"): 750}
    assert await read(ledger_reading, rows, account_id=food, on=date(2024, 1, 19)) == {(food, "EUR"): 500}
    assert await read(ledger_reading, rows, account_id=snacks) == {}
    assert await read(ledger_reading, rows, account_id=uuid4()) == {}
    assert await read(ledger_reading, rows, kinds=[AccountKind.ASSET]) == {(cash, "EUR"): -750}


async def test_an_account_with_few_postings_among_many_is_known_to_the_posting(
    ledger_reading: Database, write: Write
) -> None:
    rows = LedgerRows(recorded_at=START)
    cash, savings, food = rows.account("Cash"), rows.account("Savings"), rows.category("Food")
    moments = []
    for number in range(110):
        rows.transaction(Move(cash, food, 1), on=date(2024, 1, 1 + number % 28))
        if number in (10, 30, 50):
            moved = Move(cash, savings, 100) if number < 40 else Move(savings, cash, 30)
            rows.transaction(moved, on=date(2024, 1, 1 + number // 2))
            moments.append(rows.recorded_at)
    await write(rows)

    for known_at in [each + timedelta(microseconds=by) for each in moments for by in (-1, 0, 1)]:
        knowledge = await knowledge_of(ledger_reading, rows, known_at)
        for on in (None, date(2024, 1, 15), date(2024, 1, 16)):
            minor = rows.balance(savings, on=on or date.max, known_at=known_at)
            expected = {(savings, "EUR"): minor} if minor else {}
            found = await read(ledger_reading, rows, account_id=savings, on=on, knowledge=knowledge)
            assert found == expected, (known_at, on)


async def test_totals_larger_than_64_bits_are_exact(ledger_reading: Database, write: Write) -> None:
    rows = LedgerRows()
    cash, salary = rows.account("Cash"), rows.category("Salary", AccountKind.INCOME)
    for number in range(3):
        rows.transaction(*(Move(salary, cash, 10**15) for _ in range(100)), on=date(2024, 1, 1 + 14 * number))
    await write(rows)

    assert (await read(ledger_reading, rows))[cash, "EUR"] == 3 * 10**17
    assert (await read(ledger_reading, rows, on=date(2024, 1, 16)))[cash, "EUR"] == 2 * 10**17


@pytest.mark.parametrize("day", [date.min, date(1900, 1, 1), date(9999, 12, 31)])
async def test_days_at_the_ends_of_the_calendar_are_days(day: date, ledger_reading: Database, write: Write) -> None:
    rows = LedgerRows()
    cash, food = rows.account("Cash"), rows.category("Food")
    rows.transaction(Move(cash, food, 500), on=date(2024, 1, 10))
    await write(rows)
    knowledge = await knowledge_of(ledger_reading, rows, rows.recorded_at)

    expected = {} if day.year < 2024 else {(cash, "EUR"): -500, (food, "EUR"): 500}
    assert (
        await read(ledger_reading, rows, on=day)
        == await read(ledger_reading, rows, on=day, knowledge=knowledge)
        == expected
    )


async def test_a_stranger_sees_nothing(ledger_reading: Database, write: Write) -> None:
    rows, viewer, stranger = LedgerRows(), uuid4(), uuid4()
    cash, food = rows.account("Cash"), rows.category("Food")
    rows.transaction(Move(cash, food, 500), on=date(2024, 1, 10))
    rows.member(viewer, Role.VIEWER)
    await write(rows)

    for user_id, seen in ((viewer, 2), (stranger, 0)):
        knowledge = await find_knowledge(ledger_reading, rows.ledger_id, user_id, rows.recorded_at)
        for asked in ({}, {"on": date(2024, 2, 1)}, {"knowledge": Knowledge(9, 9, True)}, {"knowledge": knowledge}):
            assert len(await list_balances(ledger_reading, rows.ledger_id, user_id, **asked)) == seen


async def test_what_is_too_young_is_not_settled(ledger_reading: Database, write: Write) -> None:
    rows = LedgerRows()
    await write(rows)
    now = datetime.now(UTC)

    for known_at, settled in (
        (now - timedelta(minutes=1), True),
        (now - timedelta(seconds=20), False),
        (now + timedelta(days=1), False),
    ):
        assert (await find_knowledge(ledger_reading, rows.ledger_id, rows.user_id, known_at)).settled is settled
        assert (await find_knowledge(ledger_reading, uuid4(), uuid4(), known_at)).settled is settled


async def test_reading_while_more_is_recorded_never_mixes_the_two(ledger_reading: Database, write: Write) -> None:
    """A transfer is seen on both of its accounts or on none."""
    rows = LedgerRows()
    cash, bank = rows.account("Cash"), rows.account("Bank")
    rows.transaction(Move(cash, bank, 1), on=date(2024, 1, 10))
    await write(rows)
    knowledge = await knowledge_of(ledger_reading, rows, rows.recorded_at)

    async def record() -> None:
        for number in range(40):
            rows.transaction(Move(cash, bank, 1 + number), on=date(2024, 1, 1 + number % 28))
            await write(rows)

    task = asyncio.create_task(record())
    while not task.done():
        assert sum((await read(ledger_reading, rows)).values()) == 0
        assert sum((await read(ledger_reading, rows, on=date(2024, 1, 12))).values()) == 0
        assert (await read(ledger_reading, rows, knowledge=knowledge))[bank, "EUR"] == 1
    await task


@pytest.fixture(scope="module")
def ann(stack: LocalStack) -> Iterator[Person]:
    with a_person(stack) as person:
        yield person


def test_balances_are_read_over_http(ann: Person) -> None:
    path = f"/ledgers/{ann.ledger_id}/balances"
    assert ann.get(path).json() == {"on": None, "known_at": None, "items": []}
    ann.record(amount="10.00", category="Groceries", date="2026-03-02")
    ann.record(amount="2.50", category="Groceries", date="2026-03-20")
    ann.post("/accounts", {"name": "Wallet", "kind": "asset", "currency": "JPY"}, prefer="wait=10")

    now = ann.get(path).json()["items"]
    assert [(each["account"]["name"], each["account"]["kind"], each["amount"], each["currency"]) for each in now] == [
        ("Cash", "asset", "-12.50", "EUR"),
        ("Groceries", "expense", "12.50", "EUR"),
    ]
    on_a_day = ann.get(path, on="2026-03-19").json()
    assert on_a_day["on"] == "2026-03-19"
    assert [each["amount"] for each in on_a_day["items"]] == ["-10.00", "10.00"]
    for named in ("cash", now[0]["account"]["id"]):
        assert ann.get(path, account=named).json()["items"] == now[:1]
    empty = ann.get(path, account="Wallet").json()["items"]
    assert [(each["amount"], each["currency"]) for each in empty] == [("0", "JPY")]
    long_ago = ann.get(path, known_at="2020-01-01T00:00:00+01:00").json()
    assert (long_ago["known_at"], long_ago["items"]) == ("2020-01-01T00:00:00+01:00", [])


@pytest.mark.parametrize("seconds", [0, 15, -3600])
def test_what_may_not_all_be_known_yet_is_refused(ann: Person, seconds: int) -> None:
    moment = datetime.now(UTC) - timedelta(seconds=seconds)
    answer = ann.get(f"/ledgers/{ann.ledger_id}/balances", known_at=moment.isoformat())

    assert answer.status_code == 400
    (error,) = answer.json()["errors"]
    assert error["field"] == "known_at"
    assert "30 seconds" in error["detail"]


@pytest.mark.parametrize(
    ("asked", "field", "status"),
    [
        ({"on": "yesterday"}, "on", 400),
        ({"on": "2026-03-01T00:00:00Z"}, "on", 400),
        ({"known_at": "2026-03-01"}, "known_at", 400),
        ({"known_at": "2026-03-01T00:00:00"}, "known_at", 400),
        ({"account": ""}, "account", 400),
        ({"account": "a\x00b"}, "account", 400),
        ({"account": "Nowhere"}, "account", 404),
        ({"account": str(uuid4())}, "account", 404),
        ({"accounts": "Cash"}, "accounts", 400),
        ({"on": ["2026-03-01", "2026-03-02"]}, "on", 400),
    ],
)
def test_each_parameter_that_is_wrong_is_named(ann: Person, asked: Any, field: str, status: int) -> None:
    answer = ann.get(f"/ledgers/{ann.ledger_id}/balances", **asked)

    assert answer.status_code == status, answer.text
    assert [each["field"] for each in answer.json()["errors"]] == [field]


def test_a_strangers_balances_are_not_there(ann: Person, stack: LocalStack) -> None:
    with a_person(stack) as bob:
        for asked in ({}, {"on": "2026-03-01"}, {"known_at": "2026-03-01T00:00:00Z"}, {"account": "Cash"}):
            answer = bob.get(f"/ledgers/{ann.ledger_id}/balances", **asked)
            assert answer.status_code == 404
            assert [each["field"] for each in answer.json()["errors"]] == ["ledger_id"]
