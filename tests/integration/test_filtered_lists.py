"""Filtered lists: on the real tables they have what the filter means, in order, whichever way is taken to find it."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from contracts.accounts import AccountKind
from contracts.filters import (
    Amounts,
    And,
    Days,
    Field,
    Filter,
    FilterError,
    Is,
    Not,
    Or,
    Says,
    Status,
    filter_text,
    parse_filter,
    search_words,
)
from contracts.money import exponent_of
from contracts.text import name_key
from contracts.transactions import TransactionKind, TransactionStatus
from gateway.queries import filters
from gateway.queries.filters import Sort
from gateway.queries.paging import CursorError
from gateway.queries.transactions import list_transactions
from infra.postgres.engine import Database
from tests.builders.ledger_rows import LedgerRows, Move, Write

pytestmark = pytest.mark.stack

FIRST_DAY = date(2026, 1, 1)
WORDS = ["milk", "bread", "milkshake", "café", "weekly shop", "Noodles/soup", "no. 7", ""]
PAYEES = ["Rossi", "ROSSI", "Market hall", None]
TAGS = [(), ("holiday",), ("Holiday", "work"), ("work",)]


@dataclass
class Household:
    """A ledger's rows with the names its accounts have, by which an oracle finds what a filter means."""

    rows: LedgerRows = field(default_factory=LedgerRows)
    accounts: dict[str, set[UUID]] = field(default_factory=dict)
    transactions: list[UUID] = field(default_factory=list)

    def open(self, name: str, kind: AccountKind, currency: str = "EUR", **state: Any) -> UUID:
        account_id = self.rows.account(name, kind, currency, **state)
        self.accounts[name] = {account_id}
        return account_id

    def head(self, transaction_id: UUID) -> tuple[dict[str, Any], tuple[Move, ...]]:
        return self.rows._transactions[transaction_id]


def live(seed: int, count: int = 220) -> Household:
    """A household of some months: every kind, three exponents, splits, corrections, deletions, statements."""
    chance = random.Random(seed)
    home = Household()
    cash = home.open("Cash", AccountKind.ASSET)
    bank = home.open("Bank account", AccountKind.ASSET)
    yen = home.open("Yen", AccountKind.ASSET, "JPY")
    dinar = home.open("Dinar", AccountKind.ASSET, "BHD")
    exchange = home.open("Exchange", AccountKind.EQUITY)
    opening = home.open("Opening balances", AccountKind.EQUITY)
    groceries = home.open("Groceries", AccountKind.EXPENSE)
    eating = home.open("Eating out", AccountKind.EXPENSE)
    coffee = home.open("Coffee", AccountKind.EXPENSE, root_id=eating, merged_into=eating)
    salary = home.open("Salary", AccountKind.INCOME)
    # A name of either finds both.
    home.accounts["Eating out"] = home.accounts["Coffee"] = {eating, coffee}
    currencies = {cash: "EUR", bank: "EUR", yen: "JPY", dinar: "BHD"}

    def moves() -> tuple[TransactionKind, list[Move]]:
        account = chance.choice([cash, cash, cash, bank, yen, dinar])
        currency, minor = currencies[account], chance.choice([100, 1000, 1001, 2550, chance.randint(1, 99_999)])
        category = chance.choice([groceries, eating, coffee])
        match chance.randint(0, 11):
            case 0:
                return TransactionKind.INCOME, [Move(salary, account, minor, currency)]
            case 1:
                return TransactionKind.REFUND, [Move(category, account, minor, currency)]
            case 2:
                return TransactionKind.TRANSFER, [Move(cash, bank, minor)]
            case 3:
                return TransactionKind.EXCHANGE, [Move(cash, exchange, minor), Move(exchange, yen, minor, "JPY")]
            case 4:
                return TransactionKind.OPENING, [Move(opening, account, minor, currency)]
            case 5:
                return TransactionKind.EXPENSE, [
                    Move(account, chance.choice([groceries, eating, coffee]), minor + part, currency)
                    for part in range(chance.randint(2, 5))
                ]
            case _:
                return TransactionKind.EXPENSE, [Move(account, category, minor, currency)]

    for number in range(count):
        kind, moved = moves()
        on = FIRST_DAY + timedelta(days=chance.randint(0, 60))
        home.transactions.append(
            home.rows.transaction(
                *moved,
                on=on,
                kind=kind,
                status=chance.choice(list(TransactionStatus)),
                booked_at=datetime(on.year, on.month, on.day, chance.choice([8, 12]), tzinfo=UTC),
                description=chance.choice(WORDS),
                payee=chance.choice(PAYEES),
                note=chance.choice([None, None, "Bread and MILK"]),
                tags=list(chance.choice(TAGS)),
                external_id=f"bank-{number}" if chance.random() < 0.3 else None,
            )
        )
        if number == count * 2 // 3:
            for account_id, day, off in ((cash, 20, 0), (bank, 40, 0), (cash, 50, 1)):
                on = FIRST_DAY + timedelta(days=day)
                home.rows.assertion(account_id, on, home.rows.balance(account_id, on=on) + off)
            home.rows.assertion(yen, FIRST_DAY, home.rows.balance(yen, "JPY", on=FIRST_DAY), currency="JPY")
            home.rows.assertion(
                dinar, on, home.rows.balance(dinar, "BHD", on=on), currency="BHD", lifted_at=home.rows.recorded_at
            )
        if chance.random() < 0.15:
            changed = chance.choice(home.transactions)
            row, moved_before = home.head(changed)
            if not row["deleted"]:
                match chance.randint(0, 2):
                    case 0:
                        home.rows.delete(changed)
                    case 1:
                        again = [move._replace(minor=move.minor + 1) for move in moved_before]
                        on = FIRST_DAY + timedelta(days=chance.randint(0, 60))
                        home.rows.change(changed, *again, on=on)
                        row, _ = home.head(changed)
                        row["amount_minor"] = sum(move.minor for move in again if move.currency == row["currency"])
                        row["booked_at"] = datetime(on.year, on.month, on.day, 9, tzinfo=UTC)
                        home.rows._stand(row, tuple(again))
                    case _:
                        home.rows.annotate(changed, payee="Rossi", tags=["late"], description="milk")
    return home


