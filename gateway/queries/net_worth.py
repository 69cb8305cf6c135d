"""Read what somebody owns less what they owe: per currency, and in one currency by the rates they entered."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date
from fractions import Fraction
from uuid import UUID

import msgspec

from contracts.accounts import AccountKind
from contracts.money import convert_minor, exponent_of, format_minor
from gateway.queries.accounts import Balance
from gateway.queries.balances import Line, list_balances
from gateway.queries.rates import UsableRate, find_usable_rates
from infra.postgres.engine import Database


class Conversion(msgspec.Struct, frozen=True, kw_only=True):
    """An amount and what it comes to, with the rate as it was entered and its day.

    With ``inverted`` it is a rate from the other side: the amount is of its ``quote`` and was divided by it.
    """

    amount: str
    converted: str
    currency: str
    quote: str
    date: date
    rate: str
    inverted: bool


class NetWorth(msgspec.Struct, kw_only=True):
    """Assets and liabilities at the end of a day.

    ``totals`` are per currency, without those that come to nothing. ``total`` is the sum of what could be converted
    into ``currency``, ``null`` where nothing could; what has no rate is in ``unconverted`` and not in it.
    """

    on: date
    currency: str
    totals: list[Balance]
    total: Balance | None
    rates: list[Conversion]
    unconverted: list[Balance]


async def find_net_worth(ledger: Database, ledger_id: UUID, user_id: UUID, *, on: date, currency: str) -> NetWorth:
    """Find the net worth at the end of a day, for a member; for anybody else nothing is owned or owed."""
    kinds = [AccountKind.ASSET, AccountKind.LIABILITY]
    totals = total_by_currency(await list_balances(ledger, ledger_id, user_id, kinds=kinds, on=on))
    foreign = [code for code in totals if code != currency]
    rates = await find_usable_rates(ledger, ledger_id, user_id, foreign, currency, on) if foreign else {}
    return net_worth_of(totals, rates, on=on, currency=currency)


def total_by_currency(lines: Iterable[Line]) -> dict[str, int]:
    """Return the sum of balances by currency, without those that come to nothing."""
    totals: Counter[str] = Counter()
    for line in lines:
        totals[line.currency] += line.minor
    return {currency: total for currency, total in sorted(totals.items()) if total}


def net_worth_of(totals: Mapping[str, int], rates: Mapping[str, UsableRate], *, on: date, currency: str) -> NetWorth:
    """Convert totals in minor units by the rate of each currency; nothing is guessed for one without a rate."""
    conversions: list[Conversion] = []
    unconverted: list[Balance] = []
    sum_minor = totals.get(currency, 0)
    for code, minor in totals.items():
        if code == currency:
            continue
        shown = Balance(format_minor(minor, code), code)
        if (rate := rates.get(code)) is None:
            unconverted.append(shown)
            continue
        converted_minor = converted(minor, code, rate, currency)
        sum_minor += converted_minor
        conversions.append(
            Conversion(
                amount=shown.amount,
                converted=format_minor(converted_minor, currency),
                currency=rate.currency,
                quote=rate.quote,
                date=rate.valid_on,
                rate=rate.text,
                inverted=rate.inverted,
            )
        )
    nothing_converted = unconverted and not conversions and currency not in totals
    return NetWorth(
        on=on,
        currency=currency,
        totals=[Balance(format_minor(minor, code), code) for code, minor in totals.items()],
        total=None if nothing_converted else Balance(format_minor(sum_minor, currency), currency),
        rates=conversions,
        unconverted=unconverted,
    )


def converted(minor: int, currency: str, rate: UsableRate, target: str) -> int:
    """Return an amount in another currency, rounded to its minor units, halves to the even neighbour.

    An inverted rate divides as a fraction: one over 3 has no end, and cut anywhere it would miss the halves.
    """
    if not rate.inverted:
        return convert_minor(minor, currency, rate.rate, target)
    shift = Fraction(10) ** (exponent_of(target) - exponent_of(currency))
    return round(minor * shift / Fraction(rate.rate))
