"""Amounts as people type them, refused with the spelling to type instead, and as the API answers them."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from cli.frame import Command
from cli.terminal.output import ExitCode, fail

_MINUS = "−"
_BELOW_ZERO = re.compile(r"-[0-9.,]")
#: Signs that mean one currency only: $ is the dollar of twenty countries, £ and ¥ of several.
_SYMBOLS = {"€": "EUR", "₹": "INR", "₺": "TRY", "₴": "UAH", "₪": "ILS", "₫": "VND", "₸": "KZT", "₾": "GEL"}
_WITH_CURRENCY = re.compile(
    r"(?P<before>[A-Za-z]{3}|[^\w\s.,'’+−-])?\s*(?P<number>[0-9](?:.*[0-9])?)\s*(?P<after>[A-Za-z]{3}|[^\w\s.,'’])?",
    re.ASCII,
)
#: Ways to write a number other than plain digits with a point, of which each can be read in one way only.
_WRITTEN = (
    re.compile(r"(?P<units>[0-9]{1,3}(?:,[0-9]{3})+)\.(?P<decimals>[0-9]+)"),
    re.compile(r"(?P<units>[0-9]{1,3}(?:\.[0-9]{3})+),(?P<decimals>[0-9]+)"),
    re.compile(r"(?P<units>[0-9]{1,3}(?:,[0-9]{3}){2,}|[0-9]{1,3}(?:\.[0-9]{3}){2,})(?P<decimals>)"),
    re.compile(r"(?P<units>[0-9]{1,3}(?:[ '’\u00a0\u202f][0-9]{3})+)(?:[.,](?P<decimals>[0-9]+))?"),
    re.compile(r"(?P<units>[0-9]+),(?P<decimals>[0-9]+)"),
)


@dataclass(frozen=True, slots=True)
class Money:
    """An amount of a currency, as the API answers it."""

    amount: Decimal
    currency: str

    @classmethod
    def read(cls, answered: Mapping[str, Any], *, turned: bool = False) -> "Money":
        """Read one from an object with ``amount`` and ``currency``; ``turned`` with the sign the other way round."""
        amount = Decimal(answered["amount"])
        return cls(-amount if turned and amount else amount, answered["currency"])

    def __str__(self) -> str:
        return f"{self.amount:f} {self.currency}"


class MinusIsNoOption(Command):
    """Explains a negative amount, which would otherwise be taken for an unknown option."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the command line."""
        for at in _arguments_below_zero(self, args):
            fail(_not_positive(args[at]), ExitCode.USAGE)
        return super().parse_args(ctx, args)


class MinusIsAmount(Command):
    """Lets an amount below zero be typed as an argument, as it stands on a credit card's statement."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the command line."""
        args = list(args)
        for at in _arguments_below_zero(self, args):
            # A true minus sign is no option's beginning; `checked_signed_amount` reads it.
            args[at] = _MINUS + args[at][1:]
        return super().parse_args(ctx, args)


@dataclass(frozen=True, slots=True)
class TypedAmount:
    """An amount as the API wants it, and the currency that was typed with it, if one was."""

    amount: str
    currency: str | None = None


def read_amount(typed: str) -> TypedAmount:
    """Return what somebody means who types ``24.47``, ``1,234.50 EUR``, ``1.234,50 €`` or ``1 234,50``.

    A point is a decimal point; where a comma is the only mark and three digits follow it, it could be either, and is
    refused. The amount is above zero.
    """
    read = _read(typed.strip(), typed)
    if not read.amount.strip("0."):
        fail(_not_positive(typed), ExitCode.USAGE)
    return read


def checked_amount(typed: str) -> str:
    """Return a typed amount as ``read_amount`` does, where the currency is known and is not typed with it."""
    return _without_currency(read_amount(typed), typed)


def one_currency(amount: TypedAmount, option: str | None) -> str | None:
    """Return the currency that was typed with an amount, or by --currency; refuses two different ones."""
    said = option.upper() if option else None
    if said and amount.currency and said != amount.currency:
        fail(f"{amount.currency} and --currency {said} are two currencies; say one of them", ExitCode.USAGE)
    return amount.currency or said


