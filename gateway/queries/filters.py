"""From a filter to the statement that finds its transactions, each led by an index, whatever the ledger's size.

A statement begins with a *way*: the rows of an index (or of several, for terms joined by OR) that hold every
transaction of one term. The other terms are asked of each row. The way with the fewest rows is taken; they are counted
up to :data:`MANY`, so that counting costs little.

Where all have many, the list is walked along in its own order, or along a way that comes in it, until the page is full:
what is frequent fills it soon. What may be rare all the same, after :data:`WALKED` rows, is read whole and sorted: the
rows of words, which cannot be counted before, and any where a list goes by amount, along which rows lie scattered.
"""
# Statements are put together here, of constants; what people typed is only ever a parameter's value.
# ruff: noqa: S608

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, localcontext
from enum import StrEnum
from itertools import groupby
from typing import Any
from uuid import UUID

import asyncpg

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
    search_words,
    terms_of,
)
from contracts.money import exponent_of
from contracts.text import name_key
from contracts.transactions import TransactionKind
from infra.postgres.engine import Connection

#: So many rows are many. Below it, to read and sort them all costs no more than to walk past what does not fit.
MANY = 3000
#: So many rows are walked before all of a way are read instead.
WALKED = 20_000
#: For words so many, and more only where that many were found among them: all that have a rare word are soon read.
_FIRST_WALKED = 256
_SOME = 3
_MINOR_MAX = 2**62

#: Who asks is a member: $1 is the ledger and $2 the user in every statement.
MEMBER = "EXISTS (SELECT FROM members WHERE ledger_id = $1 AND user_id = $2)"
# OFFSET keeps PostgreSQL from making a table of all postings or tags there are, to look into that instead.
#: An assertion covers transaction ``t``: one that stands and held, of its day or a later one, made after it.
RECONCILED = """EXISTS (
  SELECT FROM postings q JOIN assertions held ON held.ledger_id = $1
    AND held.account_id IN (q.source_account_id, q.destination_account_id)
    AND held.lifted_at IS NULL AND held.stated_minor = held.computed_minor
    AND held.asserted_on >= t.booked_on AND held.sequence > t.sequence
  WHERE q.ledger_id = $1 AND q.sequence = t.sequence OFFSET 0
)"""
_POSTED = """EXISTS (
  SELECT FROM postings q WHERE q.ledger_id = $1 AND q.sequence = t.sequence
    AND (q.source_account_id = ANY (?::uuid[]) OR q.destination_account_id = ANY (?::uuid[])) OFFSET 0
)"""
_TAGGED = """EXISTS (
  SELECT FROM transaction_tags g WHERE g.ledger_id = $1 AND g.tag_key = ?
    AND g.booked_on = t.booked_on AND g.transaction_id = t.id OFFSET 0
)"""
#: As the index has it.
_SAID = "to_tsvector('simple'::regconfig, t.words) @@ to_tsquery('simple'::regconfig, ?)"

_NAMED = f"""
SELECT named.id, named.name_key, named.kind, merged.id AS account_id
FROM accounts named JOIN accounts merged ON merged.ledger_id = $1 AND merged.root_id = named.root_id
WHERE named.ledger_id = $1 AND {MEMBER} AND (named.name_key = ANY ($3::text[]) OR named.id = ANY ($4::uuid[]))
"""
#: Those through which exchanges and opening balances go.
_EQUITY = f"SELECT id FROM accounts WHERE ledger_id = $1 AND {MEMBER} AND kind = 'equity' ORDER BY id"
_ASSERTED = f"""
SELECT account_id, max(asserted_on) AS until FROM assertions
WHERE ledger_id = $1 AND {MEMBER} AND lifted_at IS NULL AND stated_minor = computed_minor
GROUP BY account_id ORDER BY account_id
"""
_CURRENCIES = f"SELECT DISTINCT currency FROM balances WHERE ledger_id = $1 AND {MEMBER} ORDER BY currency"


class Sort(StrEnum):
    """The order of a list of transactions; within a day by the moment, within an amount by the id."""

    NEWEST = "-date"
    OLDEST = "date"
    LARGEST = "-amount"
    SMALLEST = "amount"

    @property
    def by(self) -> tuple[str, str, str]:
        """The columns it goes by, the last one unique."""
        if self in (Sort.NEWEST, Sort.OLDEST):
            return "booked_on", "booked_at", "id"
        return "currency", "amount_minor", "id"

    def order(self, columns: Iterable[str]) -> str:
        """Return the clause that sorts by columns in its direction."""
        direction = "DESC" if self.startswith("-") else "ASC"
        return "ORDER BY " + ", ".join(f"{column} {direction}" for column in columns)