def oracle(home: Household) -> Callable[[Filter, UUID], bool]:
    """Return what decides whether a filter means a transaction, as its grammar says."""
    assertions = [
        row
        for row in home_assertions[home.rows.ledger_id]
        if row["lifted_at"] is None and row["stated_minor"] == row["computed_minor"]
    ]

    def means(what: Filter, transaction_id: UUID) -> bool:
        row, moves = home.head(transaction_id)
        touched = {side for move in moves for side in (move.source, move.destination)}
        match what:
            case And(parts):
                return all(means(part, transaction_id) for part in parts)
            case Or(parts):
                return any(means(part, transaction_id) for part in parts)
            case Not(part):
                return not means(part, transaction_id)
            case Says(text):
                words = search_words(row["description"], row["payee"], row["note"])
                return all(any(word.startswith(sought) for word in words) for sought in search_words(text))
            case Days(first, last):
                return bool((first or date.min) <= row["booked_on"] <= (last or date.max))
            case Amounts(low, high, beyond):
                amount = Decimal(row["amount_minor"]).scaleb(-exponent_of(row["currency"]))
                if beyond and amount in (low, high):
                    return False
                return bool((low is None or low <= amount) and (high is None or amount <= high))
            case Is(Field.ACCOUNT | Field.CATEGORY, value):
                return bool(touched & home.accounts[value])
            case Is(Field.TAG, value):
                return name_key(value) in map(name_key, row["tags"])
            case Is(Field.PAYEE, value):
                return row["payee"] is not None and name_key(row["payee"]) == name_key(value)
            case Is(Field.EXTERNAL, value):
                return bool(row["external_id"] == value)
            case Is(Field.KIND, value):
                return bool(row["kind"] == value)
            case Is(Field.CURRENCY, value):
                return bool(row["currency"] == value)
            case Is(Field.STATUS, value):
                reconciled = any(
                    held["account_id"] in touched
                    and held["asserted_on"] >= row["booked_on"]
                    and held["sequence"] > row["sequence"]
                    for held in assertions
                )
                return bool(value == ("reconciled" if reconciled else row["status"]))
        raise AssertionError(what)

    return means


