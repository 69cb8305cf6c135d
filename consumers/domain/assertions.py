"""Balance assertions: a statement's balance held against the books, whether it agrees or not."""

from consumers.domain.accounts import refuse_money_account
from consumers.domain.books import Books, Stamps
from consumers.domain.decisions import Asked
from consumers.domain.transactions import refuse_day
from contracts.assertions import AssertionLifted, AssertionLiftSubmitted, AssertionSubmitted, BalanceAsserted
from contracts.messages import LedgerEntry
from contracts.money import AmountRefused, to_signed_minor
from contracts.refusals import Refusal, RefusalCode


def assert_balance(asked: Asked[AssertionSubmitted], books: Books, stamps: Stamps) -> tuple[LedgerEntry, ...] | Refusal:
    """Decide whether a balance may be asserted; one that differs is kept too, for people to find out why."""
    message = asked.message
    account = books.find_account(message.account)
    if refusal := refuse_money_account(account):
        return refusal
    assert account is not None
    assert account.currency is not None
    if refusal := refuse_day(message.on, "on"):
        return refusal
    try:
        stated_minor = to_signed_minor(message.balance, account.currency)
    except AmountRefused as error:
        return Refusal(RefusalCode(error.code), str(error), "balance")
    return (
        BalanceAsserted(
            **stamps.next(),
            assertion_id=message.resource_id(asked.operation_id),
            account_id=account.id,
            asserted_on=message.on,
            currency=account.currency,
            stated_minor=stated_minor,
            computed_minor=books.balance_minor(account.id, account.currency, message.on),
        ),
    )


def lift_assertion(
    asked: Asked[AssertionLiftSubmitted], books: Books, stamps: Stamps
) -> tuple[LedgerEntry, ...] | Refusal:
    """Decide whether an assertion is lifted: what it had reconciled may be changed again."""
    if asked.message.assertion_id not in books.assertions:
        return Refusal(
            RefusalCode.ASSERTION_NOT_FOUND,
            "No assertion with this id stands in this ledger; list its assertions.",
            "assertion_id",
        )
    return (AssertionLifted(**stamps.next(), assertion_id=asked.message.assertion_id),)