class Sql:
    """A piece of a statement, with a ``?`` for each of its values."""

    __slots__ = ("text", "values")

    def __init__(self, text: str, *values: Any) -> None:
        """Keep both."""
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

    def within(self, first: date | None, last: date | None) -> "Span":
        """Return those of its days that are from ``first`` to ``last``."""
        firsts = [each for each in (self.first, first) if each]
        lasts = [each for each in (self.last, last) if each]
        return Span(max(firsts, default=None), min(lasts, default=None))

    def conditions(self, column: str) -> list[Sql]:
        """Return the conditions on a column."""
        found = [Sql(f"{column} >= ?", self.first)] if self.first else []
        return [*found, Sql(f"{column} <= ?", self.last)] if self.last else found


@dataclass(frozen=True, slots=True)
class Lead:
    """Rows of one index to begin with; ``t`` are their transactions.

    Args:
        condition: which rows of the table.
        table: with its alias.
        join: how the transactions are found, where the rows are others.
        day: the column that bounds the rows by day, and orders them by day where ``by`` says so.
        by: the first columns of the orders that the index gives.
        accounts: those whose rows it is, one after the other; ``condition`` calls the one ``one.id``.
        repeats: whether several rows may be one transaction's.
    """

    condition: Sql
    table: str = "transactions t"
    join: str = ""
    day: str = "t.booked_on"
    by: tuple[str, ...] = ()
    accounts: Sequence[UUID] | None = None
    repeats: bool = False

    def arm(self, select: str, conditions: Sequence[Sql], end: str = "") -> Sql:
        """Return the statement that begins with these rows, for each account in turn where they are accounts'."""
        where = [self.condition, *conditions]
        statement = f"{select} FROM {self.table} {self.join} WHERE " + joined(where, " AND ") + end
        if self.accounts is None:
            return statement
        each = Sql("SELECT found.* FROM unnest(?::uuid[]) AS one (id) CROSS JOIN LATERAL (", self.accounts)
        return each + statement + ") found"

    def count(self, days: Span) -> Sql:
        """Return the expression for how many rows it has, at most :data:`MANY`."""
        rows = replace(self, join="").arm("SELECT", days.conditions(self.day), f" LIMIT {MANY}")
        return "(SELECT count(*) FROM (" + rows + ") counted)"


def _own(condition: str, *values: Any, by: tuple[str, ...] = ()) -> Lead:
    """Return a lead of rows of ``transactions`` itself."""
    return Lead(Sql(f"t.ledger_id = $1 AND NOT t.deleted{condition}", *values), by=by)


def _transactions(condition: str) -> str:
    return f"CROSS JOIN LATERAL (SELECT t.* FROM transactions t WHERE t.ledger_id = $1 AND {condition} OFFSET 0) t"


def _posted(accounts: Sequence[UUID], until: date | None = None) -> tuple[Lead, Lead]:
    """Return the postings of accounts, those from and those to them, until a day."""

    def lead(side: str) -> Lead:
        days = joined([Sql(""), *Span(last=until).conditions("p.booked_on")], " AND ")
        return Lead(
            f"p.ledger_id = $1 AND p.{side}_account_id = one.id" + days,
            "postings p",
            # A posting that was taken back has another sequence than its transaction.
            _transactions("t.id = p.transaction_id AND t.sequence = p.sequence"),
            "p.booked_on",
            ("booked_on",),
            accounts,
            repeats=True,
        )

    return lead("source"), lead("destination")


def _tagged(key: str) -> Lead:
    return Lead(
        Sql("g.ledger_id = $1 AND g.tag_key = ?", key),
        "transaction_tags g",
        _transactions("t.id = g.transaction_id"),
        "g.booked_on",
        ("booked_on",),
    )


@dataclass(frozen=True, slots=True)
class Range:
    """Amounts in minor units of these currencies, from ``low`` to ``high``."""

    currencies: Sequence[str]
    low: int
    high: int

    def condition(self) -> Sql:
        """Return the condition on a transaction; of one currency it also says the order."""
        ends = " AND t.amount_minor >= ? AND t.amount_minor <= ?"
        if len(self.currencies) == 1:
            return Sql(f"t.currency = ?{ends}", self.currencies[0], self.low, self.high)
        return Sql(f"t.currency = ANY (?::text[]){ends}", self.currencies, self.low, self.high)

    def lead(self) -> Lead:
        """Return the rows that it has."""
        condition = self.condition()
        by = ("currency",) if len(self.currencies) == 1 else ()
        return _own(f" AND {condition.text}", *condition.values, by=by)


