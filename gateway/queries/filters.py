"""From a filter to the statement that finds its transactions, each led by an index, whatever the ledger's size.

A statement begins with a *way*: rows of one index (or of several, for terms joined by OR) that hold every transaction
of one term. The other terms are looked at row by row. The way with the fewest rows is taken; so that nothing large is
counted for that, rows are counted up to :data:`MANY`.

Some ways give the page's order, and end with the page. The others (words, amounts in a list by day, anything but
amounts in a list by amount) give all their rows, to be sorted. Where those may be many, the first :data:`TRIED` rows
of one that gives the order are looked through before: what is frequent fills a page from them, what is rare sorts few.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, localcontext
from enum import StrEnum
from typing import Any
from uuid import UUID

from contracts.accounts import CATEGORY_KINDS
from contracts.filters import (
    Amounts,
    And,
    Days,
    Field,
    Filter,
    FilterError,
    Is,
    Not,
    Or,
    Says,
    Status,
    Term,
    search_words,
    terms_of,
)
from contracts.money import exponent_of
from contracts.text import name_key
from infra.postgres.engine import Connection

#: So many rows are many: a way that has them is not counted further.
MANY = 1000
#: So many rows are looked through in the page's order before all rows of a way are sorted.
TRIED = 256
_MINOR_MAX = 2**62

#: Who asks is a member: $1 is the ledger and $2 the user in every statement.
MEMBER = "EXISTS (SELECT FROM members WHERE ledger_id = $1 AND user_id = $2)"
#: A transaction ``t`` that an assertion covers: one that stands and held, of its day or a later one, made since.
RECONCILED = """
EXISTS (
  SELECT FROM postings q JOIN assertions held ON held.ledger_id = $1
    AND held.account_id IN (q.source_account_id, q.destination_account_id)
    AND held.lifted_at IS NULL AND held.stated_minor = held.computed_minor
    AND held.asserted_on >= t.booked_on AND held.sequence > t.sequence
  WHERE q.ledger_id = $1 AND q.sequence = t.sequence
)
"""
_NAMED = f"""
SELECT named.id, named.name_key, named.kind, merged.id AS account_id
FROM accounts named JOIN accounts merged ON merged.ledger_id = $1 AND merged.root_id = named.root_id
WHERE named.ledger_id = $1 AND {MEMBER} AND (named.name_key = ANY ($3::text[]) OR named.id = ANY ($4::uuid[]))
"""  # noqa: S608  # here and below: built from constants, values are parameters
_CURRENCIES = f"SELECT DISTINCT currency FROM balances WHERE ledger_id = $1 AND {MEMBER} ORDER BY currency"  # noqa: S608


class Sort(StrEnum):
    """The order of a list of transactions; those of one day by their moment, those of one amount by their id."""

    NEWEST = "-date"
    OLDEST = "date"
    LARGEST = "-amount"
    SMALLEST = "amount"

    @property
    def by(self) -> tuple[str, str, str]:
        """The columns it goes by, the last of them unique."""
        if self in (Sort.NEWEST, Sort.OLDEST):
            return "booked_on", "booked_at", "id"
        return "currency", "amount_minor", "id"

    @property
    def direction(self) -> str:
        """Its direction, in SQL."""
        return "DESC" if self.startswith("-") else "ASC"


class Sql:
    """A piece of a statement, with a ``?`` for each of its values."""

    __slots__ = ("text", "values")

    def __init__(self, text: str, *values: Any) -> None:
        self.text = text
        self.values = values

    def __add__(self, other: "Sql | str") -> "Sql":
        if isinstance(other, str):
            return Sql(self.text + other, *self.values)
        return Sql(self.text + other.text, *self.values, *other.values)

    def __radd__(self, text: str) -> "Sql":
        return Sql(text + self.text, *self.values)

    def numbered(self, first: int) -> tuple[str, tuple[Any, ...]]:
        """Return the statement with its parameters numbered from ``first``, and their values."""
        begin, *rest = self.text.split("?")
        return begin + "".join(f"${first + index}{piece}" for index, piece in enumerate(rest)), self.values


def joined(pieces: Iterable[Sql], between: str) -> Sql:
    """Put pieces together."""
    whole = Sql("")
    for index, piece in enumerate(pieces):
        whole += between + piece if index else piece
    return whole


@dataclass(frozen=True, slots=True)
class Span:
    """Days from ``first`` to ``last``, both included; ``None`` is without end."""

    first: date | None = None
    last: date | None = None

    def within(self, other: "Span | Days") -> "Span":
        """Return the days of both."""
        firsts = [each for each in (self.first, other.first) if each]
        lasts = [each for each in (self.last, other.last) if each]
        return Span(max(firsts, default=None), min(lasts, default=None))

    def condition(self, column: str) -> list[Sql]:
        """Return the conditions on a column."""
        found = [Sql(f"{column} >= ?", self.first)] if self.first else []
        return [*found, Sql(f"{column} <= ?", self.last)] if self.last else found


@dataclass(frozen=True, slots=True)
class Lead:
    """Rows of one index to begin with.

    Args:
        table: with its alias; transactions are ``t``.
        condition: which of its rows.
        join: how their transactions ``t`` are found, where the rows are others.
        day: the column that bounds its rows by day, and orders them by day where ``by`` says so.
        by: the columns of the orders (of :class:`Sort`) that its index gives.
        each: the accounts whose rows it is, one after the other; ``condition`` calls the one ``each.id``.
        repeats: whether one transaction may have several rows.
    """

    table: str = "transactions t"
    condition: Sql = Sql("t.ledger_id = $1 AND NOT t.deleted")
    join: str = ""
    day: str = "t.booked_on"
    by: tuple[str, ...] = ()
    each: Sequence[UUID] | None = None
    repeats: bool = False

    def count(self, days: Span) -> Sql:
        """Return the expression for how many rows it has, at most :data:`MANY`."""
        source = Sql(f"{self.table} WHERE ") + joined([self.condition, *days.condition(self.day)], " AND ")
        if self.each is not None:
            source = Sql("unnest(?::uuid[]) AS each (id), ", self.each) + source
        return f"(SELECT count(*) FROM (SELECT FROM " + source + f" LIMIT {MANY}) c)"


#: All transactions, in the order of days or amounts that its two indexes give.
_ALL_BY_DAY = Lead(by=("booked_on",))
_ALL_BY_AMOUNT = Lead(by=("currency",))


@dataclass(frozen=True, slots=True)
class Way:
    """Leads that together hold every transaction of one part of a filter.

    ``part`` is the place of that part where the leads say all of it, and it need not be looked at again; ``counts``
    says whether its rows can be counted, which those of words cannot: their index is read whole.
    """

    leads: tuple[Lead, ...]
    part: int | None = None
    counts: bool = True

    def gives(self, sort: Sort) -> bool:
        """Return whether its rows come in this order."""
        return all(sort.by[0] in lead.by for lead in self.leads)


@dataclass(frozen=True, slots=True)
class Names:
    """What a ledger knows of what a filter names: accounts by name or id as typed, and its currencies."""

    accounts: Mapping[tuple[Field, str], Sequence[UUID]]
    currencies: Sequence[str]


async def find_names(connection: Connection, ledger_id: UUID, user_id: UUID, what: Filter) -> Names:
    """Find the accounts that a filter names, each with those merged into it, and the ledger's currencies if it matters.

    Raises:
        FilterError: it names one that this ledger does not have, or a category as an account.
    """
    terms = list(terms_of(what))
    named = [term for term in terms if isinstance(term, Is) and term.what in (Field.ACCOUNT, Field.CATEGORY)]
    currencies: Sequence[str] = ()
    if any(isinstance(term, Amounts) for term in terms):
        currencies = [row["currency"] for row in await connection.fetch(_CURRENCIES, ledger_id, user_id)]
    if not named:
        return Names({}, currencies)
    keys = [name_key(term.value) for term in named]
    ids = [found for term in named if (found := _id_in(term.value))]
    rows = await connection.fetch(_NAMED, ledger_id, user_id, keys, ids)
    accounts: dict[tuple[Field, str], Sequence[UUID]] = {}
    for term, key in zip(named, keys, strict=True):
        found_id = _id_in(term.value)
        # A name that looks like an id is one; the ledger takes it so, too.
        found = [row for row in rows if row["id"] == found_id] or [row for row in rows if row["name_key"] == key]
        accounts[term.what, term.value] = [row["account_id"] for row in found]
        wrong = _wrong_name(term, found[0]["kind"] if found else None)
        if wrong:
            raise FilterError(term.position, wrong)
    return Names(accounts, currencies)


def _wrong_name(term: Is, kind: str | None) -> str | None:
    is_category = kind in CATEGORY_KINDS
    if kind is None:
        return f"This ledger has no {term.what} of this name; look at its spelling in the list of accounts."
    if is_category != (term.what is Field.CATEGORY):
        other = Field.CATEGORY if is_category else Field.ACCOUNT
        return f"This is {'a category' if is_category else 'an account'}; write {other}: before it."
    return None


def _id_in(name: str) -> UUID | None:
    try:
        return UUID(name) if len(name) == len(str(UUID(int=0))) else None
    except ValueError:
        return None


class Selection:
    """The transactions of a ledger that a filter means, for the statements that need them."""

    def __init__(self, what: Filter | None = None, names: Names = Names({}, ()), days: Span = Span()) -> None:
        """Take a filter whose names were found, and days besides those it says."""
        parts = () if what is None else what.parts if isinstance(what, And) else (what,)
        self._names = names
        self._parts = [self._condition(part) for part in parts]
        codes = [part.value for part in parts if isinstance(part, Is) and part.what is Field.CURRENCY]
        self._currency = codes[0] if codes else None
        self._days = days
        for part in parts:
            if isinstance(part, Days):
                self._days = self._days.within(part)
        self._extra = days.condition("t.booked_on")
        self._ways = [
            replace(way, part=index if isinstance(part, Term) else None)
            for index, part in enumerate(parts)
            if (way := self._way(part)) is not None
        ]

    async def find_way(self, connection: Connection, ledger_id: UUID) -> "tuple[Way, Way | None]":
        """Return the way to begin with and, where it has many rows that do not end with a page, the one to sort.

        Nothing is counted where there is no choice.
        """
        raise NotImplementedError


# more below
