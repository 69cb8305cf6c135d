"""What beancount says of generated histories: no error, and the totals that we keep, per account and currency."""

import os
import random
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid5

from consumers.domain.books import Books
from consumers.domain.decisions import Asked, Decision
from contracts.accounts import AccountChangeSubmitted, AccountKind, AccountSubmitted
from contracts.changes import UndoSubmitted
from contracts.ledgers import personal_ledger_id
from contracts.messages import Submission
from contracts.money import format_minor
from contracts.transactions import (
    ReversalSubmitted,
    Split,
    TransactionChangeSubmitted,
    TransactionKind,
    TransactionSubmitted,
)
from tests.builders.beancount import books_of, load
from tests.builders.books import ANN, asked_of, decide

HISTORIES = 200
STEPS = 80
BASE_SEED = int(os.environ.get("CASH_HISTORY_SEED") or random.SystemRandom().randrange(10**6))

LEDGER_ID = personal_ledger_id(ANN)
CURRENCIES = {"Cash": "EUR", "Checking": "EUR", "Card": "EUR", "Yen": "JPY", "Dinars": "BHD"}
CATEGORIES = ["Groceries", "Rent", "Eating out", "GROCERIES ", "食費", "Salary", "Cash"]
FIRST_DAY = date(2024, 1, 1)


class History:
    """Submissions by chance about what the books have; some are refused."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.books = Books(LEDGER_ID)
        self.decisions: list[tuple[Asked[Submission], Decision]] = []

    def ask(self, message: Submission) -> Decision:
        asked = asked_of(message, number=len(self.decisions) + 1)
        decision = decide(asked, self.books)
        self.books.apply(asked, decision)
        self.decisions.append((asked, decision))
        return decision

    def some(self, **fields: Any) -> dict[str, Any]:
        """Some of these fields."""
        return {name: value for name, value in fields.items() if value is not None and self.chance.random() < 0.4}

    def amount(self) -> str:
        currency = self.chance.choice(["EUR", "JPY", "BHD"])
        return format_minor(self.chance.randint(1, 10 ** self.chance.choice([1, 3, 5, 15])), currency)

    def day(self) -> date:
        return FIRST_DAY + timedelta(days=self.chance.randrange(90))

    def account(self) -> str:
        return self.chance.choice(list(CURRENCIES))

    def splits(self) -> tuple[Split, ...]:
        count = self.chance.randint(1, 3)
        return tuple(
            Split(amount=f"{self.chance.randint(1, 999)}", category=self.chance.choice(CATEGORIES))
            for _ in range(count)
        )

    def transactions(self) -> list[UUID]:
        return sorted(self.books.transaction_ids, key=lambda each: each.int) or [UUID(int=9)]

    def record(self) -> Submission:
        fields: dict[str, Any] = {"account": self.account(), "booked": self.day()}
        shape = self.chance.choice(["simple", "simple", "simple", "splits", "move", "move"])
        if shape == "splits":
            fields["splits"] = self.splits()
        elif shape == "move":
            fields |= {"amount": self.amount(), "to_account": self.account()}
            fields |= self.chance.choice([{}, {"to_amount": self.amount()}, {"rate": "0.0061"}])
        else:
            fields |= {"amount": self.amount(), "category": self.chance.choice(CATEGORIES)}
            fields["kind"] = self.chance.choice([None, *TransactionKind])
        return TransactionSubmitted(ledger_id=LEDGER_ID, **fields)

    def change(self) -> Submission:
        fields = self.some(
            amount=self.amount(),
            account=self.account(),
            category=self.chance.choice(CATEGORIES),
            to_account=self.account() if self.chance.random() < 0.3 else None,
            splits=self.splits() if self.chance.random() < 0.3 else None,
            booked=self.day(),
            payee="Market hall",
        )
        return TransactionChangeSubmitted(
            ledger_id=LEDGER_ID, transaction_id=self.chance.choice(self.transactions()), **fields
        )

    def reverse(self) -> Submission:
        return ReversalSubmitted(ledger_id=LEDGER_ID, transaction_id=self.chance.choice(self.transactions()))

    def undo(self) -> Submission:
        newest = max(self.books.sequence, 1)
        return UndoSubmitted(ledger_id=LEDGER_ID, change=self.chance.randint(max(1, newest - 15), newest))

    def merge(self) -> Submission:
        one, other = self.chance.sample(CATEGORIES, 2)
        account = self.books.account_named(one)
        account_id = account.id if account else uuid5(LEDGER_ID, one)
        return AccountChangeSubmitted(ledger_id=LEDGER_ID, account_id=account_id, merge_into=other)

    def run(self) -> None:
        for name, currency in CURRENCIES.items():
            kind = AccountKind.LIABILITY if name == "Card" else AccountKind.ASSET
            balance = self.chance.choice([None, "0", "-12", "1000"])
            fields: dict[str, Any] = {"currency": currency, "opening_balance": balance, "opened": self.day()}
            self.ask(AccountSubmitted(ledger_id=LEDGER_ID, name=name, kind=kind, **fields))
        acts = [self.record] * 8 + [self.change] * 5 + [self.reverse] * 2 + [self.undo] * 5 + [self.merge]
        for _ in range(STEPS):
            self.ask(self.chance.choice(acts)())


def test_beancount_agrees_with_every_history() -> None:
    print(f"CASH_HISTORY_SEED={BASE_SEED}")
    for seed in range(BASE_SEED, BASE_SEED + HISTORIES):
        history = History(seed)
        history.run()
        books = books_of(history.books.journal)
        totals: dict[tuple[UUID, str], int] = {}
        for (account_id, currency, _), turnover in history.books.turnover.items():
            key = (account_id, currency)
            totals[key] = totals.get(key, 0) + turnover.incoming_minor - turnover.outgoing_minor
        ours = books.by_root({key: Decimal(format_minor(minor, key[1])) for key, minor in totals.items()})

        for standing_only in (False, True):
            directives, errors = load(books.to_text(standing_only=standing_only))
            assert errors == [], seed
            assert books.balances_in(directives) == ours, seed


def test_histories_are_about_everything() -> None:
    """Enough of what is asked is taken, of every kind."""
    taken: dict[str, int] = {}
    refused: dict[str, int] = {}
    for seed in range(10):
        history = History(seed)
        history.run()
        for asked, decision in history.decisions:
            counted = refused if decision.refusal else taken
            counted[type(asked.message).__name__] = counted.get(type(asked.message).__name__, 0) + 1

    assert all(count > 10 for count in taken.values()), (taken, refused)
    assert len(taken) == 6, taken
