"""Transactions: whether one may enter the ledger, be changed or deleted, and as which postings."""

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import TypeAlias
from uuid import UUID
from zoneinfo import ZoneInfo

from consumers.domain.accounts import cleaned
from consumers.domain.books import Books, Stamps
from consumers.domain.decisions import Asked
from consumers.domain.forms import MOVING, Form, Moved, money_in, move
from consumers.domain.states import Annotations, TransactionState
from contracts.accounts import MONEY_KINDS
from contracts.messages import LedgerEntry
from contracts.money import format_minor
from contracts.refusals import Refusal, RefusalCode
from contracts.text import PAYEE_LENGTH_MAX, TAG_LENGTH_MAX, TAGS_MAX, name_key
from contracts.transactions import (
    Posting,
    ReversalSubmitted,
    Split,
    TransactionAnnotated,
    TransactionChangeSubmitted,
    TransactionKind,
    TransactionRecorded,
    TransactionReversed,
    TransactionStatus,
    TransactionSubmitted,
)

#: A day outside these years is a slip of the keyboard; so is a clock.
YEAR_MIN, YEAR_MAX = 1900, 2200

Typed: TypeAlias = datetime | date


@dataclass(frozen=True, slots=True)
class Booked:
    """When a transaction counts: ``on`` is its calendar day, ``at`` (aware UTC) orders it within that day."""

    on: date
    at: datetime


def record_transaction(
    asked: Asked[TransactionSubmitted], books: Books, stamps: Stamps
) -> tuple[LedgerEntry, ...] | Refusal:
    """Decide whether a submitted transaction may enter the ledger, and as what.

    What is absent is filled in here: an expense, from the ledger's default account, in that account's currency, on the
    day it was sent. A category nobody named before is opened. The first reason found to say no is the answer.

    Args:
        asked: the message as sent, who sent it, its operation id and the batch's ``recorded_at``.
        books: members, accounts and cited transactions of this ledger as they stand in this batch.
        stamps: of the entries to come.
    """
    message = asked.message
    transaction_id = message.resource_id(asked.operation_id)
    if transaction_id in books.transaction_ids:
        return Refusal(
            RefusalCode.TRANSACTION_ID_TAKEN,
            "Another transaction of this ledger has this id; choose a new one, or leave it out.",
            "transaction_id",
        )
    form = Form(
        message.kind,
        message.amount,
        message.currency,
        message.account,
        message.category,
        message.splits,
        message.to_account,
        message.to_amount,
        message.rate,
    )
    moved = move(form, books, stamps, asked.operation_id)
    if isinstance(moved, Refusal):
        return moved
    booked = booked_of(message.booked, asked.submitted_at, books)
    if isinstance(booked, Refusal):
        return booked
    payee = _payee(message.payee)
    if isinstance(payee, Refusal):
        return payee
    tags = _tags(message.tags or ())
    if isinstance(tags, Refusal):
        return tags
    return (
        *moved.opened,
        TransactionRecorded(
            **stamps.next(),
            transaction_id=transaction_id,
            revision=1,
            kind=moved.kind,
            postings=moved.postings,
            booked_on=booked.on,
            booked_at=booked.at,
            submitted_at=asked.submitted_at,
            rate=moved.rate,
            description=message.description or "",
            payee=payee,
            tags=tags,
            note=message.note or None,
            status=message.status or TransactionStatus.PENDING,
            external_id=message.external_id,
        ),
    )


def change_transaction(
    asked: Asked[TransactionChangeSubmitted], books: Books, stamps: Stamps
) -> tuple[LedgerEntry, ...] | Refusal:
    """Decide whether a transaction may be changed, and how it stands then. One that stays as it is makes no entry.

    A change of money or day takes the postings back, on their own day, and makes those of the next revision; a change
    of anything else makes none.
    """
    message = asked.message
    state = _find_standing(message.transaction_id, books)
    if isinstance(state, Refusal):
        return state
    if message.version not in (None, state.version):
        return _stale(message.version, state, _differences(message, state, books))
    annotations = _annotations(message, state.annotations)
    if isinstance(annotations, Refusal):
        return annotations
    moved, booked = Moved(state.kind, state.postings, rate=state.rate), Booked(state.booked_on, state.booked_at)
    if message.model_fields_set & _MONEY_FIELDS:
        remade = _remake(asked, state, books, stamps)
        if isinstance(remade, Refusal):
            return remade
        moved = remade
    if message.booked is not None:
        rebooked = booked_of(message.booked, asked.submitted_at, books)
        if isinstance(rebooked, Refusal):
            return rebooked
        booked = rebooked if rebooked.on != state.booked_on or isinstance(message.booked, datetime) else booked
    wanted = replace(
        state,
        kind=moved.kind,
        postings=moved.postings,
        booked_on=booked.on,
        booked_at=booked.at,
        rate=moved.rate,
        annotations=annotations,
    )
    if wanted == state:
        return ()
    if refusal := refuse_between(state, wanted, books):
        return refusal
    return (*moved.opened, *entries_between(state, wanted, stamps))


