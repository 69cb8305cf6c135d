"""Books and what is asked of them, in memory, with only what a test is about left to say."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid5

from consumers.domain.accounts import Account
from consumers.domain.books import Books
from consumers.domain.decisions import Asked, Decision
from consumers.domain.members import Role
from consumers.domain.transactions import decide_transaction
from contracts.accounts import AccountKind
from contracts.ledgers import personal_ledger_id
from contracts.messages import Source
from contracts.text import name_key
from contracts.transactions import TransactionSubmitted
from tests.builders.submissions import a_submission

ANN = UUID(int=1)
BOB = UUID(int=2)
MONDAY_NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def asked_of(
    message: TransactionSubmitted | None = None, *, user_id: UUID = ANN, number: int = 1, **changes: Any
) -> Asked[TransactionSubmitted]:
    """Return what a decider is asked; ``number`` tells two records of a test apart, in offset, operation and hash."""
    fields: dict[str, Any] = {
        "message": message or a_submission(user_id),
        "user_id": user_id,
        "operation_id": uuid5(user_id, f"operation {number}"),
        "idempotency_key": f"key-{number}",
        "request_hash": f"{number:064x}",
        "submitted_at": MONDAY_NOON,
        "recorded_at": MONDAY_NOON,
        "source": Source(topic="ledger.submissions", partition=0, offset=number),
        "home_currency": "EUR",
        "home_zone": "Europe/Berlin",
    }
    return Asked(**fields | changes)


def take(books: Books, *asked: Asked[TransactionSubmitted]) -> list[Decision]:
    """Decide each in turn and apply it, as delivery does; return the decisions."""
    decisions = []
    for each in asked:
        decision = decide_transaction(each, books)
        books.apply(each, decision)
        decisions.append(decision)
    return decisions


def some_books(user_id: UUID = ANN) -> Books:
    """Return the open personal books of a user: a euro account "Cash" and the category "Groceries"."""
    books = Books(personal_ledger_id(user_id))
    take(books, asked_of(user_id=user_id, number=0))
    books.journal.clear()
    books.turnover.clear()
    return books


def with_account(books: Books, name: str, kind: AccountKind, *, account_id: UUID | None = None, **changes: Any) -> UUID:
    """Add an account to books as if it had been loaded, and return its id."""
    account_id = account_id or uuid5(books.ledger_id, name)
    if kind in (AccountKind.ASSET, AccountKind.LIABILITY):
        changes = {"currency": "EUR"} | changes
    books.add_account(Account(id=account_id, kind=kind, name_key=name_key(name), **changes))
    return account_id


def with_member(books: Books, user_id: UUID, role: Role) -> Books:
    """Add a member to books."""
    books.roles[user_id] = role
    return books


def totals_by_account(books: Iterable[Books]) -> Counter[tuple[UUID, UUID, str]]:
    """Return what came in less what went out by ledger, account and currency, from the turnovers."""
    totals: Counter[tuple[UUID, UUID, str]] = Counter()
    for each in books:
        for (account_id, currency, _), turnover in each.turnover.items():
            totals[each.ledger_id, account_id, currency] += turnover.incoming_minor - turnover.outgoing_minor
    return totals


def cut(records: Sequence[Any], sizes: Iterable[int]) -> list[Sequence[Any]]:
    """Cut records into batches of these sizes; the rest is the last batch."""
    batches, at = [], 0
    for size in sizes:
        batches.append(records[at : at + size])
        at += size
    return [batch for batch in [*batches, records[at:]] if batch]
