"""Exchange rates and net worth: what was entered is listed and used, and nothing else."""

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from contracts.accounts import AccountKind
from contracts.rates import RATES_MAX
from gateway.queries.net_worth import find_net_worth
from gateway.queries.paging import CursorError
from gateway.queries.rates import RateLine, find_rates, find_usable_rates, list_rates
from infra.local.stack import LocalStack
from infra.postgres.engine import Database
from tests.builders.gateway import Person, a_person
from tests.builders.ledger_rows import LedgerRows, Move, Write

pytestmark = pytest.mark.stack

DAY = date(2026, 3, 2)


async def listed(ledger_reading: Database, rows: LedgerRows, **asked: Any) -> list[tuple[date, str, str]]:
    """Read every page."""
    items: list[RateLine] = []
    cursor = None
    while True:
        page = await list_rates(ledger_reading, rows.ledger_id, rows.user_id, cursor=cursor, **{"limit": 2} | asked)
        items += page.items
        if (cursor := page.next_cursor) is None:
            return [(each.date, each.currency, each.quote) for each in items]


async def test_rates_come_the_newest_day_first_page_by_page(ledger_reading: Database, write: Write) -> None:
    rows = LedgerRows()
    entered = [
        (DAY + timedelta(days=number), currency, quote)
        for number in range(4)
        for currency, quote in (("EUR", "USD"), ("EUR", "JPY"), ("USD", "JPY"))
    ]
    for day, currency, quote in entered:
        rows.rate(currency, quote, day, "1.5")
    await write(rows)
    expected = sorted(entered, key=lambda each: (-each[0].toordinal(), each[1], each[2]))

    for limit in (1, 2, 5, 11, 12, 50):
        assert await listed(ledger_reading, rows, limit=limit) == expected
    for asked, kept in (
        ({"currency": "EUR"}, lambda each: each[1] == "EUR"),
        ({"quote": "JPY"}, lambda each: each[2] == "JPY"),
        ({"currency": "USD", "quote": "JPY"}, lambda each: each[1:] == ("USD", "JPY")),
        ({"currency": "JPY"}, lambda each: False),
    ):
        assert await listed(ledger_reading, rows, **asked) == [each for each in expected if kept(each)]
    page = await list_rates(ledger_reading, rows.ledger_id, rows.user_id, limit=1)
    with pytest.raises(CursorError):
        await list_rates(ledger_reading, rows.ledger_id, rows.user_id, limit=1, cursor=page.next_cursor, currency="EUR")
    assert (await list_rates(ledger_reading, rows.ledger_id, uuid4(), limit=1)).items == []


async def test_rates_are_shown_as_they_were_typed(ledger_reading: Database, write: Write) -> None:
    rows = LedgerRows()
    typed = ["1", "1.10", "0.000000000001", "999999999999.999999999999", "100"]
    for number, rate in enumerate(typed):
        rows.rate("EUR", "USD", DAY + timedelta(days=number), rate)
    await write(rows)

    wanted = [("EUR", "USD", DAY + timedelta(days=number)) for number in reversed(range(len(typed) + 1))]
    found = await find_rates(ledger_reading, rows.ledger_id, rows.user_id, wanted)

    assert [each.rate for each in reversed(found)] == ["1", "1.1", "0.000000000001", typed[3], "100"]
    assert await find_rates(ledger_reading, rows.ledger_id, uuid4(), wanted) == []