def reverse_transaction(
    asked: Asked[ReversalSubmitted], books: Books, stamps: Stamps
) -> tuple[LedgerEntry, ...] | Refusal:
    """Decide whether a transaction may be deleted: its postings are taken back, and it stands no more."""
    message = asked.message
    state = _find_standing(message.transaction_id, books)
    if isinstance(state, Refusal):
        return state
    if message.version not in (None, state.version):
        return _stale(message.version, state, ["you asked to delete it"])
    wanted = replace(state, deleted=True)
    return refuse_between(state, wanted, books) or entries_between(state, wanted, stamps)


def refuse_between(state: TransactionState, wanted: TransactionState, books: Books) -> Refusal | None:
    """Say why a transaction cannot go from one state to another: a change, a deletion and an undo ask the same."""
    if not wanted.deleted and not state.deleted and state.same_money(wanted):
        return None
    if not state.deleted and books.is_reconciled(state):
        return Refusal(
            RefusalCode.TRANSACTION_RECONCILED,
            "A statement has confirmed this transaction: lift that assertion first, then change its money or day.",
        )
    touched = (set() if state.deleted else state.account_ids) | (set() if wanted.deleted else wanted.account_ids)
    for account in (books.account(account_id) for account_id in touched):
        if account is not None and account.kind in MONEY_KINDS and account.closed:
            return Refusal(
                RefusalCode.ACCOUNT_CLOSED, f"The account {account.name} is closed; reopen it first.", "account"
            )
    return None


def entries_between(
    state: TransactionState,
    wanted: TransactionState,
    stamps: Stamps,
    *,
    state_of: int | None = None,
    undoes: int | None = None,
) -> tuple[LedgerEntry, ...]:
    """Return the entries that bring a transaction from one state to another; ``state_of`` names a state restored."""
    if wanted.deleted:
        return (_reversed(state, stamps, deleted=True, state_of=state_of, undoes=undoes),)
    annotations = wanted.annotations
    if not state.deleted and state.same_money(wanted):
        return (
            TransactionAnnotated(
                **stamps.next(),
                transaction_id=state.id,
                description=annotations.description,
                payee=annotations.payee,
                tags=annotations.tags,
                note=annotations.note,
                status=annotations.status,
                external_id=annotations.external_id,
                state_of=state_of,
                undoes=undoes,
            ),
        )
    taken_back = () if state.deleted else (_reversed(state, stamps, deleted=False),)
    recorded = TransactionRecorded(
        **stamps.next(),
        transaction_id=state.id,
        revision=state.revision + 1,
        kind=wanted.kind,
        postings=wanted.postings,
        booked_on=wanted.booked_on,
        booked_at=wanted.booked_at,
        submitted_at=wanted.submitted_at,
        rate=wanted.rate,
        description=annotations.description,
        payee=annotations.payee,
        tags=annotations.tags,
        note=annotations.note,
        status=annotations.status,
        external_id=annotations.external_id,
        state_of=state_of,
        undoes=undoes,
    )
    return (*taken_back, recorded)


def _reversed(
    state: TransactionState, stamps: Stamps, *, deleted: bool, state_of: int | None = None, undoes: int | None = None
) -> TransactionReversed:
    return TransactionReversed(
        **stamps.next(),
        transaction_id=state.id,
        revision=state.revision,
        postings=tuple(
            Posting(
                source_account_id=each.destination_account_id,
                destination_account_id=each.source_account_id,
                amount_minor=each.amount_minor,
                currency=each.currency,
            )
            for each in state.postings
        ),
        booked_on=state.booked_on,
        deleted=deleted,
        state_of=state_of,
        undoes=undoes,
    )


def _find_standing(transaction_id: UUID, books: Books) -> TransactionState | Refusal:
    state = books.find_transaction(transaction_id)
    if state is None:
        return Refusal(
            RefusalCode.TRANSACTION_NOT_FOUND,
            "This ledger has no transaction with this id; list its transactions.",
            "transaction_id",
        )
    if state.deleted:
        return Refusal(
            RefusalCode.TRANSACTION_DELETED, f"It was deleted (change {state.version}); undo that first.", None
        )
    return state


def _stale(seen: int | None, state: TransactionState, differences: list[str]) -> Refusal:
    both = "; ".join(differences) or "what you asked for is so already"
    return Refusal(
        RefusalCode.VERSION_STALE,
        f"It was changed since you saw it (version {seen}; it is at {state.version} now): {both}. "
        "Look at it and decide again.",
        "version",
    )