@dataclass(frozen=True, slots=True)
class Way:
    """Leads that together hold every transaction of one part of a filter.

    Args:
        leads: one, or both sides of postings, or those of terms joined by OR.
        rank: which of two ways with many rows is taken; the smaller usually has fewer.
        counts: whether the rows can be counted; those of words cannot, their index is read whole.
        exact: whether the rows have nothing but what that part means.
        part: the place of the part of the filter that its rows need not be asked for again.
    """

    leads: tuple[Lead, ...]
    rank: int
    counts: bool = True
    exact: bool = True
    part: int | None = None

    def gives(self, sort: Sort) -> bool:
        """Return whether its rows come in this order."""
        return all(sort.by[0] in lead.by for lead in self.leads)


_BY_DAY = Way((_own("", by=("booked_on",)),), rank=8)
_BY_AMOUNT = Way((_own("", by=("currency",)),), rank=8)


@dataclass(frozen=True, slots=True)
class Plan:
    """How a list is found: along ``walk``, in its order; or all of ``gather``, sorted, where the walk is too long."""

    walk: Way | None
    gather: Way | None = None


@dataclass(frozen=True, slots=True)
class Names:
    """What a ledger knows of what a filter says.

    Args:
        accounts: by field and text, the account named so with those merged into it.
        currencies: that amounts may be of.
        equity: the accounts through which exchanges and opening balances go.
        asserted: the accounts that assertions cover, each with the last day that is covered.
    """

    accounts: Mapping[tuple[Field, str], Sequence[UUID]] = field(default_factory=dict)
    currencies: Sequence[str] = ()
    equity: Sequence[UUID] = ()
    asserted: Mapping[UUID, date] = field(default_factory=dict)


async def find_names(connection: Connection, ledger_id: UUID, user_id: UUID, what: Filter) -> Names:
    """Find what a ledger knows of what a filter says, for one of its members; each only where the filter needs it.

    Raises:
        FilterError: it names an account that this ledger does not have, or a category as one.
    """
    terms = list(terms_of(what))
    fields = {term.what for term in terms if isinstance(term, Is)}

    async def ask(statement: str, *arguments: Any) -> Sequence[asyncpg.Record]:
        return await connection.fetch(statement, ledger_id, user_id, *arguments)

    accounts: dict[tuple[Field, str], Sequence[UUID]] = {}
    if named := [term for term in terms if isinstance(term, Is) and term.what in (Field.ACCOUNT, Field.CATEGORY)]:
        keys, ids = [name_key(term.value) for term in named], [id_in(term.value) for term in named]
        rows = await ask(_NAMED, keys, [each for each in ids if each])
        for term, key, wanted in zip(named, keys, ids, strict=True):
            found = [row for row in rows if (row["id"] == wanted if wanted else row["name_key"] == key)]
            if wrong := _wrong_name(term, found[0]["kind"] if found else None):
                raise FilterError(term.position, wrong)
            accounts[term.what, term.value] = [row["account_id"] for row in found]
    of_amounts = any(isinstance(term, Amounts) for term in terms)
    return Names(
        accounts,
        [row["currency"] for row in await ask(_CURRENCIES)] if of_amounts else [],
        [row["id"] for row in await ask(_EQUITY)] if Field.KIND in fields else [],
        {row["account_id"]: row["until"] for row in await ask(_ASSERTED)} if Field.STATUS in fields else {},
    )


def id_in(name: str) -> UUID | None:
    """Return the id that somebody typed where a name may stand."""
    try:
        return UUID(name) if len(name) == len(str(UUID(int=0))) else None
    except ValueError:
        return None


def _wrong_name(term: Is, kind: str | None) -> str | None:
    if kind is None:
        return f"This ledger has no {term.what} called so; look up its spelling in the list of accounts."
    is_category = kind in CATEGORY_KINDS
    if is_category == (term.what is Field.CATEGORY):
        return None
    return "This is a category; write category: before it." if is_category else "This is an account; write account:."