def is_currency(text: str) -> bool:
    """Return whether a text is a currency's code, in capitals (ISO 4217)."""
    if not re.fullmatch("[A-Z]{3}", text):
        return False
    from contracts.money import UnknownCurrency, exponent_of

    try:
        exponent_of(text)
    except UnknownCurrency:
        return False
    return True


def checked_signed_amount(typed: str) -> str:
    """Return a typed amount that may be zero or below: what an account holds, or owes."""
    text = typed.strip()
    sign = "-" if text.startswith(("-", _MINUS)) else ""
    return sign + _without_currency(_read(text.removeprefix("-").removeprefix(_MINUS).strip(), typed), typed)


def checked_rate(typed: str) -> str:
    """Return a typed exchange rate: plain digits with a point, above zero."""
    text = typed.strip()
    if not is_amount(text) or not Decimal(text):
        fail(f"'{typed}' is not a rate: type digits above zero, with a point, as in 1.0842", ExitCode.USAGE)
    return text


def is_amount(text: str) -> bool:
    """Return whether a text is digits with at most one point between them."""
    return re.fullmatch(r"[0-9]+(\.[0-9]+)?", text) is not None


def _arguments_below_zero(command: Command, args: Sequence[str]) -> Iterator[int]:
    """Yield where words stand that look like amounts below zero, and are no option's value."""
    takes_value = {
        name for parameter in command.params if not getattr(parameter, "is_flag", True) for name in parameter.opts
    }
    for at, word in enumerate(args):
        if word == "--":
            return
        if _BELOW_ZERO.match(word) and (at == 0 or args[at - 1] not in takes_value):
            yield at


def _without_currency(read: TypedAmount, typed: str) -> str:
    if read.currency:
        fail(f"'{typed}' names a currency, which is the account's here; type {read.amount}", ExitCode.USAGE)
    return read.amount


def _read(text: str, typed: str) -> TypedAmount:
    if re.search(rf"[-+{_MINUS}]\s*[0-9.,]", text):
        fail(_not_positive(typed), ExitCode.USAGE)
    named = _WITH_CURRENCY.fullmatch(text)
    if named is None:
        return TypedAmount(_plain(text, typed))
    return TypedAmount(_plain(named["number"], typed), _currency(named, typed))


def _plain(text: str, typed: str) -> str:
    """Return digits with at most a decimal point, of a number that is written in one of the ways of ``_WRITTEN``."""
    if is_amount(text):
        return text
    if re.fullmatch(r"[1-9][0-9]{0,2},[0-9]{3}", text):
        thousands, decimals = text.replace(",", ""), text.replace(",", ".")
        fail(f"'{typed}' can be read in two ways; type {thousands} or {decimals}", ExitCode.USAGE)
    written = next((found for way in _WRITTEN if (found := way.fullmatch(text))), None)
    if written is None:
        proposal = _proposed(text)
        hint = f"; if you mean {proposal}, type that" if proposal else ""
        fail(f"'{typed}' is not an amount: type it as 24.47 or 1,234.50 EUR{hint}", ExitCode.USAGE)
    units = re.sub(r"[^0-9]", "", written["units"])
    return f"{units}.{written['decimals']}" if written["decimals"] else units


def _currency(named: re.Match[str], typed: str) -> str | None:
    written = named["before"] or named["after"]
    if not written:
        return None
    code = _SYMBOLS.get(written, written.upper())
    if not is_currency(code):
        hint = "type its code, as in 24.47 USD" if len(written) < 3 else "type a code of ISO 4217, as in 24.47 EUR"
        fail(f"'{written}' in '{typed}' is not one currency; {hint}", ExitCode.USAGE)
    return code


def _not_positive(typed: str) -> str:
    return f"'{typed}' is not above zero: type the amount without a sign, and add --income for money that came in"


def _proposed(text: str) -> str | None:
    """Return what somebody probably meant who wrote ``24,47``, ``1.234,56``, ``1,234.56``, ``€ 12`` or ``.5``."""
    written = re.fullmatch(r"[^0-9.,]*([0-9.,' ]*[0-9])[^0-9]*", text)
    if not written:
        return None
    digits = re.sub(r"[' ]", "", written[1])
    decimals = re.search(r"[.,]([0-9]{1,2})$", digits)
    units = re.sub(r"[.,]", "", digits[: decimals.start()] if decimals else digits)
    return f"{units or '0'}.{decimals[1]}" if decimals else units
