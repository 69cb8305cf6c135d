"""Histories of a household's ledger: what two members and a stranger ask of it, sensible and not, from a seed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

from consumers.domain.books import Books, NotLoaded
from consumers.domain.decisions import Asked, Decision
from contracts.accounts import AccountChanged, AccountChangeSubmitted, AccountKind, AccountOpened, AccountSubmitted
from contracts.assertions import AssertionLiftSubmitted, AssertionSubmitted, BalanceAsserted
from contracts.changes import UndoSubmitted
from contracts.envelope import operation_id, request_hash, to_value
from contracts.ledgers import LedgerChangeSubmitted, personal_ledger_id
from contracts.members import (
    InvitationAnswerSubmitted,
    InvitationEnding,
    InvitationSubmitted,
    MemberChangeSubmitted,
    MemberInvited,
    Role,
)
from contracts.messages import JournalEntry, LedgerEntry, Source, Submission
from contracts.rates import Rate, RatesSubmitted
from contracts.transactions import (
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
from tests.builders.books import decide, reloaded

START = datetime(2026, 1, 1, 12, tzinfo=UTC)

CATEGORIES = ("Groceries", "groceries ", "Rent", "Salary", "ＲＥＮＴ", "Straße", "Eating out", "Cash", None)
ACCOUNTS = ("Cash", "Savings", "Card", "Dollars", "Yen", "Nowhere")
CURRENCIES = ("EUR", "USD", "JPY", "BHD")


_BEGINNING: tuple[dict[str, Any] | None, ...] = (
    {"name": "Savings", "kind": AccountKind.ASSET, "opening_balance": "100"},
    {"name": "Card", "kind": AccountKind.LIABILITY, "opening_balance": "-20.50"},
    {"name": "Dollars", "kind": AccountKind.ASSET, "currency": "USD"},
    {"name": "Yen", "kind": AccountKind.ASSET, "currency": "JPY", "opening_balance": "5000"},
    {"role": Role.EDITOR},
    None,
)


@dataclass(frozen=True)
class Act:
    """Something that somebody asked of a ledger, under a key that names it for ever."""

    message: Submission
    user_id: UUID
    key: str
    number: int

    @property
    def operation_id(self) -> UUID:
        return operation_id(self.message, self.user_id, self.key)

    def asked(self, *, number: int | None = None) -> Asked[Submission]:
        """Return it as a decider is asked it; the clock is the act's number."""
        moment = START + timedelta(seconds=self.number if number is None else number)
        return Asked(
            message=self.message,
            user_id=self.user_id,
            operation_id=self.operation_id,
            idempotency_key=self.key,
            request_hash=request_hash(to_value(self.message), self.message.unhashed),
            submitted_at=START + timedelta(seconds=self.number),
            recorded_at=moment,
            source=Source(topic="ledger.submissions", partition=0, offset=self.number),
            home_currency="EUR",
            home_zone="Europe/Berlin",
        )


