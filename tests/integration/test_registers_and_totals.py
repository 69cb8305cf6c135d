"""Registers and totals: on the real tables each is the sum of the postings, however pages and periods are cut."""

from collections import Counter
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from contracts.accounts import AccountKind
from contracts.filters import parse_filter
from contracts.money import exponent_of, format_minor
from contracts.text import name_key
from contracts.transactions import TransactionKind
from gateway.queries.paging import CursorError
from gateway.queries.registers import RegisterLine, list_register
from gateway.queries.totals import By, Period, Totals, find_totals
from infra.postgres.engine import Database
from tests.builders.ledger_rows import LedgerRows, Move, Write
from tests.builders.lived_ledger import FIRST_DAY, LAST_DAY, Household, live, oracle

pytestmark = pytest.mark.stack

CATEGORIES = {"Groceries", "Eating out", "Salary"}
ACCOUNTS = {"Cash", "Bank account", "Yen", "Dinar"}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def home(write: Write) -> Household:
    household = live(seed=11)
    await write(household.rows)
    return household


async def register(ledger: Database, rows: LedgerRows, account_id: UUID, limit: int = 4) -> list[RegisterLine]:
    lines: list[RegisterLine] = []
    cursor = None
    while True:
        page = await list_register(ledger, rows.ledger_id, rows.user_id, account_id, limit=limit, cursor=cursor)
        assert page is not None
        lines += page.items
        if (cursor := page.next_cursor) is None:
            return lines


def minor_of(amount: str, currency: str) -> int:
    return int(Decimal(amount).scaleb(exponent_of(currency)))


@pytest.mark.parametrize("limit", [1, 4, 200])
@pytest.mark.parametrize("name", ["Cash", "Bank account", "Yen", "Dinar", "Exchange", "Eating out", "Groceries"])
async def test_a_register_is_what_stands_with_the_balance_after_each(
    ledger_reading: Database, home: Household, name: str, limit: int
) -> None:
    ours = home.accounts[name]
    expected: list[tuple[UUID, str, int, int]] = []
    balances: Counter[str] = Counter()
    for row, moves in sorted(home.standing(), key=lambda each: tuple(each[0][key] for key in KEYS)):
        moved: dict[str, int] = {}
        for move in moves:
            if move.destination in ours or move.source in ours:
                amount = move.minor * ((move.destination in ours) - (move.source in ours))
                moved[move.currency] = moved.get(move.currency, 0) + amount
        for currency, minor in reversed(moved.items()):
            balances[currency] += minor
            expected.insert(0, (row["id"], currency, minor, balances[currency]))

    lines = await register(ledger_reading, home.rows, next(iter(ours)), limit)

    assert [
        (
            line.transaction_id,
            line.currency,
            minor_of(line.amount, line.currency),
            minor_of(line.balance, line.currency),
        )
        for line in lines
    ] == expected
    assert len({line.currency for line in lines}) == (3 if name in ("Eating out", "Groceries") else len(balances))


KEYS = ("booked_on", "booked_at", "id")


async def test_a_register_names_the_other_side(ledger_reading: Database, home: Household) -> None:
    (cash,) = home.accounts["Cash"]
    for line in await register(ledger_reading, home.rows, cash, 200):
        names = {account.name for account in line.accounts}
        assert "Cash" not in names
        assert "Coffee" not in names
        if line.kind is TransactionKind.EXCHANGE:
            assert names == {"Yen"}
        if line.kind is TransactionKind.TRANSFER:
            assert names == {"Bank account"}
    # The other parts of a split are on the same side.
    for line in await register(ledger_reading, home.rows, next(iter(home.accounts["Groceries"])), 200):
        assert {account.name for account in line.accounts} <= ACCOUNTS


async def test_a_merged_category_has_the_register_of_the_one_that_stands_for_it(
    ledger_reading: Database, home: Household
) -> None:
    pages = [
        await list_register(ledger_reading, home.rows.ledger_id, home.rows.user_id, account_id, limit=200, cursor=None)
        for account_id in home.accounts["Coffee"]
    ]

    assert len(pages) == 2
    assert pages[0] == pages[1]
    assert pages[0] is not None
    assert pages[0].account.name == "Eating out"


async def test_a_register_that_is_not_there_or_not_ours(ledger_reading: Database, home: Household) -> None:
    (cash,) = home.accounts["Cash"]
    rows = home.rows

    assert await list_register(ledger_reading, rows.ledger_id, rows.user_id, uuid4(), limit=5, cursor=None) is None
    assert await list_register(ledger_reading, rows.ledger_id, uuid4(), cash, limit=5, cursor=None) is None
    page = await list_register(ledger_reading, rows.ledger_id, rows.user_id, cash, limit=5, cursor=None)
    assert page is not None
    (bank,) = home.accounts["Bank account"]
    with pytest.raises(CursorError):
        await list_register(ledger_reading, rows.ledger_id, rows.user_id, bank, limit=5, cursor=page.next_cursor)