async def test_the_latest_rate_until_the_day_is_used_direct_if_there_is_one(
    ledger_reading: Database, write: Write
) -> None:
    rows = LedgerRows()
    rows.rate("USD", "EUR", DAY, "0.9")
    rows.rate("USD", "EUR", DAY + timedelta(days=2), "0.8")
    rows.rate("EUR", "USD", DAY + timedelta(days=1), "1.2")
    rows.rate("EUR", "GBP", DAY - timedelta(days=500), "0.85")
    rows.rate("JPY", "USD", DAY, "0.007")
    await write(rows)

    async def used(on: date) -> dict[str, tuple[Decimal, bool]]:
        found = await find_usable_rates(
            ledger_reading, rows.ledger_id, rows.user_id, ["USD", "GBP", "JPY", "CHF"], "EUR", on
        )
        return {code: (rate.rate, rate.inverted) for code, rate in found.items()}

    pounds = {"GBP": (Decimal("0.85"), True)}
    assert await used(DAY - timedelta(days=1)) == pounds
    assert await used(DAY) == await used(DAY + timedelta(days=1)) == {"USD": (Decimal("0.9"), False)} | pounds
    assert await used(DAY + timedelta(days=2)) == {"USD": (Decimal("0.8"), False)} | pounds
    # Yen have a rate in dollars only, and dollars one in euros: that is no rate of yen in euros.
    found = await find_usable_rates(ledger_reading, rows.ledger_id, rows.user_id, ["EUR", "JPY"], "USD", DAY)
    assert {code: (rate.rate, rate.inverted) for code, rate in found.items()} == {
        "EUR": (Decimal("0.9"), True),
        "JPY": (Decimal("0.007"), False),
    }
    assert await find_usable_rates(ledger_reading, rows.ledger_id, uuid4(), ["USD"], "EUR", DAY) == {}


async def test_net_worth_is_what_is_owned_less_what_is_owed_on_the_day(ledger_reading: Database, write: Write) -> None:
    rows = LedgerRows()
    cash, dollars, yen = (
        rows.account("Cash"),
        rows.account("Dollars", currency="USD"),
        rows.account("Yen", currency="JPY"),
    )
    card, closed = rows.account("Card", AccountKind.LIABILITY), rows.account("Old", closed=True)
    salary, food = rows.category("Salary", AccountKind.INCOME), rows.category("Food")
    rows.transaction(Move(salary, cash, 100_000), on=DAY)
    rows.transaction(Move(salary, dollars, 5_000, "USD"), on=DAY)
    rows.transaction(Move(salary, yen, 700, "JPY"), on=DAY)
    rows.transaction(Move(card, food, 30_000), on=DAY)
    rows.transaction(Move(salary, closed, 1), on=DAY)
    rows.transaction(Move(cash, food, 99), on=DAY + timedelta(days=1))
    rows.rate("EUR", "USD", DAY - timedelta(days=9), "1.25")
    await write(rows)

    found = await find_net_worth(ledger_reading, rows.ledger_id, rows.user_id, on=DAY, currency="EUR")

    assert [(each.amount, each.currency) for each in found.totals] == [
        ("700.01", "EUR"),
        ("700", "JPY"),
        ("50.00", "USD"),
    ]
    assert found.total is not None
    assert (found.total.amount, found.total.currency) == ("740.01", "EUR")
    (rate,) = found.rates
    assert (rate.currency, rate.quote, rate.rate, rate.date, rate.inverted) == (
        "EUR",
        "USD",
        "1.25",
        DAY - timedelta(days=9),
        True,
    )
    assert [(each.amount, each.currency) for each in found.unconverted] == [("700", "JPY")]


@pytest.fixture(scope="module")
def ann(stack: LocalStack) -> Iterator[Person]:
    with a_person(stack) as person:
        yield person


def entered(person: Person, *rates: Any) -> Any:
    answer = person.post(f"/ledgers/{person.ledger_id}/rates", {"rates": list(rates)}, prefer="wait=10")
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]


def test_rates_are_entered_replaced_and_taken_away_over_http(ann: Person) -> None:
    path = f"/ledgers/{ann.ledger_id}/rates"
    dollars = {"currency": "USD", "quote": "EUR", "date": "2026-03-02", "rate": "0.9200"}
    yen = {"currency": "EUR", "quote": "JPY", "date": "2026-03-01", "rate": "160"}

    assert entered(ann, dollars, yen) == [dollars | {"rate": "0.92"}, yen]
    assert entered(ann, dollars | {"rate": "0.93"}) == [dollars | {"rate": "0.93"}]
    assert ann.get(path).json() == {"items": [dollars | {"rate": "0.93"}, yen], "next_cursor": None}
    assert entered(ann, dollars | {"rate": None}) == []
    assert ann.get(path, currency="EUR", quote="JPY").json()["items"] == [yen]
    assert ann.get(path, currency="USD").json()["items"] == []


