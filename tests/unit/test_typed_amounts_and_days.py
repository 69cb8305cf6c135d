"""What people type as amounts and days."""

from collections.abc import Callable
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from cli.books.amounts import (
    TypedAmount,
    checked_amount,
    checked_rate,
    checked_signed_amount,
    one_currency,
    read_amount,
)
from cli.terminal.days import read_calendar_day, read_day, read_moment
from cli.terminal.output import ExitCode, Failure

NOW = datetime(2026, 3, 1, 0, 30, tzinfo=ZoneInfo("Europe/Berlin"))


@pytest.mark.parametrize("typed", ["24.47", "5", "0.01", " 12.50 ", "1234567890123456.12345678"])
def test_plain_digits_with_a_point_are_sent_as_typed(typed: str) -> None:
    assert checked_amount(typed) == typed.strip()


@pytest.mark.parametrize(
    ("typed", "amount", "currency"),
    [
        ("24.47 EUR", "24.47", "EUR"),
        ("eur 24.47", "24.47", "EUR"),
        ("24.47EUR", "24.47", "EUR"),
        ("€24.47", "24.47", "EUR"),
        ("1,234.50 USD", "1234.50", "USD"),
        ("1.234,50 €", "1234.50", "EUR"),
        ("1 234,50 €", "1234.50", "EUR"),
        ("1'234.50 CHF", "1234.50", "CHF"),
        ("1\u202f234,50", "1234.50", None),
        ("24,47", "24.47", None),
        ("1,234,567", "1234567", None),
        ("1.234.567", "1234567", None),
        ("12,345.678", "12345.678", None),
        ("0,234", "0.234", None),
        ("1234,567", "1234.567", None),
        ("1.234", "1.234", None),
    ],
)
def test_an_amount_is_read_as_people_of_many_countries_write_it(typed: str, amount: str, currency: str | None) -> None:
    assert read_amount(typed) == TypedAmount(amount, currency)


@pytest.mark.parametrize(("typed", "one", "other"), [("1,234", "1234", "1.234"), ("12,345 EUR", "12345", "12.345")])
def test_what_can_be_read_in_two_ways_is_refused_with_both(typed: str, one: str, other: str) -> None:
    with pytest.raises(Failure, match=f"can be read in two ways; type {one} or {other}") as refusal:
        read_amount(typed)
    assert refusal.value.code is ExitCode.USAGE


@pytest.mark.parametrize("typed", ["$5", "5 £", "¥ 500", "5 XYZ", "abc 5"])
def test_what_is_not_one_currency_is_refused(typed: str) -> None:
    with pytest.raises(Failure, match="is not one currency; type"):
        read_amount(typed)


@pytest.mark.parametrize("option", [None, "EUR", "eur"])
def test_a_currency_may_be_said_twice_if_it_is_the_same(option: str | None) -> None:
    assert one_currency(read_amount("5 EUR"), option) == "EUR"
    assert one_currency(read_amount("5"), option) == (option and "EUR")
    with pytest.raises(Failure, match="are two currencies"):
        one_currency(read_amount("5 EUR"), "USD")


@pytest.mark.parametrize("checked", [checked_amount, checked_signed_amount])
def test_where_the_account_has_the_currency_an_amount_names_none(checked: Callable[[str], str]) -> None:
    assert checked("1,234.50") == "1234.50"
    with pytest.raises(Failure, match=r"names a currency, which is the account's here; type 1234\.50"):
        checked("1,234.50 EUR")


@pytest.mark.parametrize(("typed", "proposed"), [(".5", "0.5"), ("5.", "5"), ("1,23,456", "123456")])
def test_another_spelling_is_refused_with_the_one_to_type(typed: str, proposed: str) -> None:
    with pytest.raises(Failure, match=f"if you mean {proposed}, type that") as refusal:
        checked_amount(typed)
    assert refusal.value.code is ExitCode.USAGE


@pytest.mark.parametrize("typed", ["", "abc", "1e3", "NaN", "٣", "0x10", "1 2 x 3", "1.2.3.4x5"])
def test_what_is_no_amount_is_refused_without_a_guess(typed: str) -> None:
    with pytest.raises(Failure, match=r"is not an amount|is not one currency") as refusal:
        checked_amount(typed)
    assert "if you mean" not in str(refusal.value)