home_assertions: dict[UUID, list[dict[str, Any]]] = {}


def a_term(chance: random.Random) -> Filter:
    day = FIRST_DAY + timedelta(days=chance.randint(0, 60))
    amount = Decimal(chance.choice(["1", "10", "10.01", "25.5", "500", "0.001", "2550"]))
    makes: list[Callable[[], Filter]] = [
        lambda: Is(Field.ACCOUNT, chance.choice(["Cash", "Bank account", "Yen", "Exchange"])),
        lambda: Is(Field.CATEGORY, chance.choice(["Groceries", "Eating out", "Coffee", "Salary"])),
        lambda: Is(Field.TAG, chance.choice(["HOLIDAY", "work", "late", "none"])),
        lambda: Is(Field.PAYEE, chance.choice(["rossi", "market  hall", "nobody"])),
        lambda: Is(Field.EXTERNAL, f"bank-{chance.randint(0, 200)}"),
        lambda: Is(Field.STATUS, str(chance.choice(list(Status)))),
        lambda: Is(Field.KIND, str(chance.choice(list(TransactionKind)))),
        lambda: Is(Field.CURRENCY, chance.choice(["EUR", "JPY", "BHD", "USD"])),
        lambda: Says(chance.choice(["milk", "mil bre", "CAFÉ", "soup", "7", "unicorn"])),
        lambda: Amounts(amount, None, beyond=chance.random() < 0.5),
        lambda: Amounts(None, amount, beyond=chance.random() < 0.5),
        lambda: Amounts(amount, amount + 20),
        lambda: Days(day, None),
        lambda: Days(day, day + timedelta(days=chance.randint(0, 20))),
    ]
    return chance.choice(makes)()


def a_filter(chance: random.Random, depth: int = 0) -> Filter:
    match chance.randint(0, 5 if depth < 3 else 1):
        case 2 | 3:
            return And(tuple(a_filter(chance, depth + 1) for _ in range(chance.randint(2, 3))))
        case 4:
            return Or(tuple(a_filter(chance, depth + 1) for _ in range(chance.randint(2, 3))))
        case 5:
            return Not(a_filter(chance, depth + 1))
        case _:
            return a_term(chance)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def home(write: Write) -> Household:
    household = live(seed=7)
    home_assertions[household.rows.ledger_id] = [dict(row) for row in household.rows._rows["assertions"].values()]
    await write(household.rows)
    return household


async def pages(
    ledger: Database, home: Household, what: Filter | None, sort: Sort, limit: int = 7
) -> list[tuple[UUID, int]]:
    """Every transaction of a list, page by page, with the version it is shown in."""
    found: list[tuple[UUID, int]] = []
    cursor = None
    while True:
        page = await list_transactions(
            ledger, home.rows.ledger_id, home.rows.user_id, limit=limit, cursor=cursor, sort=sort, what=what
        )
        assert len(page.items) <= limit
        found += [(item.id, item.version) for item in page.items]
        if (cursor := page.next_cursor) is None:
            return found
        assert len(page.items) == limit


def expected(home: Household, what: Filter | None, sort: Sort) -> list[tuple[UUID, int]]:
    means = oracle(home)
    rows = [home.head(each)[0] for each in home.transactions]
    meant = [row for row in rows if not row["deleted"] and (what is None or means(what, row["id"]))]
    meant.sort(key=lambda row: tuple(row[column] for column in sort.by), reverse=sort.startswith("-"))
    return [(row["id"], row["version"]) for row in meant]