def test_as_many_rates_as_may_be_sent_are_taken(ann: Person) -> None:
    rates = [
        {"currency": "CHF", "quote": "EUR", "date": str(date(2020, 1, 1) + timedelta(days=number)), "rate": "1.05"}
        for number in range(RATES_MAX)
    ]

    assert len(entered(ann, *rates)) == RATES_MAX
    assert len(ann.get(f"/ledgers/{ann.ledger_id}/rates", currency="CHF", limit=200).json()["items"]) == 200


def test_net_worth_is_read_over_http(stack: LocalStack) -> None:
    with a_person(stack) as bob:
        path = f"/ledgers/{bob.ledger_id}/net-worth"
        before = bob.get(path, on="2026-03-31")
        assert before.json()["total"] == {"amount": "0.00", "currency": "EUR"}
        bob.post(
            "/accounts",
            {"name": "Dollars", "kind": "asset", "currency": "USD", "opening_balance": "100"},
            prefer="wait=10",
        )
        bob.record(amount="30", date="2026-01-31")

        unknown = bob.get(path).json()
        assert unknown["unconverted"] == [{"amount": "100.00", "currency": "USD"}]
        assert unknown["total"] == {"amount": "-30.00", "currency": "EUR"}
        entered(bob, {"currency": "USD", "quote": "EUR", "date": "2026-01-01", "rate": "0.5"})
        known = bob.get(path).json()
        assert known["total"] == {"amount": "20.00", "currency": "EUR"}
        assert known["totals"] == [{"amount": "-30.00", "currency": "EUR"}, {"amount": "100.00", "currency": "USD"}]
        assert known["rates"] == [
            {
                "amount": "100.00",
                "converted": "50.00",
                "currency": "USD",
                "quote": "EUR",
                "date": "2026-01-01",
                "rate": "0.5",
                "inverted": False,
            }
        ]
        in_dollars = bob.get(path, currency="USD").json()
        assert (in_dollars["total"], in_dollars["rates"][0]["inverted"]) == (
            {"amount": "40.00", "currency": "USD"},
            True,
        )
        assert bob.get(path, on="2026-01-30").json()["totals"] == []
        for wrong in ({"on": "today"}, {"currency": "XXX"}, {"currency": "usd"}, {"in": "USD"}):
            answer = bob.get(path, **wrong)
            assert answer.status_code == 400
            assert [each["field"] for each in answer.json()["errors"]] == list(wrong)
        stranger = bob.get(f"/ledgers/{uuid4()}/net-worth")
        assert (stranger.status_code, stranger.json()["errors"][0]["field"]) == (404, "ledger_id")


GOOD = {"currency": "USD", "quote": "EUR", "date": "2026-03-02", "rate": "0.92"}


@pytest.mark.parametrize(
    ("rates", "fields"),
    [
        (None, ["rates"]),
        ([], ["rates"]),
        ({}, ["rates"]),
        ([GOOD] * (RATES_MAX + 1), ["rates"]),
        ([GOOD | {"rate": 0.92}], ["rates.0.rate"]),
        ([GOOD | {"rate": "-1"}], ["rates.0.rate"]),
        ([GOOD, GOOD | {"currency": "usd", "quote": "XAU"}], ["rates.1.currency", "rates.1.quote"]),
        ([GOOD | {"date": "2026-02-30"}], ["rates.0.date"]),
        ([{name: value for name, value in GOOD.items() if name != "rate"}], ["rates.0.rate"]),
        ([GOOD | {"valid_on": "2026-03-02"}], ["rates.0.valid_on"]),
        (["1.5"], ["rates.0"]),
    ],
)
def test_what_is_wrong_with_rates_is_named(ann: Person, rates: Any, fields: list[str]) -> None:
    answer = ann.post(f"/ledgers/{ann.ledger_id}/rates", {"rates": rates})

    assert answer.status_code == 400, answer.text
    assert [each["field"] for each in answer.json()["errors"]] == fields


def test_what_the_ledger_refuses_of_rates_is_said(ann: Person) -> None:
    for wrong, code in (
        ({"quote": "USD"}, "rate_invalid"),
        ({"rate": "0.000"}, "rate_invalid"),
        ({"date": "1850-01-01"}, "date_out_of_range"),
    ):
        answer = ann.post(f"/ledgers/{ann.ledger_id}/rates", {"rates": [GOOD | wrong]}, prefer="wait=10")
        assert (answer.status_code, answer.json()["code"]) == (422, code)