def _differences(message: TransactionChangeSubmitted, state: TransactionState, books: Books) -> list[str]:
    """Say for each field that was asked for what stands and what was asked, where they differ."""
    first = state.postings[0]
    accounts = [books.account(id) for id in (first.source_account_id, first.destination_account_id)]
    names = [account.name if account else "" for account in accounts]
    if state.kind in (TransactionKind.INCOME, TransactionKind.REFUND):
        names.reverse()
    stands = {
        "amount": format_minor(state.amount_minor, first.currency),
        "account": names[0],
        "category": names[1],
        "booked": state.booked_on.isoformat(),
        "description": state.annotations.description,
        "payee": state.annotations.payee,
        "status": state.annotations.status,
        "tags": ", ".join(state.annotations.tags),
        "note": state.annotations.note,
        "external_id": state.annotations.external_id,
    }
    asked = {name: _said(getattr(message, name)) for name in message.model_fields_set if name in stands}
    return [
        f"{'date' if name == 'booked' else name} is {stands[name] or 'empty'}, you asked for {wanted or 'nothing'}"
        for name, wanted in sorted(asked.items())
        if (wanted or "") != (stands[name] or "")
    ]


def _said(value: object) -> str | None:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else None if value is None else str(value)


#: Fields of a change that are about money; ``booked`` is apart.
_MONEY_FIELDS = frozenset(
    {"kind", "amount", "currency", "account", "category", "splits", "to_account", "to_amount", "rate"}
)


def _remake(
    asked: Asked[TransactionChangeSubmitted], state: TransactionState, books: Books, stamps: Stamps
) -> Moved | Refusal:
    """Return the postings of a changed form: what stands, with what was said in its place."""
    message = asked.message
    if state.kind is TransactionKind.OPENING:
        return _remake_opening(message, state, books)
    kind = message.kind
    if kind is None:
        if message.to_account is not None:
            kind = TransactionKind.TRANSFER
        elif state.kind in MOVING and (message.category is not None or message.splits is not None):
            kind = TransactionKind.EXPENSE
        else:
            kind = state.kind
    form = _form_of(state)
    form = replace(
        form,
        kind=kind,
        account=form.account if message.account is None else message.account,
        # Without another amount it is the old one, in the old currency: an account in another one asks for it.
        currency=form.currency if message.amount is None and message.splits is None else message.currency,
    )
    if message.currency is not None:
        form = replace(form, currency=message.currency)
    if kind in MOVING:
        return move(_moving_form(form, message, state, books), books, stamps, asked.operation_id)
    splits, category = form.splits, form.category
    if message.splits is not None:
        splits, category = message.splits, message.category
    elif message.category is not None:
        splits, category = None, message.category
    amount = message.amount or (None if splits is not None else form.amount)
    form = replace(
        form,
        amount=amount,
        splits=splits,
        category=category,
        to_account=message.to_account,
        to_amount=message.to_amount,
        rate=message.rate,
    )
    return move(form, books, stamps, asked.operation_id)


def _form_of(state: TransactionState) -> Form:
    """Return the form that would make a transaction's postings."""
    first, last = state.postings[0], state.postings[-1]
    amount = format_minor(state.amount_minor, first.currency)
    if state.kind in MOVING:
        return Form(
            state.kind,
            amount,
            first.currency,
            first.source_account_id,
            None,
            None,
            str(last.destination_account_id),
            format_minor(last.amount_minor, last.currency) if state.kind is TransactionKind.EXCHANGE else None,
            None,
        )
    out = state.kind is TransactionKind.EXPENSE
    categories = [each.destination_account_id if out else each.source_account_id for each in state.postings]
    parts = tuple(
        Split(amount=format_minor(each.amount_minor, each.currency), category=str(category))
        for each, category in zip(state.postings, categories, strict=True)
    )
    return Form(
        state.kind,
        amount,
        first.currency,
        first.source_account_id if out else first.destination_account_id,
        str(categories[0]) if len(parts) == 1 else None,
        parts if len(parts) > 1 else None,
        None,
        None,
        None,
    )


def _moving_form(form: Form, message: TransactionChangeSubmitted, state: TransactionState, books: Books) -> Form:
    """Return the form of a transfer or exchange; an exchange whose amount changes keeps its rate."""
    to_account = form.to_account if message.to_account is None else message.to_account
    source, target = books.find_account(form.account), books.find_account(to_account)
    to_amount, rate = message.to_amount, message.rate
    if to_amount is None and rate is None and source and target and source.currency != target.currency:
        same_currency = state.kind is TransactionKind.EXCHANGE and state.postings[-1].currency == target.currency
        if same_currency and message.amount is None:
            to_amount = form.to_amount
        elif same_currency:
            rate = state.rate
    return replace(
        form,
        amount=message.amount or form.amount,
        category=message.category,
        splits=message.splits,
        to_account=to_account,
        to_amount=to_amount,
        rate=rate,
    )


