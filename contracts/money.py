"""Money: int64 minor units of an ISO 4217 currency, read from and shown as decimal text, never a float."""

import re
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from functools import lru_cache

from iso4217 import Currency

#: Largest amount of one posting, in minor units (DESIGN: sums of many stay far inside numeric(38, 0)).
AMOUNT_MINOR_MAX = 10**15

_TYPED = re.compile(r"(-?)([0-9]+)(?:\.([0-9]+))?")
_DIGITS_MAX = len(str(AMOUNT_MINOR_MAX))


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
    """Convert typed decimal text to minor units above zero, exactly: nothing is ever rounded.

    Raises:
        UnknownCurrency: see :func:`exponent_of`.
        AmountRefused: not such a number, not above zero, more decimals than the currency has, or too large.
    """
    minor = to_signed_minor(amount, currency)
    if minor <= 0:
        raise AmountRefused("amount_not_positive", "Give an amount above zero.")
    return minor


def to_signed_minor(amount: str, currency: str) -> int:
    """Convert typed decimal text, which may be zero or below, to minor units, exactly.

    Takes ASCII digits with at most one point between them. It counts digits instead of using ``Decimal``, which rounds
    to 28 of them and reads exponents, underscores and digits of other scripts.

    Raises:
        UnknownCurrency: see :func:`exponent_of`.
        AmountRefused: not such a number, more decimals than the currency has, or too large.
    """
    exponent = exponent_of(currency)
    typed = _TYPED.fullmatch(amount)
    if typed is None:
        raise AmountRefused("amount_invalid", "The amount is not a decimal number like 24.47.")
    sign, whole, decimals = typed.groups(default="")
    decimals = decimals.rstrip("0")
    digits = (whole + decimals.ljust(exponent, "0")).lstrip("0")
    if not digits:
        return 0
    if len(decimals) > exponent:
        raise AmountRefused("amount_too_precise", _decimals_of(currency, exponent))
    if len(digits) > _DIGITS_MAX or (minor := int(digits)) > AMOUNT_MINOR_MAX:
        raise AmountRefused(
            "amount_too_large", f"Give an amount of at most {format_minor(AMOUNT_MINOR_MAX, currency)}."
        )
    return -minor if sign else minor


def convert_minor(minor: int, currency: str, rate: Decimal, target: str) -> int:
    """Return an amount in another currency: times ``rate`` (units of ``target`` for one of ``currency``).

    Rounded to the target's minor units, halves to the even neighbour.
    """
    with localcontext(prec=80):  # 38 digits of a total and 24 of a rate, so that only the last step rounds
        exact = Decimal(minor).scaleb(exponent_of(target) - exponent_of(currency)) * rate
        return int(exact.to_integral_value(ROUND_HALF_EVEN))


def _decimals_of(currency: str, exponent: int) -> str:
    at_most = f"at most {exponent} decimals" if exponent else "no decimals"
    return f"{currency} has {at_most}; give the amount without the rest."


def format_minor(minor: int, currency: str) -> str:
    """Return minor units as plain decimal text with all the currency's decimals: ``-1234`` EUR is ``-12.34``."""
    exponent = exponent_of(currency)
    if exponent == 0:
        return str(minor)
    digits = f"{abs(minor):0{exponent + 1}d}"
    return f"{'-' if minor < 0 else ''}{digits[:-exponent]}.{digits[-exponent:]}"