class Selection:
    """The transactions of a ledger that a filter means, for the statements that look for them."""

    def __init__(self, what: Filter | None = None, names: Names | None = None, days: Span | None = None) -> None:
        """Take a filter whose names were found, and days besides those that it says."""
        self._names = names or Names()
        self._days = days or Span()
        parts: list[Filter] = []
        for part in () if what is None else what.parts if isinstance(what, And) else (what,):
            if isinstance(part, Days):
                self._days = self._days.within(part.first, part.last)
            else:
                parts.append(part)
        codes = [part.value for part in parts if isinstance(part, Is) and part.what is Field.CURRENCY]
        self._currencies = codes[:1] or self._names.currencies
        self._conditions = [self._condition(part) for part in parts]
        self._ways: list[Way] = []
        for index, part in enumerate(parts):
            if (way := self._way(part)) is not None:
                self._ways.append(replace(way, part=index if way.exact else None))
        if self._days != Span():
            self._ways.append(_BY_DAY)

    async def choose(self, connection: Connection, ledger_id: UUID, sort: Sort) -> Plan:
        """Choose how a list in this order is found; rows are counted only where there is a choice."""
        if len(self._ways) > 1 or any(way.counts and not way.gives(sort) for way in self._ways):
            count, few = await self._fewest(connection, ledger_id)
            if count < MANY:
                return Plan(few) if few.gives(sort) else Plan(None, few)
        in_order = [way for way in self._ways if way.gives(sort)]
        by_day = _BY_DAY.gives(sort)
        walk = min(in_order, key=lambda way: way.rank, default=_BY_DAY if by_day else _BY_AMOUNT)
        gather = min(self._ways, key=lambda way: (way.counts, way.rank), default=_BY_DAY)
        ends_soon = not self._left(walk) or (by_day and gather.counts)
        return Plan(walk, None if ends_soon else gather)

    async def choose_whole(self, connection: Connection, ledger_id: UUID) -> Way:
        """Choose how all of them are found, in no order."""
        if len(self._ways) > 1:
            return (await self._fewest(connection, ledger_id))[1]
        return self._ways[0] if self._ways else _BY_DAY

    async def _fewest(self, connection: Connection, ledger_id: UUID) -> tuple[int, Way]:
        """Return the way with the fewest rows and how many those are, as far as they are counted."""
        counts: Iterable[int] = ()
        if counted := [way for way in self._ways if way.counts]:
            text, values = self.counts().numbered(2)
            row = await connection.fetchrow(text, ledger_id, *values)
            assert row is not None  # it selects from nothing
            counts = row.values()
        known = [*zip(counts, counted, strict=True), *((MANY, way) for way in self._ways if not way.counts)]
        return min(known, key=lambda pair: (min(pair[0], MANY), pair[1].rank))

    def counts(self) -> Sql:
        """Return the statement for how many rows each way has that can be counted."""
        columns = [joined([lead.count(self._days) for lead in way.leads], " + ") for way in self._ways if way.counts]
        return "SELECT " + joined(columns, ", ")

    def page(self, plan: Plan, sort: Sort, limit: int, after: Sequence[Any] | None = None) -> Sql:
        """Return the statement for the transactions of one page, whole, in its order, from behind those keys on."""
        if plan.walk is None or plan.gather is None:
            way = plan.walk or plan.gather
            assert way is not None
            return self._rows(way, self._left(way), sort, limit, after)
        full = f"(SELECT count(*) FROM {{}}) = {limit}".format
        walked = [("walked", WALKED, "true")]
        if not plan.gather.counts:
            some = f"(SELECT count(*) FROM glanced) BETWEEN {_SOME} AND {limit - 1}"
            walked = [("glanced", _FIRST_WALKED, "true"), ("walked", WALKED, some)]
        tables = [
            f"{name} AS MATERIALIZED (SELECT * FROM ("
            + self._walked(plan.walk, sort, rows, limit, after)
            + f") {name} WHERE {condition})"
            for name, rows, condition in walked
        ]
        return (
            "WITH "
            + joined(tables, ", ")
            + "".join(f" SELECT * FROM {name} WHERE {full(name)} UNION ALL" for name, _, _ in walked)
            + " SELECT * FROM ("
            + self._rows(plan.gather, self._left(plan.gather), sort, limit, after)
            + f") gathered WHERE NOT ({' OR '.join(full(name) for name, _, _ in walked)})"
        )

    def _walked(self, way: Way, sort: Sort, rows: int, limit: int, after: Sequence[Any] | None) -> Sql:
        """Return the statement for those of the first so many rows of a way that fulfil the filter."""
        walked = self._rows(way, [], sort, rows, after)
        order = sort.order(f"t.{column}" for column in sort.by)
        where = joined([Sql("true"), *map(_asked, self._left(way))], " AND ")
        return "SELECT t.* FROM (" + walked + ") t WHERE " + where + f" {order} LIMIT {limit}"

    def whole(self, way: Way, columns: str) -> Sql:
        """Return the statement for these columns of all of them, ``t.id`` the first, in no order."""
        end = _as_written(way)
        arms = [lead.arm(f"SELECT {columns}", self._where(lead, self._left(way)), end) for lead in way.leads]
        if len(arms) == 1 and not way.leads[0].repeats:
            return arms[0]
        return "SELECT DISTINCT ON (t.id) t.* FROM (" + joined(arms, " UNION ALL ") + ") t"

    def _rows(self, way: Way, conditions: Sequence[Sql], sort: Sort, limit: int, after: Sequence[Any] | None) -> Sql:
        """Return the statement for the first rows of a way that fulfil conditions, in an order."""
        keys = [f"t.{column}" for column in sort.by]
        arms = []
        for lead in way.leads:
            if way.gives(sort):
                first = lead.day if sort.by[0] == "booked_on" else keys[0]
                columns = [first, *keys[1:]]
                where = [*self._where(lead, conditions), *_behind(lead, sort, after)]
                arms.append(lead.arm(_select(columns, lead), where, f" {sort.order(columns)} LIMIT {limit}"))
            else:
                where = self._where(lead, [*conditions, *_behind(lead, sort, after)])
                # OFFSET keeps PostgreSQL from walking along the list's order here, too.
                found = lead.arm("SELECT t.*", where, _as_written(way) + " OFFSET 0")
                arms.append(f"{_select(keys, lead)} FROM (" + found + f") t {sort.order(keys)} LIMIT {limit}")
        if len(arms) == 1 and way.leads[0].accounts is None:
            return arms[0]
        united = joined(("(" + arm + ")" for arm in arms), " UNION ALL ")
        return f"SELECT DISTINCT ON ({', '.join(keys)}) t.* FROM (" + united + f") t {sort.order(keys)} LIMIT {limit}"

    def _where(self, lead: Lead, conditions: Sequence[Sql]) -> list[Sql]:
        """Return the conditions besides the lead's own; only days that its index knows help to find its rows."""
        standing = [Sql("NOT t.deleted")] if lead.join else []
        days = self._days.conditions(lead.day)
        if "booked_on" in lead.by:
            return [Sql(MEMBER), *standing, *days, *map(_asked, conditions)]
        return [Sql(MEMBER), *standing, *map(_asked, [*days, *conditions])]

    def _left(self, way: Way) -> list[Sql]:
        """Return the conditions that the rows of a way do not fulfil by themselves."""
        return [condition for index, condition in enumerate(self._conditions) if index != way.part]

    def _condition(self, what: Filter) -> Sql:
        """Return the condition on a transaction ``t``: true or false, never null, which NOT would leave as it is."""
        match what:
            case And(parts):
                return "(" + joined((self._condition(part) for part in parts), " AND ") + ")"
            case Or(parts):
                return "(" + joined((self._condition(part) for part in parts), " OR ") + ")"
            case Not(part):
                return "NOT (" + self._condition(part) + ")"
            case Says(text):
                return Sql(_SAID, _query_of(text))
            case Amounts():
                ranges = self._ranges(what)
                return "(" + joined((each.condition() for each in ranges), " OR ") + ")" if ranges else Sql("false")
            case Days(first, last):
                return "(" + joined(Span(first, last).conditions("t.booked_on"), " AND ") + ")"
            case Is(Field.ACCOUNT | Field.CATEGORY as named, value):
                accounts = self._names.accounts[named, value]
                return Sql(_POSTED, accounts, accounts)
            case Is(Field.TAG, value):
                return Sql(_TAGGED, name_key(value))
            case Is(Field.PAYEE, value):
                return Sql("(t.payee_key IS NOT NULL AND t.payee_key = ?)", name_key(value))
            case Is(Field.EXTERNAL, value):
                return Sql("(t.external_id IS NOT NULL AND t.external_id = ?)", value)
            case Is(Field.STATUS, value):
                reconciled = RECONCILED if self._names.asserted else "false"
                return (
                    Sql(reconciled)
                    if value == Status.RECONCILED
                    else Sql(f"(t.status = ? AND NOT {reconciled})", value)
                )
            case Is(Field.KIND, value):
                return Sql("t.kind = ?", value)
            case Is(_, value):
                return Sql("t.currency = ?", value)

    def _way(self, what: Filter) -> Way | None:
        """Return the way of a part of the filter; ``None`` where no index has its transactions together."""
        match what:
            case And(parts):
                ways = [way for part in parts if (way := self._way(part))]
                best = min(ways, key=lambda way: way.rank, default=None)
                return best and replace(best, exact=False)
            case Or(parts):
                ways = [way for part in parts if (way := self._way(part))]
                if len(ways) < len(parts):
                    return None
                leads = tuple(lead for way in ways for lead in way.leads)
                rank, counts = max(way.rank for way in ways), all(way.counts for way in ways)
                return Way(leads, rank, counts, all(way.exact for way in ways))
            case Is(Field.STATUS, Status.RECONCILED):
                asserted = self._names.asserted
                return Way(_posted(list(asserted), max(asserted.values(), default=None)), rank=7, exact=False)
            case Is(Field.KIND, TransactionKind.EXCHANGE | TransactionKind.OPENING):
                return Way(_posted(self._names.equity), rank=0, exact=False)
            case Is(Field.EXTERNAL, value):
                return Way((_own(" AND t.external_id = ?", value),), rank=0)
            case Is(Field.TAG, value):
                return Way((_tagged(name_key(value)),), rank=1)
            case Is(Field.PAYEE, value):
                return Way((_own(" AND t.payee_key = ?", name_key(value), by=("booked_on",)),), rank=2)
            case Is(Field.ACCOUNT | Field.CATEGORY as named, value):
                accounts = self._names.accounts[named, value]
                rank = 3 if named is Field.CATEGORY else 6
                return Way(_posted(accounts), rank)
            case Says(text):
                return Way((_own(f" AND t.words <> '' AND {_SAID}", _query_of(text)),), rank=4, counts=False)
            case Amounts():
                ranges = self._ranges(what)
                return Way(tuple(each.lead() for each in ranges), rank=5) if ranges else None
            case Is(Field.CURRENCY, value):
                return Way((_own(" AND t.currency = ?", value, by=("currency",)),), rank=7)
            case _:
                return None

    def _ranges(self, amounts: Amounts) -> list[Range]:
        """Return a range in minor units for each exponent among the currencies that amounts may be of."""
        ranges = []
        for exponent, codes in groupby(sorted(self._currencies, key=exponent_of), key=exponent_of):
            low, high = _minor_ends(amounts, exponent)
            if low <= high:
                ranges.append(Range(list(codes), low, high))
        return ranges