def _remake_opening(message: TransactionChangeSubmitted, state: TransactionState, books: Books) -> Moved | Refusal:
    """Return the posting of an opening balance of another amount; nothing else about it is changed."""
    if said := sorted(message.model_fields_set & _MONEY_FIELDS - {"amount", "currency"}):
        return Refusal(
            RefusalCode.FIELDS_CONFLICT,
            "Of an opening balance only amount and date can be changed; delete it, or record something beside it.",
            said[0],
        )
    posting = state.postings[0]
    account = next(
        each
        for id in (posting.source_account_id, posting.destination_account_id)
        if (each := books.account(id)) and each.kind in MONEY_KINDS
    )
    if message.amount is None:
        return Refusal(RefusalCode.AMOUNT_MISSING, "Say how much it was.", "amount")
    money = money_in(message.amount, message.currency, account)
    if isinstance(money, Refusal):
        return money
    return Moved(state.kind, (posting.model_copy(update={"amount_minor": money.minor}),))


def _annotations(message: TransactionChangeSubmitted, now: Annotations) -> Annotations | Refusal:
    """Return the annotations after a change: what was sent, null taken away, in place of what stands."""
    sent = message.model_fields_set
    payee = _payee(message.payee) if "payee" in sent else now.payee
    if isinstance(payee, Refusal):
        return payee
    tags = _tags(message.tags or ()) if "tags" in sent else now.tags
    if isinstance(tags, Refusal):
        return tags
    return Annotations(
        description=(message.description or "") if "description" in sent else now.description,
        payee=payee,
        tags=tags,
        note=(message.note or None) if "note" in sent else now.note,
        status=message.status or now.status,
        external_id=message.external_id if "external_id" in sent else now.external_id,
    )


def _payee(typed: str | None) -> str | Refusal | None:
    """Return a payee as it is kept, ``None`` where nobody was named."""
    payee = cleaned(typed) if typed else ""
    if len(payee) > PAYEE_LENGTH_MAX:
        return Refusal(
            RefusalCode.PAYEE_TOO_LONG,
            f"A payee has at most {PAYEE_LENGTH_MAX} characters; put the rest in a note.",
            "payee",
        )
    return payee or None


def _tags(typed: tuple[str, ...]) -> tuple[str, ...] | Refusal:
    """Return tags as they are kept: in their order, each once however it is spelled."""
    kept: dict[str, str] = {}
    for each in typed:
        tag = cleaned(each)
        if not 1 <= len(tag) <= TAG_LENGTH_MAX:
            return Refusal(
                RefusalCode.TAG_INVALID, f"A tag has 1 to {TAG_LENGTH_MAX} characters; correct {tag[:20]!r}.", "tags"
            )
        kept.setdefault(name_key(tag), tag)
    if len(kept) > TAGS_MAX:
        return Refusal(RefusalCode.TAGS_TOO_MANY, f"A transaction has at most {TAGS_MAX} tags; leave some out.", "tags")
    return tuple(kept.values())


def booked_of(typed: Typed | None, submitted_at: datetime, books: Books, field: str = "booked") -> Booked | Refusal:
    """Return the day in the offset the person typed or, without one, in the ledger's zone.

    A bare day is ordered by the time of day at which it was sent, so that what was typed later comes later.
    """
    if not YEAR_MIN <= submitted_at.year <= YEAR_MAX:
        return Refusal(RefusalCode.DATE_OUT_OF_RANGE, "The sender's clock (ce_time) is wrong; set it and send again.")
    if typed is not None and (refusal := refuse_day(typed, field)):
        return refusal
    if isinstance(typed, datetime):
        return Booked(typed.date(), typed.astimezone(UTC))
    zone = ZoneInfo(books.time_zone or "UTC")
    if typed is None:
        return Booked(submitted_at.astimezone(zone).date(), submitted_at)
    sent_at = submitted_at.astimezone(zone).time()
    return Booked(typed, datetime.combine(typed, sent_at, zone).astimezone(UTC))


def refuse_day(day: Typed, field: str) -> Refusal | None:
    """Say why nothing can be on that day, ``None`` where it can."""
    if YEAR_MIN <= day.year <= YEAR_MAX:
        return None
    return Refusal(RefusalCode.DATE_OUT_OF_RANGE, f"The date must be in {YEAR_MIN} to {YEAR_MAX}; correct it.", field)
