"""Exchange rates: entered by people, for a day on."""

from decimal import Decimal

from consumers.domain.books import Books, Stamps
from consumers.domain.decisions import Asked
from consumers.domain.transactions import refuse_day
from contracts.messages import LedgerEntry
from contracts.money import UnknownCurrency, exponent_of
from contracts.rates import Rate, RatesRecorded, RatesSubmitted
from contracts.refusals import Refusal, RefusalCode


def record_rates(asked: Asked[RatesSubmitted], books: Books, stamps: Stamps) -> tuple[LedgerEntry, ...] | Refusal:
    """Decide whether exchange rates are taken: all of them, or none."""
    for each in asked.message.rates:
        if refusal := _refuse(each):
            return refusal
    return (RatesRecorded(**stamps.next(), rates=asked.message.rates),)


def _refuse(rate: Rate) -> Refusal | None:
    for code in (rate.currency, rate.quote):
        try:
            exponent_of(code)
        except UnknownCurrency as error:
            return Refusal(RefusalCode.CURRENCY_UNKNOWN, f"{error} Use a code such as EUR.", "rates")
    if refusal := refuse_day(rate.valid_on, "rates"):
        return refusal
    if rate.currency == rate.quote or (rate.rate is not None and Decimal(rate.rate) == 0):
        return Refusal(
            RefusalCode.RATE_INVALID,
            f"A rate above zero between two different currencies is needed; correct that of {rate.currency} to "
            f"{rate.quote} on {rate.valid_on}.",
            "rates",
        )
    return None
