"""A ledger that somebody lived with for two months, as rows, with an oracle for what a filter means in it."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from contracts.accounts import AccountKind
from contracts.filters import Amounts, And, Days, Field, Filter, Is, Not, Or, Says, search_words
from contracts.money import exponent_of
from contracts.text import name_key
from contracts.transactions import TransactionKind, TransactionStatus
from tests.builders.ledger_rows import LedgerRows, Move

FIRST_DAY = date(2026, 1, 1)
LAST_DAY = FIRST_DAY + timedelta(days=60)
WORDS = ["milk", "bread", "milkshake", "café", "weekly shop", "Noodles/soup", "no. 7", ""]
PAYEES = ["Rossi", "ROSSI", "Market hall", None]
TAGS = [(), ("holiday",), ("Holiday", "work"), ("work",)]


@dataclass
class Household:
    """A ledger's rows with the names its accounts have, by which an oracle finds what a filter means."""

    rows: LedgerRows = field(default_factory=LedgerRows)
    accounts: dict[str, set[UUID]] = field(default_factory=dict)
    transactions: list[UUID] = field(default_factory=list)
    assertions: list[dict[str, Any]] = field(default_factory=list)

    def open(self, name: str, kind: AccountKind, currency: str = "EUR", **state: Any) -> UUID:
        account_id = self.rows.account(name, kind, currency, **state)
        self.accounts[name] = {account_id}
        return account_id

    def head(self, transaction_id: UUID) -> tuple[dict[str, Any], tuple[Move, ...]]:
        """Return how a transaction stands."""
        return self.rows._transactions[transaction_id]

    def standing(self) -> list[tuple[dict[str, Any], tuple[Move, ...]]]:
        """Return every transaction that was not deleted."""
        return [(row, moves) for row, moves in map(self.head, self.transactions) if not row["deleted"]]


def live(seed: int, count: int = 220) -> Household:
    """A household of some months: every kind, three exponents, splits, corrections, deletions, statements."""
    chance = random.Random(seed)
    home = Household()
    cash = home.open("Cash", AccountKind.ASSET)
    bank = home.open("Bank account", AccountKind.ASSET)
    yen = home.open("Yen", AccountKind.ASSET, "JPY")
    dinar = home.open("Dinar", AccountKind.ASSET, "BHD")
    exchange = home.open("Exchange", AccountKind.EQUITY)
    opening = home.open("Opening balances", AccountKind.EQUITY)
    groceries = home.open("Groceries", AccountKind.EXPENSE)
    eating = home.open("Eating out", AccountKind.EXPENSE)
    coffee = home.open("Coffee", AccountKind.EXPENSE, root_id=eating, merged_into=eating)
    salary = home.open("Salary", AccountKind.INCOME)
    # A name of either finds both.
    home.accounts["Eating out"] = home.accounts["Coffee"] = {eating, coffee}
    currencies = {cash: "EUR", bank: "EUR", yen: "JPY", dinar: "BHD"}

    def moves() -> tuple[TransactionKind, list[Move]]:
        account = chance.choice([cash, cash, cash, bank, yen, dinar])
        currency, minor = currencies[account], chance.choice([100, 1000, 1001, 2550, chance.randint(1, 99_999)])
        category = chance.choice([groceries, eating, coffee])
        match chance.randint(0, 11):
            case 0:
                return TransactionKind.INCOME, [Move(salary, account, minor, currency)]
            case 1:
                return TransactionKind.REFUND, [Move(category, account, minor, currency)]
            case 2:
                return TransactionKind.TRANSFER, [Move(cash, bank, minor)]
            case 3:
                return TransactionKind.EXCHANGE, [Move(cash, exchange, minor), Move(exchange, yen, minor, "JPY")]
            case 4:
                return TransactionKind.OPENING, [Move(opening, account, minor, currency)]
            case 5:
                return TransactionKind.EXPENSE, [
                    Move(account, chance.choice([groceries, eating, coffee]), minor + part, currency)
                    for part in range(chance.randint(2, 5))
                ]
            case _:
                return TransactionKind.EXPENSE, [Move(account, category, minor, currency)]

    for number in range(count):
        kind, moved = moves()
        on = FIRST_DAY + timedelta(days=chance.randint(0, 60))
        home.transactions.append(
            home.rows.transaction(
                *moved,
                on=on,
                kind=kind,
                status=chance.choice(list(TransactionStatus)),
                booked_at=datetime(on.year, on.month, on.day, chance.choice([8, 12]), tzinfo=UTC),
                description=chance.choice(WORDS),
                payee=chance.choice(PAYEES),
                note=chance.choice([None, None, "Bread and MILK"]),
                tags=list(chance.choice(TAGS)),
                external_id=f"bank-{number}" if chance.random() < 0.3 else None,
            )
        )
        if number == count * 2 // 3:
            for account_id, day, off in ((cash, 20, 0), (bank, 40, 0), (cash, 50, 1)):
                on = FIRST_DAY + timedelta(days=day)
                home.rows.assertion(account_id, on, home.rows.balance(account_id, on=on) + off)
            home.rows.assertion(yen, FIRST_DAY, home.rows.balance(yen, "JPY", on=FIRST_DAY), currency="JPY")
            home.rows.assertion(
                dinar, on, home.rows.balance(dinar, "BHD", on=on), currency="BHD", lifted_at=home.rows.recorded_at
            )
        if chance.random() < 0.15:
            changed = chance.choice(home.transactions)
            row, moved_before = home.head(changed)
            if not row["deleted"]:
                match chance.randint(0, 2):
                    case 0:
                        home.rows.delete(changed)
                    case 1:
                        again = [move._replace(minor=move.minor + 1) for move in moved_before]
                        on = FIRST_DAY + timedelta(days=chance.randint(0, 60))
                        home.rows.change(changed, *again, on=on)
                        row, _ = home.head(changed)
                        row["amount_minor"] = sum(move.minor for move in again if move.currency == row["currency"])
                        row["booked_at"] = datetime(on.year, on.month, on.day, 9, tzinfo=UTC)
                        home.rows._stand(row, tuple(again))
                    case _:
                        home.rows.annotate(changed, payee="Rossi", tags=["late"], description="milk")
    home.assertions = [dict(row) for row in home.rows._rows["assertions"].values()]
    return home