@pytest.mark.parametrize("typed", ["-5", "+5", "-24,47", "0", "0.00", "0,00", "000", "EUR -5"])
def test_an_amount_not_above_zero_points_to_income(typed: str) -> None:
    with pytest.raises(Failure, match="--income"):
        checked_amount(typed)


@pytest.mark.parametrize(
    ("typed", "sent"),
    [
        ("today", "2026-03-01"),
        ("Yesterday", "2026-02-28"),
        # It is a Sunday.
        ("last friday", "2026-02-27"),
        ("Last Sat", "2026-02-28"),
        ("last sunday", "2026-02-22"),
        ("-3d", "2026-02-26"),
        ("3 days ago", "2026-02-26"),
        ("1 day ago", "2026-02-28"),
        ("-2w", "2026-02-15"),
        ("2 weeks ago", "2026-02-15"),
        ("2024-02-29", "2024-02-29"),
        ("2026-03-31T18:30", "2026-03-31T18:30:00+02:00"),
        ("2024-09-19T23:59:24.941283", "2024-09-19T23:59:24.941283+02:00"),
        ("2026-03-31T18:30+09:00", "2026-03-31T18:30:00+09:00"),
        ("2026-03-31T18:30Z", "2026-03-31T18:30:00+00:00"),
    ],
)
def test_days_are_read_in_the_ledgers_zone(typed: str, sent: str) -> None:
    assert read_day(typed, NOW) == sent


@pytest.mark.parametrize(
    "typed",
    ["2026-02-30", "31.03.2026", "03/31/2026", "tomorrow", "friday", "last month", "-1m", "", "2026-03-31T25:00"],
)
def test_what_is_no_day_is_refused_with_an_example(typed: str) -> None:
    with pytest.raises(Failure, match=r"is not a day; type it as 2026-03-01, or today, yesterday, last friday, -3d"):
        read_day(typed, NOW)


@pytest.mark.parametrize(
    ("typed", "sent"),
    [("0", "0"), ("-120.50", "-120.50"), ("−120.50", "-120.50"), (" - 5 ", "-5"), ("-1,50", "-1.50"), ("7.1", "7.1")],
)
def test_what_an_account_holds_may_be_nothing_or_owed(typed: str, sent: str) -> None:
    assert checked_signed_amount(typed) == sent


@pytest.mark.parametrize("typed", ["--5", "", "-", "1e3", "1/2"])
def test_what_is_no_signed_amount_is_refused(typed: str) -> None:
    with pytest.raises(Failure, match=r"is not an amount|is not above zero"):
        checked_signed_amount(typed)


@pytest.mark.parametrize("typed", ["0", "0.0", "-1", "1,08", "1/3", ""])
def test_what_is_no_rate_is_refused_with_an_example(typed: str) -> None:
    with pytest.raises(Failure, match=r"type digits above zero, with a point, as in 1\.0842"):
        checked_rate(typed)


@pytest.mark.parametrize(
    ("typed", "sent"),
    [
        ("yesterday", "2026-03-01T00:00:00+01:00"),
        ("2026-03-28", "2026-03-29T00:00:00+01:00"),
        # The day has 23 hours.
        ("2026-03-29", "2026-03-30T00:00:00+02:00"),
        ("2026-03-31T18:30", "2026-03-31T18:30:00+02:00"),
        ("2026-03-31T18:30Z", "2026-03-31T18:30:00+00:00"),
    ],
)
def test_a_day_as_a_moment_is_its_end(typed: str, sent: str) -> None:
    assert read_moment(typed, NOW) == sent


def test_a_moment_is_no_calendar_day_and_the_other_way_round() -> None:
    assert read_calendar_day("Yesterday", NOW) == "2026-02-28"
    with pytest.raises(Failure, match=r"is not a day; type it as 2026-03-01, or today"):
        read_calendar_day("2026-03-31T18:30", NOW)
    with pytest.raises(Failure, match=r"is not a moment; type it as 2026-03-01T00:30, or a day for its end"):
        read_moment("2026-03-31 noon", NOW)
