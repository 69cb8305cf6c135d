"""Money: exact between decimal text and minor units, for every currency, or refused by name."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from iso4217 import Currency

from contracts.money import (
    AMOUNT_MINOR_MAX,
    AmountRefused,
    Money,
    UnknownCurrency,
    convert_minor,
    exponent_of,
    format_minor,
    to_minor,
    to_signed_minor,
)

CURRENCIES = sorted(currency.code for currency in Currency if currency.exponent is not None)
WITHOUT_MINOR_UNITS = sorted(currency.code for currency in Currency if currency.exponent is None)

currencies = st.sampled_from(CURRENCIES)
amounts_minor = st.integers(min_value=1, max_value=AMOUNT_MINOR_MAX)
#: As people type them: twelve digits and twelve decimals.
rates = st.integers(min_value=1, max_value=10**24 - 1).map(lambda digits: Decimal(digits).scaleb(-12))


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [
        ("24.47", "EUR", 2447),
        ("24", "EUR", 2400),
        ("24.4", "EUR", 2440),
        ("24.470000", "EUR", 2447),
        ("0.01", "EUR", 1),
        ("007", "EUR", 700),
        ("1200", "JPY", 1200),
        ("1200.00", "JPY", 1200),
        ("1.234", "BHD", 1234),
        ("0.0001", "CLF", 1),
        ("10000000000000.00", "EUR", AMOUNT_MINOR_MAX),
        ("1000000000000000", "JPY", AMOUNT_MINOR_MAX),
    ],
)
def test_typed_amount_becomes_minor_units(amount: str, currency: str, minor: int) -> None:
    assert to_minor(amount, currency) == minor


@pytest.mark.parametrize(
    ("amount", "currency", "code"),
    [
        ("0", "EUR", "amount_not_positive"),
        ("0.00", "EUR", "amount_not_positive"),
        ("-0", "EUR", "amount_not_positive"),
        ("-1", "EUR", "amount_not_positive"),
        ("-1e-9", "EUR", "amount_invalid"),
        ("0.001", "EUR", "amount_too_precise"),
        ("24.475", "EUR", "amount_too_precise"),
        ("0.5", "JPY", "amount_too_precise"),
        ("1.2345", "BHD", "amount_too_precise"),
        ("0." + "0" * 400 + "1", "EUR", "amount_too_precise"),
        ("1e-400", "EUR", "amount_invalid"),
        ("10000000000000.01", "EUR", "amount_too_large"),
        ("1000000000000001", "JPY", "amount_too_large"),
        ("9" * 400, "EUR", "amount_too_large"),
        ("1e400", "EUR", "amount_invalid"),
        ("1e1000000000000", "EUR", "amount_invalid"),
        ("12345678901234567890123456789.01", "EUR", "amount_too_large"),
        ("10000000000000." + "0" * 40 + "1", "EUR", "amount_too_precise"),
        ("24.47" + "0" * 40 + "1", "EUR", "amount_too_precise"),
        ("NaN", "EUR", "amount_invalid"),
        ("sNaN", "EUR", "amount_invalid"),
        ("-sNaN123", "EUR", "amount_invalid"),
        ("Infinity", "EUR", "amount_invalid"),
        ("-inf", "EUR", "amount_invalid"),
        ("", "EUR", "amount_invalid"),
        ("1,50", "EUR", "amount_invalid"),
        ("1 000", "EUR", "amount_invalid"),
        ("1_000", "EUR", "amount_invalid"),
        (" 1", "EUR", "amount_invalid"),
        ("1\n", "EUR", "amount_invalid"),
        ("0x10", "EUR", "amount_invalid"),
        ("1.", "EUR", "amount_invalid"),
        (".5", "EUR", "amount_invalid"),
        ("+1", "EUR", "amount_invalid"),
        ("١٢", "EUR", "amount_invalid"),
        ("１２", "EUR", "amount_invalid"),
        ("²", "EUR", "amount_invalid"),
        ("\x00", "EUR", "amount_invalid"),
        ("\ud800", "EUR", "amount_invalid"),
        ("twelve", "EUR", "amount_invalid"),
    ],
)
def test_amount_without_an_exact_value_is_refused_by_name(amount: str, currency: str, code: str) -> None:
    with pytest.raises(AmountRefused) as refused:
        to_minor(amount, currency)

    assert refused.value.code == code


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [
        ("0", "EUR", 0),
        ("-0", "EUR", 0),
        ("-0.000", "JPY", 0),
        ("0." + "0" * 400, "EUR", 0),
        ("812.30", "EUR", 81230),
        ("-812.30", "EUR", -81230),
        ("-0.01", "EUR", -1),
        ("-1200", "JPY", -1200),
        ("-1.234", "BHD", -1234),
        ("-10000000000000.00", "EUR", -AMOUNT_MINOR_MAX),
    ],
)
def test_typed_amount_with_a_sign_becomes_minor_units(amount: str, currency: str, minor: int) -> None:
    assert to_signed_minor(amount, currency) == minor


@pytest.mark.parametrize(
    ("amount", "currency", "code"),
    [
        ("-0.001", "EUR", "amount_too_precise"),
        ("-0.5", "JPY", "amount_too_precise"),
        ("-10000000000000.01", "EUR", "amount_too_large"),
        ("-" + "9" * 400, "EUR", "amount_too_large"),
        ("--1", "EUR", "amount_invalid"),
        ("-", "EUR", "amount_invalid"),
        ("- 1", "EUR", "amount_invalid"),
        ("−1", "EUR", "amount_invalid"),
        ("+1", "EUR", "amount_invalid"),
        ("-inf", "EUR", "amount_invalid"),
    ],
)
def test_amount_with_a_sign_but_no_exact_value_is_refused_by_name(amount: str, currency: str, code: str) -> None:
    with pytest.raises(AmountRefused) as refused:
        to_signed_minor(amount, currency)

    assert refused.value.code == code


@given(minor=st.integers(-AMOUNT_MINOR_MAX, AMOUNT_MINOR_MAX), currency=currencies)
def test_what_is_shown_is_read_back_with_its_sign(minor: int, currency: str) -> None:
    assert to_signed_minor(format_minor(minor, currency), currency) == minor


@given(amount=st.from_regex(r"-?[0-9]{1,20}(\.[0-9]{1,8})?", fullmatch=True), currency=currencies)
def test_a_sign_changes_nothing_but_the_sign(amount: str, currency: str) -> None:
    other = amount[1:] if amount.startswith("-") else f"-{amount}"
    read: list[int | str] = []
    for each in (amount, other):
        try:
            read.append(to_signed_minor(each, currency))
        except AmountRefused as refused:
            read.append(refused.code)
    one, another = read

    assert one == (-another if isinstance(another, int) else another)


@pytest.mark.parametrize(
    ("minor", "currency", "rate", "target", "converted"),
    [
        (10000, "USD", "0.8971", "EUR", 8971),
        (10000, "EUR", "160.4", "JPY", 16040),
        (16040, "JPY", "0.006234413965", "EUR", 10000),
        (1000, "BHD", "2.4", "EUR", 240),
        (240, "EUR", "0.416666666667", "BHD", 1000),
        (1, "BHD", "400", "JPY", 0),
        (100, "EUR", "1", "EUR", 100),
        (0, "EUR", "160.4", "JPY", 0),
        (5, "EUR", "0.1", "USD", 0),
        (15, "EUR", "0.1", "USD", 2),
        (25, "EUR", "0.1", "USD", 2),
        (35, "EUR", "0.1", "USD", 4),
        (25, "EUR", "0.100000000001", "USD", 3),
        (35, "EUR", "0.099999999999", "USD", 3),
        (-15, "EUR", "0.1", "USD", -2),
        (-25, "EUR", "0.1", "USD", -2),
        (-35, "EUR", "0.1", "USD", -4),
        (50, "EUR", "1", "JPY", 0),
        (150, "EUR", "1", "JPY", 2),
        (250, "EUR", "1", "JPY", 2),
        (-250, "EUR", "1", "JPY", -2),
        (1, "EUR", "0.5", "BHD", 5),
        (1, "EUR", "0.05", "BHD", 0),
        (3, "EUR", "0.05", "BHD", 2),
        (1, "JPY", "0.000000000001", "EUR", 0),
        (10**38 - 1, "EUR", "999999999999.999999999999", "BHD", 10**51 - 10**27 - 10**13),
    ],
)
def test_amount_in_another_currency_is_rounded_half_to_even(
    minor: int, currency: str, rate: str, target: str, converted: int
) -> None:
    assert convert_minor(minor, currency, Decimal(rate), target) == converted


@given(minor=st.integers(-(10**38), 10**38), rate=rates, currency=currencies, target=currencies)
def test_conversion_is_the_exact_value_rounded_once(minor: int, rate: Decimal, currency: str, target: str) -> None:
    exact = Fraction(minor) * Fraction(rate) * Fraction(10) ** (exponent_of(target) - exponent_of(currency))

    # Python rounds a Fraction half to even.
    assert convert_minor(minor, currency, rate, target) == round(exact)


@given(minor=st.integers(-(10**38), 10**38), rate=rates, currency=currencies, target=currencies)
def test_what_is_owed_converts_like_what_is_owned(minor: int, rate: Decimal, currency: str, target: str) -> None:
    assert convert_minor(-minor, currency, rate, target) == -convert_minor(minor, currency, rate, target)


@given(minor=st.integers(-(10**38), 10**38), currency=currencies)
def test_one_for_one_changes_nothing(minor: int, currency: str) -> None:
    assert convert_minor(minor, currency, Decimal(1), currency) == minor


@pytest.mark.parametrize(
    "currency", ["", "EU", "eur", "978", "EURO", "ABC", "€", "E\x00R", "\ud800", *WITHOUT_MINOR_UNITS]
)
def test_what_is_no_currency_with_minor_units_is_unknown(currency: str) -> None:
    for ask in (lambda: exponent_of(currency), lambda: to_minor("1", currency), lambda: format_minor(1, currency)):
        with pytest.raises(UnknownCurrency):
            ask()


@pytest.mark.parametrize(("currency", "exponent"), [("EUR", 2), ("JPY", 0), ("BHD", 3), ("CLF", 4), ("ISK", 0)])
def test_exponents_are_those_of_iso_4217(currency: str, exponent: int) -> None:
    assert exponent_of(currency) == exponent


@pytest.mark.parametrize(
    ("minor", "currency", "text"),
    [
        (2447, "EUR", "24.47"),
        (7, "EUR", "0.07"),
        (0, "EUR", "0.00"),
        (-1234, "EUR", "-12.34"),
        (-7, "EUR", "-0.07"),
        (1200, "JPY", "1200"),
        (-1200, "JPY", "-1200"),
        (1, "BHD", "0.001"),
        (10**38 - 1, "EUR", "999999999999999999999999999999999999.99"),
    ],
)
def test_minor_units_are_shown_with_all_decimals(minor: int, currency: str, text: str) -> None:
    assert format_minor(minor, currency) == text


@pytest.mark.parametrize("currency", CURRENCIES)
def test_what_is_shown_is_read_back_in_every_currency(currency: str) -> None:
    one = 10 ** exponent_of(currency)
    for minor in {1, 9, 10, one - 1, one, one + 1, AMOUNT_MINOR_MAX - 1, AMOUNT_MINOR_MAX} - {0}:
        assert to_minor(format_minor(minor, currency), currency) == minor


@given(minor=amounts_minor, currency=currencies)
def test_what_is_shown_is_read_back(minor: int, currency: str) -> None:
    assert to_minor(format_minor(minor, currency), currency) == minor


@given(minor=st.integers(), currency=currencies)
def test_what_is_shown_is_the_exact_value(minor: int, currency: str) -> None:
    sign, digits, exponent = Decimal(format_minor(minor, currency)).as_tuple()

    assert isinstance(exponent, int)
    assert int("".join(map(str, digits))) * (-1 if sign else 1) == minor
    assert -exponent == exponent_of(currency)


@given(digits=st.integers(min_value=1, max_value=10**16), places=st.integers(0, 8), currency=currencies)
def test_accepted_amount_is_never_rounded(digits: int, places: int, currency: str) -> None:
    amount = f"{Decimal(digits).scaleb(-places):f}"
    try:
        minor = to_minor(amount, currency)
    except AmountRefused as refused:
        assert refused.code in {"amount_too_precise", "amount_too_large"}
    else:
        assert minor * 10**places == digits * 10 ** exponent_of(currency)
        assert 1 <= minor <= AMOUNT_MINOR_MAX


@given(amount=st.text() | st.from_regex(r"[-+0-9.eE_ nNaAiIfF]{0,30}", fullmatch=True), currency=currencies)
def test_any_text_is_read_exactly_or_refused(amount: str, currency: str) -> None:
    try:
        minor = to_minor(amount, currency)
    except AmountRefused:
        return
    assert Decimal(minor).scaleb(-exponent_of(currency)) == Decimal(amount)


def test_money_is_shown_with_its_currency() -> None:
    assert str(Money(-5, "EUR")) == "-0.05 EUR"
