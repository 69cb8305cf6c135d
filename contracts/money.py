"""Money: int64 minor units of an ISO 4217 currency, read from and shown as decimal text, never a float."""

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import lru_cache

from iso4217 import Currency

#: Largest amount of one posting, in minor units (DESIGN: sums of many stay far inside numeric(38, 0)).
AMOUNT_MINOR_MAX = 10**15


class UnknownCurrency(ValueError):
    """The code is not a currency with minor units in ISO 4217."""


class AmountRefused(ValueError):
    """A typed amount has no exact value in its currency; ``code`` is the refusal code."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


@dataclass(frozen=True, slots=True)
class Money:
    """An amount of one currency: ``minor`` is in its minor units (cents), ``currency`` its ISO 4217 code."""

    minor: int
    currency: str

    def __str__(self) -> str:
        return f"{format_minor(self.minor, self.currency)} {self.currency}"


@lru_cache(maxsize=512)
def exponent_of(currency: str) -> int:
    """Return how many decimals a currency has (ISO 4217 list one: EUR 2, JPY 0, BHD 3).

    Raises:
        UnknownCurrency: not in the list, or a code without minor units (XXX, gold).
    """
    try:
        exponent = Currency(currency).exponent
    except ValueError:
        exponent = None
    if exponent is None:
        raise UnknownCurrency(f"{currency} is not a currency of ISO 4217 with minor units.")
    return int(exponent)


def to_minor(amount: str, currency: str) -> int:
    """Convert typed decimal text to minor units, exactly: nothing is ever rounded.

    Raises:
        UnknownCurrency: see :func:`exponent_of`.
        AmountRefused: not a number, not above zero, more decimals than the currency has, or too large.
    """
    exponent = exponent_of(currency)
    try:
        value = Decimal(amount)
    except InvalidOperation:
        raise AmountRefused("amount_invalid", "The amount is not a decimal number.") from None
    if not value.is_finite():
        raise AmountRefused("amount_invalid", "The amount is not a finite number.")
    if value <= 0:
        raise AmountRefused("amount_not_positive", "The amount must be above zero.")
    if value.adjusted() > 30:
        raise AmountRefused("amount_too_large", f"The amount is above {format_minor(AMOUNT_MINOR_MAX, currency)}.")
    minor = value.scaleb(exponent)
    if minor != minor.to_integral_value():
        raise AmountRefused("amount_too_precise", f"{currency} has {exponent} decimals; the amount has more.")
    if minor > AMOUNT_MINOR_MAX:
        raise AmountRefused("amount_too_large", f"The amount is above {format_minor(AMOUNT_MINOR_MAX, currency)}.")
    return int(minor)


def format_minor(minor: int, currency: str) -> str:
    """Return minor units as plain decimal text with all the currency's decimals: ``-1234`` EUR is ``-12.34``."""
    exponent = exponent_of(currency)
    if exponent == 0:
        return str(minor)
    digits = f"{abs(minor):0{exponent + 1}d}"
    return f"{'-' if minor < 0 else ''}{digits[:-exponent]}.{digits[-exponent:]}"