@pytest.fixture(params=["as it is", "nothing is few", "everything is few", "walks are short"])
def ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ways are taken as in ledgers of other sizes than the test's."""
    match request.param:
        case "nothing is few":
            monkeypatch.setattr(filters, "MANY", 0)
        case "everything is few":
            monkeypatch.setattr(filters, "MANY", 10**6)
        case "walks are short":
            monkeypatch.setattr(filters, "MANY", 0)
            monkeypatch.setattr(filters, "WALKED", 20)
            monkeypatch.setattr(filters, "_FIRST_WALKED", 9)


@pytest.mark.parametrize("sort", Sort)
@pytest.mark.usefixtures("ways")
async def test_every_filter_finds_what_it_means_in_order(ledger_reading: Database, home: Household, sort: Sort) -> None:
    chance = random.Random(f"filters {sort}")
    for number in range(60):
        what = a_filter(chance)
        assert await pages(ledger_reading, home, what, sort) == expected(home, what, sort), (number, filter_text(what))


@pytest.mark.parametrize("sort", Sort)
async def test_a_list_without_filter_has_everything_that_stands(
    ledger_reading: Database, home: Household, sort: Sort
) -> None:
    assert await pages(ledger_reading, home, None, sort) == expected(home, None, sort)


async def test_what_is_shown_of_a_transaction_is_how_it_stands(ledger_reading: Database, home: Household) -> None:
    page = await list_transactions(ledger_reading, home.rows.ledger_id, home.rows.user_id, limit=200)

    means = oracle(home)
    for item in page.items:
        assert means(Is(Field.STATUS, item.status), item.id), item
        row, moves = home.head(item.id)
        assert [posting.currency for posting in item.postings] == [move.currency for move in moves]
        assert (item.description, item.payee, item.tags) == (row["description"], row["payee"], row["tags"])
        # Nothing is shown as the category that was merged.
        named = {posting.source.name for posting in item.postings} | {each.destination.name for each in item.postings}
        assert "Coffee" not in named


@pytest.mark.parametrize(
    ("text", "position", "part"),
    [
        ("milk account:Nowhere", 13, "no account called so"),
        ("account:Groceries", 8, "is a category; write category:"),
        ("-category:Cash", 10, "is an account; write account:"),
        (f"category:{uuid4()}", 9, "no category called so"),
    ],
)
async def test_a_name_that_the_ledger_does_not_know_is_refused_at_its_place(
    ledger_reading: Database, home: Household, text: str, position: int, part: str
) -> None:
    with pytest.raises(FilterError) as refused:
        await list_transactions(
            ledger_reading, home.rows.ledger_id, home.rows.user_id, limit=5, what=parse_filter(text)
        )

    assert (refused.value.position, part in refused.value.sentence) == (position, True), refused.value.sentence


async def test_an_account_is_found_by_its_id_too(ledger_reading: Database, home: Household) -> None:
    (cash,) = home.accounts["Cash"]

    assert await pages(ledger_reading, home, Is(Field.ACCOUNT, str(cash)), Sort.NEWEST) == expected(
        home, Is(Field.ACCOUNT, "Cash"), Sort.NEWEST
    )


async def test_a_cursor_goes_on_with_no_other_list(ledger_reading: Database, home: Household) -> None:
    async def page(cursor: str | None, sort: Sort, text: str | None) -> str | None:
        what = parse_filter(text) if text else None
        found = await list_transactions(
            ledger_reading, home.rows.ledger_id, home.rows.user_id, limit=3, cursor=cursor, sort=sort, what=what
        )
        return found.next_cursor

    cursor = await page(None, Sort.NEWEST, "account:Cash milk")
    assert cursor
    await page(cursor, Sort.NEWEST, "account:Cash   AND milk")
    for sort, text in ((Sort.OLDEST, "account:Cash milk"), (Sort.NEWEST, "milk"), (Sort.NEWEST, None)):
        with pytest.raises(CursorError):
            await page(cursor, sort, text)


async def test_a_stranger_finds_nothing(ledger_reading: Database, home: Household) -> None:
    for what in (None, Is(Field.TAG, "work"), Says("milk"), Amounts(Decimal(1), None)):
        for sort in Sort:
            page = await list_transactions(ledger_reading, home.rows.ledger_id, uuid4(), limit=5, sort=sort, what=what)
            assert page.items == []