async def test_an_account_without_postings_has_an_empty_register(ledger_reading: Database, write: Write) -> None:
    rows = LedgerRows()
    account_id = rows.account("Cash")
    await write(rows)

    page = await list_register(ledger_reading, rows.ledger_id, rows.user_id, account_id, limit=5, cursor=None)

    assert page is not None
    assert (page.account.name, page.items, page.next_cursor) == ("Cash", [], None)


def labels(day: date, period: Period) -> str | None:
    match period:
        case Period.MONTH:
            return day.isoformat()[:7]
        case Period.QUARTER:
            return f"{day.year}-Q{(day.month - 1) // 3 + 1}"
        case Period.YEAR:
            return str(day.year)
        case _:
            return None


def expected_totals(
    home: Household, by: By, period: Period, first: date | None, last: date | None, text: str | None
) -> dict[tuple[str | None, str | None, str], int]:
    """What the totals are, by name, period and currency."""
    means = oracle(home)
    what = parse_filter(text) if text else None
    names = {account_id: name for name, ids in home.accounts.items() for account_id in ids}
    names |= dict.fromkeys(home.accounts["Eating out"], "Eating out")
    wanted = ACCOUNTS if by is By.ACCOUNT else CATEGORIES
    totals: Counter[tuple[str | None, str | None, str]] = Counter()
    for row, moves in home.standing():
        on = row["booked_on"]
        if not (first or date.min) <= on <= (last or date.max) or (what and not means(what, row["id"])):
            continue
        for move in moves:
            for account_id, minor in ((move.destination, move.minor), (move.source, -move.minor)):
                if (name := names[account_id]) not in wanted:
                    continue
                keys: list[str | None] = [name]
                if by is By.PAYEE:
                    keys = [row["payee"] and name_key(row["payee"])]
                if by is By.TAG:
                    keys = [*{name_key(tag) for tag in row["tags"]}] or [None]
                for key in keys:
                    totals[key, labels(on, period), move.currency] += minor
    return {key: minor for key, minor in totals.items() if minor}


def shown(totals: Totals, by: By) -> dict[tuple[str | None, str | None, str], int]:
    found = {}
    for item in totals.items:
        name = item.name if by in (By.CATEGORY, By.ACCOUNT) else item.name and name_key(item.name)
        assert (name, item.period, item.currency) not in found
        found[name, item.period, item.currency] = minor_of(item.amount, item.currency)
    return found


RANGES = [
    (None, None),
    (date(2026, 1, 1), date(2026, 1, 31)),
    (date(2026, 1, 1), None),
    (date(2026, 1, 10), date(2026, 2, 20)),
    (date(2026, 1, 10), date(2026, 1, 12)),
    (None, date(2026, 2, 1)),
    (LAST_DAY + timedelta(days=40), None),
]


@pytest.mark.parametrize("by", By)
@pytest.mark.parametrize(("first", "last"), RANGES)
async def test_totals_are_the_sums_of_what_stands(
    ledger_reading: Database, home: Household, by: By, first: date | None, last: date | None
) -> None:
    for period in Period:
        for text in (None, "milk", "account:Cash", "-tag:holiday amount:>10", "date:>2026-01-20", "tag:nothing"):
            totals = await find_totals(
                ledger_reading,
                home.rows.ledger_id,
                home.rows.user_id,
                by=by,
                period=period,
                first=first,
                last=last,
                what=parse_filter(text) if text else None,
            )
            assert shown(totals, by) == expected_totals(home, by, period, first, last, text), (period, text)
            assert not totals.more


async def test_totals_are_ordered_and_named(ledger_reading: Database, home: Household) -> None:
    totals = await find_totals(
        ledger_reading, home.rows.ledger_id, home.rows.user_id, by=By.CATEGORY, period=Period.MONTH
    )

    assert [item.period for item in totals.items] == sorted(item.period or "" for item in totals.items)
    assert totals.items[0].kind is AccountKind.INCOME
    assert totals.items[0].amount.startswith("-")
    assert all(item.id for item in totals.items)


async def test_a_stranger_has_no_totals(ledger_reading: Database, home: Household) -> None:
    for by in By:
        for text in (None, "milk"):
            what = parse_filter(text) if text else None
            totals = await find_totals(ledger_reading, home.rows.ledger_id, uuid4(), by=by, what=what)
            assert totals.items == []


async def test_totals_are_larger_than_any_posting(ledger_reading: Database, write: Write) -> None:
    rows = LedgerRows()
    cash, food = rows.account("Cash"), rows.category("Food")
    for _ in range(12):
        rows.transaction(*(Move(cash, food, 10**15) for _ in range(100)), on=FIRST_DAY, payee="x")
    await write(rows)

    totals = {
        by: await find_totals(ledger_reading, rows.ledger_id, rows.user_id, by=by) for by in (By.CATEGORY, By.PAYEE)
    }

    for each in totals.values():
        assert [item.amount for item in each.items] == [format_minor(1200 * 10**15, "EUR")]


def test_the_oracle_has_seen_everything() -> None:
    """A seed that lives without some kind of thing would prove nothing about it."""
    household: Any = live(seed=11)
    kinds = {row["kind"] for row, _ in household.standing()}

    assert kinds == set(TransactionKind)
    assert any(row["revision"] > 1 for row, _ in household.standing())
    assert len(household.standing()) < len(household.transactions)
