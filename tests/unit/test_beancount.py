"""The oracle itself: what it writes beancount can read, and a book that is wrong does not pass."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid5

import pytest

from contracts.accounts import AccountKind
from tests.builders.beancount import Account, PostedBooks, Posting, StatedBalance, load, name_of

LEDGER_ID = UUID(int=7)
DAY = date(2026, 3, 2)


def an_account(name: str, kind: AccountKind, currency: str | None = None, root: str | None = None) -> Account:
    return Account(uuid5(LEDGER_ID, name), uuid5(LEDGER_ID, root or name), kind, name, currency)


CASH = an_account("Cash", AccountKind.ASSET, "EUR")
YEN = an_account("円 — “cash”", AccountKind.ASSET, "JPY")
CARD = an_account("card", AccountKind.LIABILITY, "EUR")
FOOD = an_account("Food", AccountKind.EXPENSE)
SNACKS = an_account("Snacks", AccountKind.EXPENSE, root="Food")
SALARY = an_account("Salary", AccountKind.INCOME)
EXCHANGE = an_account("Exchange", AccountKind.EQUITY)
ACCOUNTS = {account.id: account for account in (CASH, YEN, CARD, FOOD, SNACKS, SALARY, EXCHANGE)}


def moved(
    sequence: int, source: Account, destination: Account, minor: int, currency: str = "EUR", **more: Any
) -> Posting:
    usual: dict[str, Any] = {"booked_on": DAY, "description": ""}
    return Posting(
        sequence,
        **usual | more,
        source_account_id=source.id,
        destination_account_id=destination.id,
        amount_minor=minor,
        currency=currency,
    )


ROWS = PostedBooks(
    ACCOUNTS,
    [
        moved(4, SALARY, CASH, 10**15, booked_on=date(1900, 1, 1), description='“Pay” \\ "all" of it'),
        moved(5, CASH, FOOD, 1250),
        moved(5, CASH, SNACKS, 749),
        moved(6, CARD, FOOD, 100, standing=False),
        moved(7, FOOD, CARD, 100, standing=False),
        moved(8, CASH, EXCHANGE, 10000, booked_on=date(2200, 12, 31)),
        moved(8, EXCHANGE, YEN, 16040, "JPY", booked_on=date(2200, 12, 31)),
    ],
)
BALANCES = {
    (SALARY.id, "EUR"): Decimal("-10000000000000.00"),
    (CASH.id, "EUR"): Decimal("9999999999880.01"),
    (FOOD.id, "EUR"): Decimal("19.99"),
    (EXCHANGE.id, "EUR"): Decimal("100.00"),
    (EXCHANGE.id, "JPY"): Decimal(-16040),
    (YEN.id, "JPY"): Decimal(16040),
}


@pytest.mark.parametrize("standing_only", [False, True])
def test_books_are_read_and_summed(standing_only: bool) -> None:
    directives, errors = load(ROWS.to_text(standing_only=standing_only))

    assert errors == []
    assert ROWS.balances_in(directives) == BALANCES


def test_balance_of_a_day_is_the_one_at_its_end() -> None:
    directives, _ = load(ROWS.to_text())

    assert ROWS.balances_in(directives, date(1899, 12, 31)) == {}
    assert ROWS.balances_in(directives, DAY) == {
        (SALARY.id, "EUR"): Decimal("-10000000000000.00"),
        (CASH.id, "EUR"): Decimal("9999999999980.01"),
        (FOOD.id, "EUR"): Decimal("19.99"),
    }


def test_taken_back_postings_are_written_only_where_all_are() -> None:
    assert ROWS.to_text().count(name_of(CARD)) == 3
    assert ROWS.to_text(standing_only=True).count(name_of(CARD)) == 1


@pytest.mark.parametrize(
    ("amount", "complaints"), [("19.99", 0), ("19.98", 1), ("20.00", 1), ("19.991", 1), ("-19.99", 1)]
)
def test_stated_balance_is_checked_to_the_last_digit(amount: str, complaints: int) -> None:
    stated = StatedBalance(SNACKS.id, DAY, Decimal(amount), "EUR")

    assert len(load(ROWS.to_text([stated]))[1]) == complaints


def test_money_in_another_currency_than_the_account_has_is_noticed() -> None:
    rows = replace(ROWS, postings=[moved(4, SALARY, CASH, 100, "JPY")])

    assert len(load(rows.to_text())[1]) == 1


def test_account_that_was_never_opened_is_noticed() -> None:
    text = ROWS.to_text()
    without = "\n".join(line for line in text.splitlines() if "open Equity" not in line)

    assert load(without)[1]


def test_money_that_was_made_or_lost_is_noticed() -> None:
    assert load(ROWS.to_text().replace("  7.49 EUR", "  7.48 EUR"))[1]


@pytest.mark.parametrize("name", ["Food", "food", "食費", "a:b c", "--", "9 lives", "Ünal", '"', "x" * 100])
def test_every_name_has_one_that_beancount_takes(name: str) -> None:
    account = an_account(name, AccountKind.EXPENSE)
    rows = PostedBooks({**ACCOUNTS, account.id: account}, [moved(4, CASH, account, 100)])

    directives, errors = load(rows.to_text())

    assert errors == []
    assert rows.balances_in(directives)[account.id, "EUR"] == 1
