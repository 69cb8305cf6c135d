"""How somebody opens an account or category, with what was in it before."""

from uuid import uuid5

from consumers.domain.accounts import NAME_TAKEN, cleaned, open_equity, opening_account_id
from consumers.domain.books import Books, Stamps
from consumers.domain.decisions import Asked
from consumers.domain.transactions import Booked, booked_of
from contracts.accounts import MONEY_KINDS, OPENING_ACCOUNT_NAME, AccountOpened, AccountSubmitted
from contracts.messages import LedgerEntry
from contracts.money import AmountRefused, UnknownCurrency, exponent_of, to_signed_minor
from contracts.refusals import Refusal, RefusalCode
from contracts.transactions import Posting, TransactionKind, TransactionRecorded


def open_account(asked: Asked[AccountSubmitted], books: Books, stamps: Stamps) -> tuple[LedgerEntry, ...] | Refusal:
    """Decide whether an account may be opened. An opening balance is a transaction of its own, from equity."""
    message = asked.message
    if books.account_named(message.name) is not None:
        return NAME_TAKEN
    currency = _currency(message, books)
    if isinstance(currency, Refusal):
        return currency
    opening_minor = _opening_minor(message, currency)
    if isinstance(opening_minor, Refusal):
        return opening_minor
    booked = booked_of(message.opened, asked.submitted_at, books, "opened")
    if isinstance(booked, Refusal):
        return booked
    opened = AccountOpened(
        **stamps.next(),
        account_id=message.resource_id(asked.operation_id),
        kind=message.kind,
        name=cleaned(message.name),
        currency=currency,
        group=cleaned(message.group) if message.group else None,
        position=message.position,
        asked=True,
    )
    if not opening_minor or currency is None:
        return (opened,)
    return opened, *_opening_balance(asked, books, stamps, opened, opening_minor, booked)


def _currency(message: AccountSubmitted, books: Books) -> str | Refusal | None:
    """Return the currency an account is kept in; categories and equity take any."""
    if message.kind not in MONEY_KINDS:
        if message.currency is not None or message.opening_balance is not None:
            return Refusal(
                RefusalCode.ACCOUNT_KIND_MISMATCH,
                "Only assets and liabilities have a currency and an opening balance; leave them out.",
                "currency" if message.currency is not None else "opening_balance",
            )
        return None
    currency = message.currency or books.base_currency or ""
    try:
        exponent_of(currency)
    except UnknownCurrency as error:
        return Refusal(RefusalCode.CURRENCY_UNKNOWN, f"{error} Use a code such as EUR.", "currency")
    return currency


def _opening_minor(message: AccountSubmitted, currency: str | None) -> int | Refusal:
    if message.opening_balance is None or currency is None:
        return 0
    try:
        return to_signed_minor(message.opening_balance, currency)
    except AmountRefused as error:
        return Refusal(RefusalCode(error.code), str(error), "opening_balance")


def _opening_balance(
    asked: Asked[AccountSubmitted],
    books: Books,
    stamps: Stamps,
    account: AccountOpened,
    opening_minor: int,
    booked: Booked,
) -> tuple[LedgerEntry, ...]:
    equity_id = opening_account_id(books.ledger_id)
    equity = open_equity(books, stamps, equity_id, OPENING_ACCOUNT_NAME, beside=account.name)
    source_id, destination_id = equity_id, account.account_id
    if opening_minor < 0:
        source_id, destination_id = destination_id, source_id
    posting = Posting(
        source_account_id=source_id,
        destination_account_id=destination_id,
        amount_minor=abs(opening_minor),
        currency=account.currency or "",
    )
    recorded = TransactionRecorded(
        **stamps.next(),
        transaction_id=uuid5(asked.operation_id, "opening balance"),
        revision=1,
        kind=TransactionKind.OPENING,
        postings=(posting,),
        booked_on=booked.on,
        booked_at=booked.at,
        submitted_at=asked.submitted_at,
        description=f"Opening balance of {account.name}",
    )
    return *equity, recorded
