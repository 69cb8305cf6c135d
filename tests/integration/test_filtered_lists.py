"""Filtered lists: on the real tables they have what the filter means, in order, whichever way is taken to find it."""

import random
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

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
)
from contracts.transactions import TransactionKind
from gateway.queries import filters
from gateway.queries.filters import Sort
from gateway.queries.paging import CursorError
from gateway.queries.transactions import list_transactions
from infra.postgres.engine import Database
from tests.builders.ledger_rows import Write
from tests.builders.lived_ledger import FIRST_DAY, Household, live, oracle

pytestmark = pytest.mark.stack


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
