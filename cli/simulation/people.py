"""People who are made up, and what they spend and earn: the same from the same seed."""

import importlib
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cache
from hashlib import sha256
from itertools import count, cycle, islice
from random import Random
from typing import Any
from unicodedata import normalize

from cli.development.household import HABITS, Entry, Habit, months_before
from cli.terminal.output import ExitCode, fail
from contracts.transactions import TransactionKind

#: Nobody can receive mail there (RFC 2606), so no stranger is written to.
DOMAIN = "example.org"
SEED_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}"
#: Where a seed names no day.
_LAST_DAY = date(2025, 12, 31)
_SEED_WITH_DAY = re.compile(r"(\d{4})-?(\d{2})-?(\d{2})(?!\d)")
#: Further back than this many months nobody keeps books; then the months begin anew.
_MONTHS_MAX = 1200
#: In which language people are named, what they count in, where they live.
_COUNTRIES = (
    ("de_DE", "EUR", "Europe/Berlin"),
    ("en_US", "USD", "America/New_York"),
    ("fr_FR", "EUR", "Europe/Paris"),
    ("en_GB", "GBP", "Europe/London"),
    ("ja_JP", "JPY", "Asia/Tokyo"),
    ("pl_PL", "PLN", "Europe/Warsaw"),
)
_HABITS = (
    *HABITS,
    Habit("return", "Household", (24,), (9_90, 44_90), ("Sent back",), kind=TransactionKind.REFUND, every=2),
    Habit("gifts", "Gifts", (14,), (12_00, 80_00), ("A present", "Flowers"), every=3, tags=("family", "gift")),
)
#: How many companies somebody deals with, by category; nobody is paid where money only changes accounts.
_PAYEES = {
    "Salary": 1,
    "Rent": 1,
    "Transport": 1,
    "Utilities": 2,
    "Groceries": 3,
    "Eating out": 4,
    "Leisure": 3,
    "Health": 2,
    "Travel": 2,
    "Household": 2,
    "Gifts": 2,
}


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who is made up; ``number`` counts from 1. ``seed`` and ``number`` decide everything about them."""

    seed: str
    number: int
    name: str
    username: str
    base_currency: str
    time_zone: str
    payees: Mapping[str, Sequence[str]] = field(repr=False)
    #: Hundredths: what everything costs and earns, compared with the household of the demo.
    level: int = 100
    #: Days by which their months are shifted.
    shift: int = 0

    @property
    def email(self) -> str:
        """An address that is delivered to a mailbox of development only."""
        return f"{self.username}@{DOMAIN}"

    def key(self, number: int) -> str:
        """Return the idempotency key of one of their transactions, which is its external id too."""
        return f"sim-{self.seed}-{number}"

    def entries(self) -> Iterator[Entry]:
        """Yield transactions without end: the last whole month in the order of its days, then the months before it.

        The first so many are the same however many are taken.
        """
        numbers = count(1)
        for back in cycle(range(1, _MONTHS_MAX)):
            month = months_before(last_day_of(self.seed), back)
            for day, habit in sorted(self._month(month), key=lambda happened: (happened[0], happened[1].name)):
                yield self._entry(next(numbers), day, habit)

    def first_entries(self, wanted: int) -> list[Entry]:
        """Return the first transactions, so many of them."""
        return list(islice(self.entries(), wanted))

    def _month(self, month: date) -> Iterator[tuple[date, Habit]]:
        for habit in _HABITS:
            if habit.happens_in(month):
                for day in habit.days:
                    yield month.replace(day=min(28, day + self.shift)), habit

    def _entry(self, number: int, day: date, habit: Habit) -> Entry:
        key = self.key(number)
        chance = Random(f"{key} {self.number}")
        entry = habit.entry(key, day, chance)
        payees = self.payees.get(habit.category)
        return replace(
            entry,
            minor=entry.minor * self.level // 100,
            part=(entry.part[0], entry.part[1] * self.level // 100) if entry.part else None,
            currency=self.base_currency,
            payee=chance.choice(payees) if payees else None,
            external_id=key,
        )


def new_seed(today: date) -> str:
    """Return a seed that no run had, with the day that the transactions come up to."""
    return f"{today:%Y%m%d}-{secrets.token_hex(2)}"


def checked_seed(typed: str) -> str:
    """Return a seed as typed; refuses what would not stand in keys and usernames."""
    if not re.fullmatch(SEED_PATTERN, typed):
        fail(f"'{typed}' is not a seed: type up to 40 letters, digits, '.', '-' and '_'", ExitCode.USAGE)
    return typed


def last_day_of(seed: str) -> date:
    """Return the day that a seed begins with; transactions are of the months before its."""
    written = _SEED_WITH_DAY.match(seed)
    try:
        day = date(*map(int, written.groups())) if written else _LAST_DAY
    except ValueError:
        return _LAST_DAY
    # Before 1900, where the months may lead, the ledger takes nothing.
    return day if 2000 <= day.year < 2200 else _LAST_DAY


def people(seed: str, wanted: int) -> list[Person]:
    """Make up people; the first so many are the same however many are wanted."""
    return [_person(seed, number) for number in range(1, wanted + 1)]


def _person(seed: str, number: int) -> Person:
    chance = Random(f"{seed} {number}")
    locale, currency, time_zone = chance.choice(_COUNTRIES)
    faker = _faker(locale)
    faker.seed_instance(f"{seed} {number}")
    name = _name(faker, locale)
    digest = sha256(f"{seed} {number}".encode()).hexdigest()
    return Person(
        seed=seed,
        number=number,
        name=name,
        # The name is for whoever looks on; the rest has it so that nobody else is called so.
        username=f"{_plain(name)[:20]}.{digest[:10]}",
        base_currency=currency,
        time_zone=time_zone,
        payees={category: _companies(faker, wanted) for category, wanted in _PAYEES.items()},
        level=chance.randint(70, 160),
        shift=chance.randint(0, 2),
    )


def _name(faker: Any, locale: str) -> str:
    if locale == "ja_JP":
        return f"{faker.first_romanized_name()} {faker.last_romanized_name()}"
    return f"{faker.first_name()} {faker.last_name()}"


def _plain(name: str) -> str:
    """Return a name as the beginning of a username."""
    letters = normalize("NFKD", name.casefold()).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z]+", ".", letters).strip(".") or "somebody"


def _companies(faker: Any, wanted: int) -> tuple[str, ...]:
    return tuple(" ".join(faker.company().split())[:100] for _ in range(wanted))


@cache
def _faker(locale: str) -> Any:
    try:
        module = importlib.import_module("faker")
    except ImportError:
        fail("the simulators need libraries of their own; install them with `pip install 'cash-flow[simulator]'`")
    return module.Faker(locale)
