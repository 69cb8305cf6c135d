"""Net worth: totals by currency, converted by what was entered, and nothing guessed."""

from datetime import date
from decimal import Decimal
from fractions import Fraction
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.accounts import AccountKind
from contracts.money import exponent_of
from gateway.queries.balances import KindedAccount, Line
from gateway.queries.net_worth import converted, net_worth_of, total_by_currency
from gateway.queries.rates import UsableRate

DAY = date(2026, 3, 2)
CURRENCIES = ["EUR", "USD", "JPY", "BHD"]


def a_rate(currency: str, quote: str, rate: str, *, inverted: bool = False) -> UsableRate:
    return UsableRate(currency, quote, DAY, Decimal(rate), inverted)


def a_line(minor: int, currency: str) -> Line:
    return Line(KindedAccount(uuid4(), "Cash", AccountKind.ASSET), currency, minor)


def test_what_comes_to_nothing_is_no_total() -> None:
    lines = [a_line(500, "USD"), a_line(-500, "USD"), a_line(7, "JPY"), a_line(100, "EUR"), a_line(-40, "EUR")]

    assert total_by_currency(lines) == {"EUR": 60, "JPY": 7}


def test_each_conversion_names_its_rate_and_what_has_none_is_named() -> None:
    rates = {"USD": a_rate("USD", "EUR", "0.9"), "GBP": a_rate("EUR", "GBP", "0.8", inverted=True)}

    found = net_worth_of({"EUR": 1000, "USD": 200, "GBP": -400, "JPY": 5000}, rates, on=DAY, currency="EUR")

    assert [(each.amount, each.currency) for each in found.totals] == [
        ("10.00", "EUR"),
        ("2.00", "USD"),
        ("-4.00", "GBP"),
        ("5000", "JPY"),
    ]
    dollars, pounds = found.rates
    assert (dollars.amount, dollars.converted, dollars.currency, dollars.quote) == ("2.00", "1.80", "USD", "EUR")
    assert (dollars.rate, dollars.date, dollars.inverted) == ("0.9", DAY, False)
    assert (pounds.amount, pounds.converted, pounds.currency, pounds.quote) == ("-4.00", "-5.00", "EUR", "GBP")
    assert (pounds.rate, pounds.inverted) == ("0.8", True)
    assert [(each.amount, each.currency) for each in found.unconverted] == [("5000", "JPY")]
    assert found.total is not None
    assert (found.total.amount, found.total.currency) == ("6.80", "EUR")


def test_where_nothing_can_be_converted_there_is_no_total() -> None:
    assert net_worth_of({"JPY": 5000}, {}, on=DAY, currency="EUR").total is None


def test_who_owns_nothing_has_a_total_of_zero() -> None:
    found = net_worth_of({}, {}, on=DAY, currency="JPY")

    assert found.total is not None
    assert (found.total.amount, found.totals, found.unconverted) == ("0", [], [])


@pytest.mark.parametrize(
    ("minor", "currency", "rate", "inverted", "target", "expected"),
    [
        (25, "EUR", "0.1", False, "USD", 2),
        (35, "EUR", "0.1", False, "USD", 4),
        (-25, "EUR", "0.1", False, "USD", -2),
        (450, "USD", "3", True, "JPY", 2),  # 1.5 yen
        (150, "USD", "3", True, "JPY", 0),  # half a yen
        (-450, "USD", "3", True, "JPY", -2),
        (100, "JPY", "7", True, "BHD", 14286),
        (10**30, "EUR", "0.000000000001", False, "JPY", 10**16),
    ],
)
def test_halves_go_to_the_even_neighbour(
    minor: int, currency: str, rate: str, inverted: bool, target: str, expected: int
) -> None:
    assert converted(minor, currency, a_rate("EUR", "USD", rate, inverted=inverted), target) == expected


@given(
    st.integers(-(10**20), 10**20),
    st.sampled_from(CURRENCIES),
    st.decimals("0.000000000001", "999999999999", places=12),
    st.booleans(),
    st.sampled_from(CURRENCIES),
)
def test_a_conversion_is_the_nearest_minor_unit(
    minor: int, currency: str, rate: Decimal, inverted: bool, target: str
) -> None:
    found = converted(minor, currency, UsableRate("EUR", "USD", DAY, rate, inverted), target)

    factor = 1 / Fraction(rate) if inverted else Fraction(rate)
    exact = minor * factor * Fraction(10) ** (exponent_of(target) - exponent_of(currency))
    assert abs(found - exact) <= Fraction(1, 2)
    if abs(found - exact) == Fraction(1, 2):
        assert found % 2 == 0
