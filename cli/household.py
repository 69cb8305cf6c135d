"""The demo household's books: what somebody might spend and earn in a month, the same whenever it is asked for."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from random import Random
from typing import Any

from contracts.transactions import TransactionKind

#: How many months are shown; the current one is the last of them.
MONTHS = 4
#: The account that something is put aside on every month.
SAVINGS = "Savings"


@dataclass(frozen=True, slots=True)
class Entry:
    """One transaction of the demo. ``key`` names it for ever: another run sends the same content under it.

    ``category`` is the account's name where it is a transfer; ``part`` belongs to another category than the rest.
    """

    key: str
    kind: TransactionKind
    day: date
    category: str
    description: str
    cents: int
    part: tuple[str, int] | None = None
    tags: Sequence[str] = ()

    def body(self) -> dict[str, Any]:
        """Return it as the API wants it."""
        body: dict[str, Any] = {
            "amount": _text(self.cents),
            "kind": self.kind,
            "description": self.description,
            "date": self.day.isoformat(),
        }
        if self.tags:
            body["tags"] = list(self.tags)
        if self.kind is TransactionKind.TRANSFER:
            return {**body, "to_account": self.category}
        if self.part is None:
            return {**body, "category": self.category}
        other, cents = self.part
        splits = [(self.category, self.cents - cents), (other, cents)]
        return {**body, "splits": [{"amount": _text(cents), "category": category} for category, cents in splits]}


@dataclass(frozen=True, slots=True)
class _Habit:
    """Something that happens on these days of a month, for an amount between two bounds (in cents).

    ``part``: of this is so much, in hundredths, of another category.
    """

    name: str
    category: str
    days: Sequence[int]
    cents: tuple[int, int]
    descriptions: Sequence[str]
    kind: TransactionKind = TransactionKind.EXPENSE
    every: int = 1
    part: tuple[str, int] | None = None
    tags: Sequence[str] = ()


_HABITS = (
    _Habit("salary", "Salary", (1,), (2_846_00, 2_846_00), ("Salary",), kind=TransactionKind.INCOME),
    _Habit("rent", "Rent", (2,), (940_00, 940_00), ("Rent and heating",)),
    _Habit("ticket", "Transport", (1,), (58_00, 58_00), ("Monthly ticket",)),
    _Habit("power", "Utilities", (5,), (61_00, 84_00), ("Electricity",)),
    _Habit("phone", "Utilities", (8,), (39_90, 39_90), ("Phone and internet",)),
    _Habit("shop", "Groceries", (4, 11, 25), (48_00, 96_00), ("Weekly shop", "Weekly shop", "Market hall")),
    _Habit("stock", "Groceries", (18,), (58_00, 96_00), ("Weekly shop and drugstore",), part=("Household", 21)),
    _Habit("bakery", "Groceries", (7, 21), (4_20, 13_50), ("Bakery", "Fruit stall")),
    _Habit("out", "Eating out", (13, 23), (11_50, 46_00), ("Lunch with Mira", "Pizza", "Noodles", "Coffee and cake")),
    _Habit("fun", "Leisure", (16,), (9_00, 39_00), ("Cinema", "Concert", "Bookshop", "Swimming")),
    _Habit("dentist", "Health", (19,), (18_00, 74_00), ("Pharmacy", "Dentist", "New glasses"), every=2),
    _Habit("train", "Travel", (27,), (39_00, 129_00), ("Train to the coast", "Weekend away"), every=2, tags=("trip",)),
    _Habit("save", SAVINGS, (3,), (250_00, 250_00), ("Put aside",), kind=TransactionKind.TRANSFER),
    _Habit("refund", "Refunds", (20,), (15_00, 48_00), ("Deposit back",), kind=TransactionKind.INCOME, every=3),
)


def entries_until(today: date) -> list[Entry]:
    """Return the household's transactions from some months ago until ``today``, the oldest first.

    Keys and contents depend on the calendar month alone, not on ``today``: a later run repeats what it finds and adds
    what has happened since.
    """
    months = (_months_before(today, back) for back in reversed(range(MONTHS)))
    entries = [entry for month in months for entry in _entries_of(month) if entry.day <= today]
    return sorted(entries, key=lambda entry: (entry.day, entry.key))


def _entries_of(month: date) -> Iterator[Entry]:
    number = month.year * 12 + month.month
    for habit in _HABITS:
        if number % habit.every:
            continue
        for day in habit.days:
            key = f"demo-{month:%Y-%m}-{habit.name}-{day}"
            chance = Random(key)
            cents = chance.randint(*habit.cents)
            yield Entry(
                key=key,
                kind=habit.kind,
                day=month.replace(day=day),
                category=habit.category,
                description=chance.choice(habit.descriptions),
                cents=cents,
                part=(habit.part[0], cents * habit.part[1] // 100) if habit.part else None,
                tags=habit.tags,
            )


def _months_before(day: date, back: int) -> date:
    number = day.year * 12 + day.month - 1 - back
    return date(number // 12, number % 12 + 1, 1)


def _text(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"
