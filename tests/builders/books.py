"""Books and what is asked of them, in memory, with only what a test is about left to say."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from consumers.deciders import LEDGER_DECIDERS
from consumers.domain.accounts import Account
from consumers.domain.books import Books
from consumers.domain.decisions import Asked, Decision
from contracts.accounts import AccountKind
from contracts.assertions import AssertionSubmitted
from contracts.ledgers import personal_ledger_id
from contracts.members import Role
from contracts.messages import Source, Submission
from tests.builders.submissions import a_submission

ANN = UUID(int=1)
BOB = UUID(int=2)
MONDAY_NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def asked_of(
    message: Submission | None = None, *, user_id: UUID = ANN, number: int = 1, **changes: Any
) -> Asked[Submission]:
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


def decide(asked: Asked[Submission], books: Books) -> Decision:
    """Decide one submission by the decider of its type."""
    return LEDGER_DECIDERS[type(asked.message)](asked, books)


def take(books: Books, *asked: Asked[Submission]) -> list[Decision]:
    """Decide each in turn and apply it, as delivery does; return the decisions."""
    decisions = []
    for each in asked:
        decision = decide(each, books)
        books.apply(each, decision)
        decisions.append(decision)
    return decisions


def some_books(user_id: UUID = ANN) -> Books:
    """Return the open personal books of a user: a euro account "Cash" and the category "Groceries"."""
    books = Books(personal_ledger_id(user_id))
    take(books, asked_of(user_id=user_id, number=0))
    return reloaded(books)


def reloaded(books: Books) -> Books:
    """Return books as the next batch would load them if it cited everything: all known, nothing pending."""
    again = books.after(())
    for transaction_id in again.transaction_ids:
        again.find_transaction(transaction_id)
    again._recorded.clear()
    for account_id in again._accounts:
        again.balances.setdefault((account_id, None), 0)
    for sequence in range(again.sequence - len(again.journal) + 1, again.sequence + 1):
        if change := again.find_change(sequence):
            again.changes[sequence] = change
    for entry in again.journal:
        for posting in getattr(entry, "postings", ()):
            for account_id, sign in ((posting.source_account_id, -1), (posting.destination_account_id, 1)):
                key = (account_id, None)
                again.balances[key] = again.balances.get(key, 0) + sign * posting.amount_minor
    again.journal.clear()
    again.turnover.clear()
    again.superseded_transactions.clear()
    again.superseded_accounts.clear()
    return again


def with_account(books: Books, name: str, kind: AccountKind, *, account_id: UUID | None = None, **changes: Any) -> UUID:
    """Add an account to books as if it had been loaded, and return its id."""
    account_id = account_id or uuid5(books.ledger_id, name)
    if kind in (AccountKind.ASSET, AccountKind.LIABILITY):
        changes = {"currency": "EUR"} | changes
    books.add_account(Account(id=account_id, kind=kind, name=name, **changes))
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


class OpenLedger:
    """Ann's personal ledger, with a euro account "Cash" and the category "Groceries"; each submission is a batch."""

    def __init__(self) -> None:
        self.books = some_books()
        self.journal: list[Any] = []
        self._count = 0

    def do(self, message_class: type[Submission], *, user_id: UUID = ANN, **fields: Any) -> Decision:
        """Submit something and return its decision."""
        self._count += 1
        message = message_class(**{"ledger_id": self.books.ledger_id, **fields})
        asked = asked_of(
            message,
            user_id=user_id,
            number=self._count,
            operation_id=uuid5(self.books.ledger_id, f"{user_id} {message_class.noun} {self._count}"),
            recorded_at=MONDAY_NOON + timedelta(seconds=self._count),
        )
        if isinstance(message, AssertionSubmitted) and (account := self.books.find_account(message.account)):
            self.books.balances[account.id, message.on] = self._balance_on(account.id, message.on)
        decision = decide(asked, self.books)
        self.books.apply(asked, decision)
        self.journal += self.books.journal
        self.books = reloaded(self.books)
        return decision

    def done(self, message_class: type[Submission], **fields: Any) -> Any:
        """Submit something that must be taken, and return its last entry (``None`` where it made none)."""
        decision = self.do(message_class, **fields)
        assert decision.refusal is None, decision.refusal
        return decision.journal[-1] if decision.journal else None

    def refused(self, message_class: type[Submission], **fields: Any) -> str:
        """Submit something that must be refused, and return the code."""
        before = self.books.sequence
        decision = self.do(message_class, **fields)
        assert decision.refusal is not None, decision.journal
        assert self.books.sequence == before
        assert decision.refusal.detail.endswith(".")
        return decision.refusal.code

    def _balance_on(self, account_id: UUID, on: date) -> int:
        later = (each for entry in self.journal if getattr(entry, "booked_on", on) > on for each in entry.postings)
        moved: int = sum(
            each.amount_minor * ((each.destination_account_id == account_id) - (each.source_account_id == account_id))
            for each in later
        )
        return self.books.balances[account_id, None] - moved

    def account_id(self, name: str) -> UUID:
        account = self.books.account_named(name)
        assert account is not None
        return account.id

    def balance(self, name: str) -> int:
        """Return what an account holds, its currencies added up."""
        return self.books.balances.get((self.account_id(name), None), 0)