class Household:
    """Makes the history of one ledger, one act after the other, each with a look at the books as they are then."""

    def __init__(self, chance: Random, owner_id: UUID, other_id: UUID, stranger_id: UUID) -> None:
        self.chance = chance
        self.ledger_id = personal_ledger_id(owner_id)
        self._people = (owner_id, other_id, stranger_id)
        self.books = Books(self.ledger_id)
        self.journal: list[JournalEntry] = []
        self.decisions: list[Decision] = []
        self.acts: list[Act] = []

    def live(self, length: int) -> list[Act]:
        """Let that many things happen and return them, each decided alone."""
        owner, other, stranger = self._people
        for number in range(1, length + 1):
            if number <= len(_BEGINNING):
                message, who = self._begin(number), other if number == len(_BEGINNING) else owner
            else:
                message = self._something()
                who = self.chance.choices((owner, other, stranger), (12, 6, 1))[0]
                if isinstance(message, InvitationAnswerSubmitted):
                    who = self.chance.choice((owner, other, other))
            act = Act(message, who, f"key-{number}", number)
            self.acts.append(act)
            before = len(self.journal)
            self.books = loaded(self.books, self.journal, [act])
            decision = decide(act.asked(), self.books)
            self.books.apply(act.asked(), decision)
            self.decisions.append(decision)
            self.journal += self.books.journal
            assert len(self.journal) - before == len(self.books.journal)
        return self.acts

    def _begin(self, number: int) -> Submission:
        """Make what most households begin with: accounts, and a second member."""
        fields = _BEGINNING[number - 1]
        if fields is None:
            known = [each.invitation_id for each in self.journal if isinstance(each, MemberInvited)]
            return InvitationAnswerSubmitted(
                ledger_id=self.ledger_id, invitation_id=known[0], answer=InvitationEnding.ACCEPTED
            )
        if "role" in fields:
            return InvitationSubmitted(ledger_id=self.ledger_id, **invited(self._people[1]), **fields)
        return AccountSubmitted(ledger_id=self.ledger_id, **fields)

    def _something(self) -> Submission:
        makers = (
            (self._expense, 28), (self._transfer, 10), (self._split, 7), (self._edit, 15), (self._annotate, 6),
            (self._reversal, 6), (self._undo, 16), (self._open, 7), (self._change_account, 7), (self._rates, 2),
            (self._assert, 3), (self._lift, 2), (self._member, 6), (self._ledger, 1),
        )  # fmt: skip
        return self.chance.choices([maker for maker, _ in makers], [weight for _, weight in makers])[0]()

    def _amount(self, chance: float = 0.05) -> str:
        if self.chance.random() < chance:
            return self.chance.choice(["0", "-1", "0.001", "99999999999999999999", "24.470"])
        minor = self.chance.randrange(1, 10**5)
        return self.chance.choice([f"{minor // 100}.{minor % 100:02d}", str(minor)])

    def _day(self) -> date:
        if self.chance.random() < 0.02:
            return self.chance.choice([date(1899, 12, 31), date(2201, 1, 1)])
        return date(2026, 1, 1) + timedelta(days=self.chance.randrange(90))

    def _some(self, **fields: Any) -> dict[str, Any]:
        return {name: value for name, value in fields.items() if self.chance.random() < 0.4}

    def _seldom(self, *values: Any) -> list[Any]:
        return list(values) if self.chance.random() < 0.1 else []

    def _annotations(self) -> dict[str, Any]:
        choice = self.chance.choice
        return self._some(
            description=choice(["Milk", "Weekly shop", ""]),
            payee=choice(["Market hall", "  market   HALL", None, *self._seldom("p" * 101)]),
            tags=choice(
                [
                    ("holiday",),
                    ("Holiday", "holiday", "sea"),
                    ("sea",),
                    (),
                    *self._seldom(("",), tuple("abcdefghijklmnopqrstu")),
                ]
            ),
            note=choice(["first\nsecond", None]),
            status=choice(list(TransactionStatus)),
            external_id=choice(["bank-1", None]),
        )

    def _expense(self) -> Submission:
        chance = self.chance
        return TransactionSubmitted(
            ledger_id=self.ledger_id,
            amount=self._amount(),
            category=chance.choice(CATEGORIES),
            **self._some(
                kind=chance.choice([None, TransactionKind.INCOME, TransactionKind.EXPENSE, TransactionKind.REFUND]),
                account=chance.choice(ACCOUNTS),
                booked=self._day(),
            ),
            **self._annotations(),
        )

    def _transfer(self) -> Submission:
        chance = self.chance
        return TransactionSubmitted(
            ledger_id=self.ledger_id,
            amount=self._amount(),
            account=chance.choice(ACCOUNTS),
            to_account=chance.choice(ACCOUNTS),
            **chance.choice(_ways({}, {"rate": "1.25"}, {"to_amount": self._amount()}, {"rate": "0.0000001"})),
            **self._some(booked=self._day()),
            **self._annotations(),
        )

    def _splits(self) -> tuple[Split, ...]:
        count = self.chance.choice([0, 1, 2, 3, 3, 5])
        return tuple(
            Split(amount=self._amount(0.02), category=self.chance.choice(CATEGORIES[:7])) for _ in range(count)
        )

    def _split(self) -> Submission:
        return TransactionSubmitted(
            ledger_id=self.ledger_id,
            splits=self._splits(),
            **self._some(kind=TransactionKind.INCOME, booked=self._day()),
            **self._annotations(),
        )

    def _transaction_id(self) -> UUID:
        known = [each.transaction_id for each in self.journal if isinstance(each, TransactionRecorded)]
        return self.chance.choice([*known[-8:], UUID(int=7)])

    def _version(self, transaction_id: UUID) -> dict[str, Any]:
        state = self.books.transactions.get(transaction_id)
        return self._some(version=self.chance.choice([state.version if state else 1, state.version if state else 1, 3]))

    def _edit(self) -> Submission:
        chance = self.chance
        transaction_id = self._transaction_id()
        return TransactionChangeSubmitted(
            ledger_id=self.ledger_id,
            transaction_id=transaction_id,
            **self._version(transaction_id),
            **chance.choice(
                _ways(
                    {"amount": self._amount()},
                    {"amount": self._amount(), "category": chance.choice(CATEGORIES[:7])},
                    {"booked": self._day()},
                    {"account": chance.choice(ACCOUNTS), "amount": self._amount()},
                    {"splits": self._splits()},
                    {"to_account": chance.choice(ACCOUNTS), "amount": self._amount()},
                    {"kind": chance.choice(list(TransactionKind))},
                    {"category": chance.choice(CATEGORIES[:7])},
                )
            ),
            **self._annotations(),
        )

    def _annotate(self) -> Submission:
        transaction_id = self._transaction_id()
        return TransactionChangeSubmitted(
            ledger_id=self.ledger_id,
            transaction_id=transaction_id,
            **self._version(transaction_id),
            **self._annotations(),
        )

    def _reversal(self) -> Submission:
        transaction_id = self._transaction_id()
        return ReversalSubmitted(
            ledger_id=self.ledger_id, transaction_id=transaction_id, **self._version(transaction_id)
        )

    def _undo(self) -> Submission:
        changed = TransactionRecorded | TransactionAnnotated | TransactionReversed | AccountChanged | AccountOpened
        known = [each.sequence for each in self.journal if isinstance(each, changed)]
        undos = [each.sequence for each in self.journal if isinstance(each, changed) and getattr(each, "undoes", None)]
        others = [each.sequence for each in self.journal if isinstance(each, MemberInvited)]
        return UndoSubmitted(
            ledger_id=self.ledger_id,
            change=self.chance.choice([*known[-6:], *undos[-4:], *others[-1:], len(self.journal) + 5]),
        )

    def _open(self) -> Submission:
        chance = self.chance
        name = chance.choice(["Purse", *CATEGORIES[:7], "Exchange", "Opening balances"])
        kind = chance.choice([*AccountKind, AccountKind.ASSET, AccountKind.EXPENSE])
        currency = chance.choice([None, None, "USD", "XYZ"])
        return AccountSubmitted(
            ledger_id=self.ledger_id,
            name=name,
            kind=kind,
            **(_ways({"currency": currency})[0] if currency else {}),
            **self._some(
                opening_balance=chance.choice(["100", "-20", "0", "5.5"]),
                opened=self._day(),
                group=chance.choice(["Daily", None]),
                position=chance.randrange(9),
            ),
        )

    def _change_account(self) -> Submission:
        chance = self.chance
        known = [each.account_id for each in self.journal if isinstance(each, AccountOpened)]
        return AccountChangeSubmitted(
            ledger_id=self.ledger_id,
            account_id=chance.choice([*known, UUID(int=8)]),
            **chance.choice(
                _ways(
                    {"name": chance.choice(["Food", "Home", "Rent", "Purse"])},
                    {"closed": True},
                    {"closed": False},
                    {"merge_into": chance.choice(CATEGORIES[:7])},
                    {"group": chance.choice(["Daily", None]), "position": chance.randrange(9)},
                    {"name": "Food", "version": 2},
                )
            ),
        )

    def _rates(self) -> Submission:
        chance = self.chance
        rates = tuple(
            Rate(
                currency=chance.choice(CURRENCIES),
                quote=chance.choice(["EUR", "EUR", "XXX"]),
                valid_on=self._day(),
                rate=chance.choice(["1.1", "0.007", None, "0"]),
            )
            for _ in range(chance.randrange(1, 4))
        )
        return RatesSubmitted(ledger_id=self.ledger_id, rates=rates)

    def _assert(self) -> Submission:
        """Assert a balance, now and then the right one."""
        name, on = self.chance.choice(ACCOUNTS), self._day()
        account = self.books.find_account(name)
        balance = self._amount()
        if account and account.currency == "EUR" and self.chance.random() < 0.7:
            minor = balance_of(self.journal, account.id, on)
            balance = f"{'-' if minor < 0 else ''}{abs(minor) // 100}.{abs(minor) % 100:02d}"
        return AssertionSubmitted(ledger_id=self.ledger_id, account=name, balance=balance, on=on)

    def _lift(self) -> Submission:
        known = [each.assertion_id for each in self.journal if isinstance(each, BalanceAsserted)]
        return AssertionLiftSubmitted(
            ledger_id=self.ledger_id, assertion_id=self.chance.choice([*known[-3:], UUID(int=9)])
        )

    def _member(self) -> Submission:
        chance = self.chance
        owner, other, stranger = self._people
        known = [each.invitation_id for each in self.journal if isinstance(each, MemberInvited)]
        invitation_id = chance.choice([*known[-2:], UUID(int=10)])
        return chance.choice(
            [
                InvitationSubmitted(ledger_id=self.ledger_id, **invited(other), role=chance.choice([*Role])),
                InvitationAnswerSubmitted(
                    ledger_id=self.ledger_id, invitation_id=invitation_id, answer=InvitationEnding.ACCEPTED
                ),
                InvitationAnswerSubmitted(
                    ledger_id=self.ledger_id, invitation_id=invitation_id, answer=chance.choice([*InvitationEnding])
                ),
                MemberChangeSubmitted(
                    ledger_id=self.ledger_id,
                    member_id=chance.choice([other, other, owner, stranger]),
                    role=chance.choice([*Role, None]),
                ),
            ]
        )

    def _ledger(self) -> Submission:
        return LedgerChangeSubmitted(
            ledger_id=self.ledger_id,
            **self._some(name=self.chance.choice(["Home", "Personal"]), default_account=self.chance.choice(ACCOUNTS)),
        )


