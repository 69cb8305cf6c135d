"""Amounts as people type them, refused with the spelling to type instead, and as the API answers them."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from typer.core import TyperCommand

from cli.output import ExitCode, fail

_MINUS = "−"
_BELOW_ZERO = re.compile(r"-[0-9.,]")


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


class MinusIsNoOption(TyperCommand):
    """Explains a negative amount, which would otherwise be taken for an unknown option."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the command line."""
        for at in _arguments_below_zero(self, args):
            fail(_not_positive(args[at]), ExitCode.USAGE)
        return super().parse_args(ctx, args)


class MinusIsAmount(TyperCommand):
    """Lets an amount below zero be typed as an argument, as it stands on a credit card's statement."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the command line."""
        args = list(args)
        for at in _arguments_below_zero(self, args):
            # A true minus sign is no option's beginning; `checked_signed_amount` reads it.
            args[at] = _MINUS + args[at][1:]
        return super().parse_args(ctx, args)


def checked_amount(typed: str) -> str:
    """Return a typed amount; refuses what is not plain digits with a point above zero, saying how to write it."""
    text = typed.strip()
    if text.startswith(("-", _MINUS, "+")) or re.fullmatch(r"0+(\.0+)?", text):
        fail(_not_positive(typed), ExitCode.USAGE)
    return _plain(text, typed)


def checked_signed_amount(typed: str) -> str:
    """Return a typed amount that may be zero or below: what an account holds, or owes."""
    text = typed.strip()
    sign = "-" if text.startswith(("-", _MINUS)) else ""
    return sign + _plain(text.removeprefix("-").removeprefix(_MINUS).strip(), typed)


def checked_rate(typed: str) -> str:
    """Return a typed exchange rate: plain digits with a point, above zero."""
    text = typed.strip()
    if not is_amount(text) or not Decimal(text):
        fail(f"'{typed}' is not a rate: type digits above zero, with a point, as in 1.0842", ExitCode.USAGE)
    return text


def is_amount(text: str) -> bool:
    """Return whether a text is digits with at most one point between them."""
    return re.fullmatch(r"[0-9]+(\.[0-9]+)?", text) is not None


def _arguments_below_zero(command: TyperCommand, args: Sequence[str]) -> Iterator[int]:
    """Yield where words stand that look like amounts below zero, and are no option's value."""
    takes_value = {
        name for parameter in command.params if not getattr(parameter, "is_flag", True) for name in parameter.opts
    }
    for at, word in enumerate(args):
        if word == "--":
            return
        if _BELOW_ZERO.match(word) and (at == 0 or args[at - 1] not in takes_value):
            yield at


def _plain(text: str, typed: str) -> str:
    if not is_amount(text):
        proposal = _proposed(text)
        hint = f"; if you mean {proposal}, type that" if proposal else ""
        fail(
            f"'{typed}' is not an amount: type digits, with a point before decimals, as in 24.47{hint}", ExitCode.USAGE
        )
    return text


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
