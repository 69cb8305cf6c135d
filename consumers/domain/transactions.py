"""Transactions: whether one may enter the ledger, and as which postings."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from uuid import uuid5
from zoneinfo import ZoneInfo

from consumers.domain.accounts import Account, id_in, refuse_category, refuse_money_account
from consumers.domain.books import Books
from consumers.domain.decisions import Asked, Decision
from consumers.domain.ledgers import open_personal_ledger
from consumers.domain.members import LEDGER_NOT_FOUND, refuse_writing
from contracts.accounts import AccountKind, AccountOpened
from contracts.messages import LedgerEntry, Submission
from contracts.money import AmountRefused, Money, UnknownCurrency, exponent_of, to_minor
from contracts.refusals import Refusal, RefusalCode
from contracts.transactions import Posting, TransactionKind, TransactionRecorded, TransactionSubmitted

#: A day outside these years is a slip of the keyboard; so is a clock.
YEAR_MIN, YEAR_MAX = 1900, 2200

#: What a category is that a new name opens.
_KIND_OF_NEW_CATEGORY = {
    TransactionKind.EXPENSE: AccountKind.EXPENSE,
    TransactionKind.INCOME: AccountKind.INCOME,
}


@dataclass(frozen=True, slots=True)
class Booked:
    """When a transaction counts: ``on`` is its calendar day, ``at`` (aware UTC) orders it within that day."""

    on: date
    at: datetime


def accounts_named(message: Submission) -> tuple[str, ...]:
    """Return the names and ids of accounts that a submission cites, as typed, for the books to be loaded with."""
    if isinstance(message, TransactionSubmitted):
        return tuple(named for named in (message.account, message.category) if named is not None)
    return ()


def decide_transaction(asked: Asked[TransactionSubmitted], books: Books) -> Decision:
    """Decide whether a submitted transaction may enter the ledger, and as what.

    What is absent is filled in here: an expense, from the ledger's default account, in that account's currency, on the
    day it was sent. A category nobody named before is opened. The first reason found to say no is the answer.

    Args:
        asked: the message as sent, who sent it, its operation id and the batch's ``recorded_at``.
        books: members, accounts and cited transactions of this ledger as they stand in this batch.
    """
    opening = open_personal_ledger(asked, books)
    if opening:
        books = books.after(opening)
    decided = _record(asked, books)
    if isinstance(decided, Refusal):
        return Decision(refusal=decided, journal=opening)
    return Decision(journal=(*opening, *decided))


def _record(asked: Asked[TransactionSubmitted], books: Books) -> tuple[LedgerEntry, ...] | Refusal:
    message, user_id = asked.message, asked.user_id
    if user_id is None or books.time_zone is None:
        return LEDGER_NOT_FOUND
    if refusal := refuse_writing(books.roles.get(user_id)):
        return refusal
    transaction_id = message.resource_id(asked.operation_id)
    if transaction_id in books.transaction_ids:
        return Refusal(
            RefusalCode.TRANSACTION_ID_TAKEN,
            "Another transaction of this ledger has this id; choose a new one, or leave it out.",
            "transaction_id",
        )

    account = books.find_account(message.account or books.default_account_id)
    if account is None:
        return Refusal(
            RefusalCode.ACCOUNT_NOT_FOUND, "This ledger has no such account; list its accounts and name one.", "account"
        )
    if refusal := refuse_money_account(account):
        return refusal
    money = _money(message, account)
    if isinstance(money, Refusal):
        return money
    booked = _booked(message.booked, asked.submitted_at, ZoneInfo(books.time_zone))
    if isinstance(booked, Refusal):
        return booked

    kind = message.kind or TransactionKind.EXPENSE
    if message.category is None:
        return Refusal(RefusalCode.CATEGORY_MISSING, "Say which category the money belongs to.", "category")
    category = books.find_account(message.category)
    new_category: tuple[LedgerEntry, ...] = ()
    if category is not None:
        if refusal := refuse_category(category):
            return refusal
        category_id = category.id
    elif id_in(message.category):
        return Refusal(
            RefusalCode.CATEGORY_NOT_FOUND,
            "This ledger has no category with this id; give its name instead.",
            "category",
        )
    else:
        category_id = uuid5(asked.operation_id, "category")
        new_category = (
            AccountOpened(
                **books.stamp(asked),
                account_id=category_id,
                kind=_KIND_OF_NEW_CATEGORY[kind],
                name=" ".join(message.category.split()),
            ),
        )

    source_id, destination_id = (
        (account.id, category_id) if kind is TransactionKind.EXPENSE else (category_id, account.id)
    )
    recorded = TransactionRecorded(
        **books.stamp(asked, ahead=1 + len(new_category)),
        transaction_id=transaction_id,
        revision=1,
        kind=kind,
        user_id=user_id,
        postings=(
            Posting(
                source_account_id=source_id,
                destination_account_id=destination_id,
                amount_minor=money.minor,
                currency=money.currency,
            ),
        ),
        booked_on=booked.on,
        booked_at=booked.at,
        submitted_at=asked.submitted_at,
        description=message.description or "",
    )
    return *new_category, recorded


def _money(message: TransactionSubmitted, account: Account) -> Money | Refusal:
    """Return the amount in the account's currency."""
    currency = account.currency or ""
    try:
        if message.currency not in (None, currency):
            exponent_of(message.currency)
            return Refusal(
                RefusalCode.CURRENCY_MISMATCH,
                f"That account is kept in {currency}: give the amount in it, or name an account in {message.currency}.",
                "currency",
            )
        return Money(to_minor(message.amount, currency), currency)
    except UnknownCurrency as error:
        return Refusal(RefusalCode.CURRENCY_UNKNOWN, f"{error} Use a code such as EUR.", "currency")
    except AmountRefused as error:
        return Refusal(RefusalCode(error.code), str(error), "amount")


def _booked(typed: datetime | date | None, submitted_at: datetime, zone: ZoneInfo) -> Booked | Refusal:
    """Return the day in the offset the person typed or, without one, in the ledger's zone.

    A bare day is ordered by the time of day at which it was sent, so that what was typed later comes later.
    """
    if not YEAR_MIN <= submitted_at.year <= YEAR_MAX:
        return Refusal(RefusalCode.DATE_OUT_OF_RANGE, "The sender's clock (ce_time) is wrong; set it and send again.")
    if typed is not None and not YEAR_MIN <= typed.year <= YEAR_MAX:
        return Refusal(
            RefusalCode.DATE_OUT_OF_RANGE, f"The date must be in {YEAR_MIN} to {YEAR_MAX}; correct it.", "booked"
        )
    if isinstance(typed, datetime):
        return Booked(typed.date(), typed.astimezone(UTC))
    if typed is None:
        return Booked(submitted_at.astimezone(zone).date(), submitted_at)
    sent_at = submitted_at.astimezone(zone).time()
    return Booked(typed, datetime.combine(typed, sent_at, zone).astimezone(UTC))