def _ways(*ways: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    return ways


def invited(user_id: UUID) -> dict[str, Any]:
    fields: dict[str, Any] = {"invited_user_id": user_id}
    if "address_proof" in InvitationSubmitted.model_fields:
        fields["address_proof"] = f"{user_id.int:064x}"
    return fields


def balance_of(journal: Iterable[JournalEntry], account_id: UUID, on: date | None = None) -> int:
    """Add up what an account holds at the end of a day, in its one currency, from the journal."""
    return sum(
        posting.amount_minor
        * ((posting.destination_account_id == account_id) - (posting.source_account_id == account_id))
        for entry in journal
        if isinstance(entry, TransactionRecorded | TransactionReversed) and (on is None or entry.booked_on <= on)
        for posting in entry.postings
    )


def loaded(books: Books, journal: Sequence[JournalEntry], batch: Iterable[Act]) -> Books:
    """Return books as the next batch would load them, with the balances on days that its assertions ask for."""
    books = reloaded(books)
    for act in batch:
        if isinstance(act.message, AssertionSubmitted) and (account := books.find_account(act.message.account)):
            key = (account.id, act.message.on)
            books.balances[key] = balance_of(journal, *key)
    return books


def record(acts: Sequence[Act], batches: Iterable[Sequence[Act]]) -> tuple[Books, list[LedgerEntry], list[Decision]]:
    """Decide acts in batches, each with what the ones before it left; return the last books, all entries, decisions."""
    books = Books(acts[0].message.subject_id)
    journal: list[JournalEntry] = []
    decisions: list[Decision] = []
    left = [list(batch) for batch in batches]
    while left:
        batch = left.pop(0)
        try:
            taken, decided = _take(loaded(books, journal, batch), batch)
        except NotLoaded:
            # As delivery does: in two parts, the second of which is loaded with what the first one did.
            middle = len(batch) // 2
            left[:0] = [batch[:middle], batch[middle:]]
            continue
        books = taken
        decisions += decided
        journal += books.journal
    return reloaded(books), [entry for entry in journal if isinstance(entry, LedgerEntry)], decisions


def _take(books: Books, batch: Iterable[Act]) -> tuple[Books, list[Decision]]:
    decisions = []
    for act in batch:
        decision = decide(act.asked(), books)
        books.apply(act.asked(), decision)
        decisions.append(decision)
    return books, decisions