def oracle(home: Household) -> Callable[[Filter, UUID], bool]:
    """Return what decides whether a filter means a transaction, as its grammar says."""
    assertions = [
        row for row in home.assertions if row["lifted_at"] is None and row["stated_minor"] == row["computed_minor"]
    ]

    def means(what: Filter, transaction_id: UUID) -> bool:
        row, moves = home.head(transaction_id)
        touched = {side for move in moves for side in (move.source, move.destination)}
        match what:
            case And(parts):
                return all(means(part, transaction_id) for part in parts)
            case Or(parts):
                return any(means(part, transaction_id) for part in parts)
            case Not(part):
                return not means(part, transaction_id)
            case Says(text):
                words = search_words(row["description"], row["payee"], row["note"])
                return all(any(word.startswith(sought) for word in words) for sought in search_words(text))
            case Days(first, last):
                return bool((first or date.min) <= row["booked_on"] <= (last or date.max))
            case Amounts(low, high, beyond):
                amount = Decimal(row["amount_minor"]).scaleb(-exponent_of(row["currency"]))
                if beyond and amount in (low, high):
                    return False
                return bool((low is None or low <= amount) and (high is None or amount <= high))
            case Is(Field.ACCOUNT | Field.CATEGORY, value):
                return bool(touched & home.accounts[value])
            case Is(Field.TAG, value):
                return name_key(value) in map(name_key, row["tags"])
            case Is(Field.PAYEE, value):
                return row["payee"] is not None and name_key(row["payee"]) == name_key(value)
            case Is(Field.EXTERNAL, value):
                return bool(row["external_id"] == value)
            case Is(Field.KIND, value):
                return bool(row["kind"] == value)
            case Is(Field.CURRENCY, value):
                return bool(row["currency"] == value)
            case Is(Field.STATUS, value):
                reconciled = any(
                    held["account_id"] in touched
                    and held["asserted_on"] >= row["booked_on"]
                    and held["sequence"] > row["sequence"]
                    for held in assertions
                )
                return bool(value == ("reconciled" if reconciled else row["status"]))
        raise AssertionError(what)

    return means