def _as_written(way: Way) -> str:
    """Return the order in which all of a ledger is read: by day its rows lie together, by no other index do they."""
    return " ORDER BY t.booked_on" if way is _BY_DAY else ""


def _asked(condition: Sql) -> Sql:
    """Return a condition that PostgreSQL can only ask of rows it has: which index is best it guesses; we counted."""
    return "(" + condition + ") IS TRUE"


def _select(columns: Sequence[str], lead: Lead) -> str:
    return f"SELECT DISTINCT ON ({', '.join(columns)}) t.*" if lead.repeats else "SELECT t.*"


def _behind(lead: Lead, sort: Sort, after: Sequence[Any] | None) -> list[Sql]:
    """Return the conditions that leave out what earlier pages had."""
    if after is None:
        return []
    sign = "<" if sort.startswith("-") else ">"
    keys = ", ".join(f"t.{column}" for column in sort.by)
    behind = [Sql(f"({keys}) {sign} (?, ?, ?)", *after)]
    if lead.join and sort.by[0] == "booked_on":
        behind.append(Sql(f"{lead.day} {sign}= ?", after[0]))
    return behind


def _query_of(text: str) -> str:
    """Return what PostgreSQL looks for: every word, or one that begins so."""
    return " & ".join(f"{word}:*" for word in search_words(text))


def _minor_ends(amounts: Amounts, exponent: int) -> tuple[int, int]:
    """Return the smallest and the largest amount in minor units that is meant."""
    with localcontext(prec=60):
        low, high = (None if end is None else end.scaleb(exponent) for end in (amounts.low, amounts.high))
        smallest = 0 if low is None else int(low.to_integral_value(ROUND_CEILING))
        largest = _MINOR_MAX if high is None else int(high.to_integral_value(ROUND_FLOOR))
    if amounts.beyond:
        smallest += _is_whole(low)
        largest -= _is_whole(high)
    return min(smallest, _MINOR_MAX), min(largest, _MINOR_MAX)


def _is_whole(number: Decimal | None) -> bool:
    return number is not None and number == number.to_integral_value()
