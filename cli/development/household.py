"""A household's books: what recurs month by month, and the demo's transactions made of it, the same on every run."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from random import Random
from typing import Any

from contracts.money import format_minor
from contracts.transactions import TransactionKind

#: How many months are shown; the current one is the last of them.
MONTHS = 4
#: The account that something is put aside on every month.
SAVINGS = "Savings"
#: What the demo's books are kept in.
CURRENCY = "EUR"


@dataclass(frozen=True, slots=True)
class Entry:
    """One transaction. ``key`` names it for ever: another run sends the same content under it.

    ``minor`` is in minor units of the currency. ``category`` is the account's name where it is a transfer; ``part``
    belongs to another category than the rest. What is absent is not sent.
    """

    key: str
    kind: TransactionKind
    day: date
    category: str
    description: str
    minor: int
    currency: str = CURRENCY
    part: tuple[str, int] | None = None
    tags: Sequence[str] = ()
    payee: str | None = None
    external_id: str | None = None

    def parts(self) -> list[tuple[str, int]]:
        """Return what belongs to which category, or goes to which account, in minor units."""
        if self.part is None:
            return [(self.category, self.minor)]
        other, minor = self.part
        return [(self.category, self.minor - minor), (other, minor)]

    def text(self, minor: int) -> str:
        """Return an amount of its currency as the API wants it, and answers it."""
        return format_minor(minor, self.currency)

    def body(self) -> dict[str, Any]:
        """Return it as the API wants it."""
        body: dict[str, Any] = {
            "amount": self.text(self.minor),
            "kind": self.kind,
            "description": self.description,
            "date": self.day.isoformat(),
        }
        if self.tags:
            body["tags"] = list(self.tags)
        if self.payee:
            body["payee"] = self.payee
        if self.external_id:
            body["external_id"] = self.external_id
        if self.kind is TransactionKind.TRANSFER:
            return {**body, "to_account": self.category}
        if self.part is None:
            return {**body, "category": self.category}
        return {**body, "splits": [{"amount": self.text(minor), "category": name} for name, minor in self.parts()]}


@dataclass(frozen=True, slots=True)
class Habit:
    """Something that happens on these days of a month, for an amount between two bounds (in minor units).

    ``part``: of this is so much, in hundredths, of another category; ``every``: in one of so many months.
    """

    name: str
    category: str
    days: Sequence[int]
    minor: tuple[int, int]
    descriptions: Sequence[str]
    kind: TransactionKind = TransactionKind.EXPENSE
    every: int = 1
    part: tuple[str, int] | None = None
    tags: Sequence[str] = ()

    def happens_in(self, month: date) -> bool:
        """Return whether it happens in this month at all."""
        return (month.year * 12 + month.month) % self.every == 0

    def entry(self, key: str, day: date, chance: Random) -> Entry:
        """Return how it happened on a day, as chance has it."""
        minor = chance.randint(*self.minor)
        return Entry(
            key=key,
            kind=self.kind,
            day=day,
            category=self.category,
            description=chance.choice(self.descriptions),
            minor=minor,
            part=(self.part[0], minor * self.part[1] // 100) if self.part else None,
            tags=self.tags,
        )


HABITS = (
    Habit("salary", "Salary", (1,), (2_846_00, 2_846_00), ("Salary",), kind=TransactionKind.INCOME),
    Habit("rent", "Rent", (2,), (940_00, 940_00), ("Rent and heating",)),
    Habit("ticket", "Transport", (1,), (58_00, 58_00), ("Monthly ticket",)),
    Habit("power", "Utilities", (5,), (61_00, 84_00), ("Electricity",)),
    Habit("phone", "Utilities", (8,), (39_90, 39_90), ("Phone and internet",)),
    Habit("shop", "Groceries", (4, 11, 25), (48_00, 96_00), ("Weekly shop", "Weekly shop", "Market hall")),
    Habit("stock", "Groceries", (18,), (58_00, 96_00), ("Weekly shop and drugstore",), part=("Household", 21)),
    Habit("bakery", "Groceries", (7, 21), (4_20, 13_50), ("Bakery", "Fruit stall")),
    Habit("out", "Eating out", (13, 23), (11_50, 46_00), ("Lunch with Mira", "Pizza", "Noodles", "Coffee and cake")),
    Habit("fun", "Leisure", (16,), (9_00, 39_00), ("Cinema", "Concert", "Bookshop", "Swimming")),
    Habit("dentist", "Health", (19,), (18_00, 74_00), ("Pharmacy", "Dentist", "New glasses"), every=2),
    Habit("train", "Travel", (27,), (39_00, 129_00), ("Train to the coast", "Weekend away"), every=2, tags=("trip",)),
    Habit("save", SAVINGS, (3,), (250_00, 250_00), ("Put aside",), kind=TransactionKind.TRANSFER),
    Habit("refund", "Refunds", (20,), (15_00, 48_00), ("Deposit back",), kind=TransactionKind.INCOME, every=3),
)


def entries_until(today: date) -> list[Entry]:
    """Return the household's transactions from some months ago until ``today``, the oldest first.

    Keys and contents depend on the calendar month alone, not on ``today``: a later run repeats what it finds and adds
    what has happened since.
    """
    months = (months_before(today, back) for back in reversed(range(MONTHS)))
    entries = [entry for month in months for entry in _entries_of(month) if entry.day <= today]
    return sorted(entries, key=lambda entry: (entry.day, entry.key))


def _entries_of(month: date) -> Iterator[Entry]:
    for habit in HABITS:
        if not habit.happens_in(month):
            continue
        for day in habit.days:
            key = f"demo-{month:%Y-%m}-{habit.name}-{day}"
            yield habit.entry(key, month.replace(day=day), Random(key))


def months_before(day: date, back: int) -> date:
    """Return the first day of the month that is so many months before a day's."""
    number = day.year * 12 + day.month - 1 - back
    return date(number // 12, number % 12 + 1, 1)
