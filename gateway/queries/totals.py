"""Read totals: by category, payee, tag or account, over months, quarters, years or any days, per currency."""

# Statements are put together here, of constants; what people typed is only ever a parameter's value.
# ruff: noqa: S608

from calendar import monthrange
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from uuid import UUID

import asyncpg
import msgspec

from contracts.accounts import CATEGORY_KINDS, MONEY_KINDS, AccountKind
from contracts.filters import Filter
from contracts.money import format_minor
from contracts.text import name_key
from gateway.queries.filters import MEMBER, Selection, Span, Sql, Way, find_names
from infra.postgres.engine import Database

#: Where there are more, those of the largest amounts are listed.
LINES_MAX = 10_000


class By(StrEnum):
    """What totals are of."""

    CATEGORY = "category"
    ACCOUNT = "account"
    PAYEE = "payee"
    TAG = "tag"


class Period(StrEnum):
    """How long the periods are; ``all`` is one for all days."""

    MONTH = "month"
    QUARTER = "quarter"
    YEAR = "year"
    ALL = "all"

    def label(self, first: date | None) -> str | None:
        """Return what a period is called: ``2026-03``, ``2026-Q1``, ``2026``."""
        if first is None or self is Period.ALL:
            return None
        if self is Period.QUARTER:
            return f"{first.year:04}-Q{(first.month + 2) // 3}"
        return f"{first.year:04}-{first.month:02}" if self is Period.MONTH else f"{first.year:04}"


class TotalLine(msgspec.Struct, kw_only=True):
    """A total of one period and currency; lines of zero are left out.

    ``id`` and ``kind`` are there where it is of a category or account. ``name`` is null for what has no payee, or no
    tag. ``period`` is ``2026-03``, ``2026-Q1`` or ``2026``, and null where it is of all days. ``amount`` is decimal
    text: what came in less what went out, so of a category of expense what was spent, and income is below zero; by
    payee and tag the same of all categories.
    """

    id: UUID | None
    name: str | None
    kind: AccountKind | None
    period: str | None
    currency: str
    amount: str


class Totals(msgspec.Struct, kw_only=True, rename={"first": "from", "last": "to"}):
    """Totals by period, kind, currency, and the largest first; ``more`` says that there are more than one answer has.

    ``from`` and ``to`` are as asked, both included; null is without end.
    """

    by: By
    period: Period
    first: date | None
    last: date | None
    items: list[TotalLine]
    more: bool


def _period_of(day: str) -> str:
    """Return the first day of the period, which $3 names, that a day is in; of all days there is none."""
    return f"CASE WHEN $3::text = 'all' THEN NULL ELSE date_trunc($3::text, {day}::timestamp)::date END"


def _by_account(moved: Sql | str) -> Sql:
    """Return the totals of what was moved, by account, as those of the accounts of kinds $4 that stand for them now."""
    return (
        "WITH moved (account_id, currency, day, minor) AS ("
        + (moved if isinstance(moved, Sql) else Sql(moved))
        + f""")
        SELECT r.id, r.name, r.kind, summed.period, summed.currency, sum(summed.minor) AS minor
        FROM (
          SELECT account_id, currency, {_period_of("day")} AS period, sum(minor) AS minor
          FROM moved GROUP BY 1, 2, 3
        ) summed
        JOIN accounts a ON a.ledger_id = $1 AND a.id = summed.account_id
        JOIN accounts r ON r.ledger_id = $1 AND r.id = a.root_id
        WHERE r.kind = ANY ($4::text[]) AND {MEMBER}
        GROUP BY 1, 2, 3, 4, 5
        HAVING sum(summed.minor) <> 0
        ORDER BY abs(sum(summed.minor)) DESC, r.id, summed.period, summed.currency
        LIMIT {LINES_MAX + 1}
        """
    )


def _of_days(side: str, sign: str) -> str:
    # OFFSET 0 keeps it an account after the other, each by its index.
    return f"""
    SELECT a.id, p.currency, p.booked_on, {sign}p.amount_minor
    FROM accounts a CROSS JOIN unnest($7::date[], $8::date[]) AS days (lower, upper) CROSS JOIN LATERAL (
      SELECT currency, booked_on, amount_minor FROM postings
      WHERE ledger_id = $1 AND {side}_account_id = a.id AND booked_on >= days.lower AND booked_on <= days.upper OFFSET 0
    ) p
    WHERE a.ledger_id = $1 AND a.kind = ANY ($4::text[]) AND {MEMBER}
    """


# Whole months, $5 to $6 by their first days, are read from their totals; the days before and after from the postings.
_WHOLE = _by_account(
    f"""
    SELECT a.id, m.currency, m.month, m.incoming_minor - m.outgoing_minor
    FROM accounts a JOIN monthly_balances m ON m.ledger_id = $1 AND m.account_id = a.id
    WHERE a.ledger_id = $1 AND a.kind = ANY ($4::text[]) AND {MEMBER} AND m.month >= $5 AND m.month <= $6
    UNION ALL {_of_days("destination", "")}
    UNION ALL {_of_days("source", "-")}
    """
).text


def _of_transactions(rows: Sql) -> Sql:
    """Return what these transactions moved, by account."""
    return (
        "SELECT side.account_id, p.currency, t.booked_on, side.minor FROM ("
        + rows
        + """) t JOIN postings p ON p.ledger_id = $1 AND p.sequence = t.sequence
        CROSS JOIN LATERAL (
          VALUES (p.destination_account_id, p.amount_minor), (p.source_account_id, -p.amount_minor)
        ) side (account_id, minor)
        """
    )


def _by_head(rows: Sql, key: str, name: str, join: str = "") -> Sql:
    """Return what transactions gave to their categories, by one of their columns; transfers and the like have none."""
    minor = "sum(CASE t.kind WHEN 'expense' THEN t.amount_minor ELSE -t.amount_minor END)"
    return (
        f"SELECT {key} AS key, max({name}) AS name, {_period_of('t.booked_on')} AS period, t.currency, {minor} AS minor"
        + " FROM ("
        + rows
        + f""") t {join}
        WHERE t.kind IN ('expense', 'income', 'refund')
        GROUP BY 1, 3, 4
        HAVING {minor} <> 0
        ORDER BY abs({minor}) DESC, 1, 3, 4
        LIMIT {LINES_MAX + 1}
        """
    )


def _by_payee(rows: Sql) -> Sql:
    return _by_head(rows, "t.payee_key", "t.payee")


def _by_tag(rows: Sql) -> Sql:
    # One without tags is a row all the same.
    tags = "CROSS JOIN LATERAL unnest(CASE t.tags WHEN '{}' THEN ARRAY[NULL] ELSE t.tags END) AS tag (name)"
    return _by_head(rows, "tag.name", "tag.name", tags)


def totals_statement(by: By, selection: Selection, way: Way) -> Sql:
    """Return the statement for totals of the transactions of a selection, found that way; $3 is the period."""
    if by in (By.CATEGORY, By.ACCOUNT):
        return _by_account(_of_transactions(selection.whole(way, "t.id, t.sequence, t.booked_on")))
    found = selection.whole(way, _HEAD)
    return _by_payee(found) if by is By.PAYEE else _by_tag(found)


async def find_totals(
    ledger: Database,
    ledger_id: UUID,
    user_id: UUID,
    *,
    by: By,
    period: Period = Period.ALL,
    first: date | None = None,
    last: date | None = None,
    what: Filter | None = None,
) -> Totals:
    """Find a ledger's totals for one of its members; none for anybody else.

    Days from ``first`` to ``last`` count, both included. With a filter it is the transactions it means that count, of
    each the whole.

    Raises:
        FilterError: the filter names an account that this ledger does not have.
    """
    of_accounts = by in (By.CATEGORY, By.ACCOUNT)
    kinds = sorted(CATEGORY_KINDS if by is By.CATEGORY else MONEY_KINDS)
    fixed = (ledger_id, user_id, period, kinds) if of_accounts else (ledger_id, user_id, period)
    async with ledger.connection("find totals") as connection:
        if of_accounts and what is None:
            rows = await connection.fetch(_WHOLE, *fixed, *_cut(first, last))
        else:
            names = None if what is None else await find_names(connection, ledger_id, user_id, what)
            selection = Selection(what, names, Span(first, last))
            way = await selection.choose_whole(connection, ledger_id)
            statement = totals_statement(by, selection, way)
            text, values = statement.numbered(len(fixed) + 1)
            rows = await connection.fetch(text, *fixed, *values)
    read = _account_totals if of_accounts else _named_totals
    found_totals = sorted(
        read(rows[:LINES_MAX]),
        key=lambda one: (one.period or date.min, one.kind and _KINDS.index(one.kind), one.currency, -abs(one.minor)),
    )
    items = [one.shown(period) for one in found_totals]
    return Totals(by=by, period=period, first=first, last=last, items=items, more=len(rows) > LINES_MAX)


_HEAD = "t.id, t.booked_on, t.kind, t.currency, t.amount_minor, t.payee_key, t.payee, t.tags"
_KINDS = list(AccountKind)


@dataclass(frozen=True, slots=True)
class _Total:
    """A total in minor units; ``period`` is its first day."""

    id: UUID | None
    name: str | None
    kind: AccountKind | None
    period: date | None
    currency: str
    minor: int

    def shown(self, period: Period) -> TotalLine:
        """Return it as decimal text."""
        return TotalLine(
            id=self.id,
            name=self.name,
            kind=self.kind,
            period=period.label(self.period),
            currency=self.currency,
            amount=format_minor(self.minor, self.currency),
        )


def _account_totals(rows: Sequence[asyncpg.Record]) -> Iterator[_Total]:
    for row in rows:
        yield _Total(
            row["id"], row["name"], AccountKind(row["kind"]), row["period"], row["currency"], int(row["minor"])
        )


def _named_totals(rows: Sequence[asyncpg.Record]) -> Iterator[_Total]:
    """Make totals of rows by name; those of one name however it is spelled are one."""
    sums: dict[tuple[str | None, date | None, str], int] = {}
    names: dict[str | None, str | None] = {}
    for row in rows:
        key = None if row["name"] is None else name_key(row["name"])
        names.setdefault(key, row["name"])
        place = key, row["period"], row["currency"]
        sums[place] = sums.get(place, 0) + int(row["minor"])
    for (key, period, currency), minor in sums.items():
        if minor:
            yield _Total(None, names[key], None, period, currency, minor)


def _cut(first: date | None, last: date | None) -> tuple[date, date, list[date], list[date]]:
    """Cut days into whole months and what is left.

    Returns:
        The first days of the first and of the last whole month, the earlier one later where there is none; then the
        first days of the stretches that are left, and their last days.
    """
    lower, upper = first or date.min, last or date.max
    begin = lower.year * 12 + lower.month - 1 + (lower.day > 1)
    end = upper.year * 12 + upper.month - 1 - (upper.day < monthrange(upper.year, upper.month)[1])
    if begin > end:
        return date.max, date.min, [lower], [upper]
    stretches = []
    if lower < _month(begin):
        stretches.append((lower, _month(begin) - timedelta(1)))
    if upper.year * 12 + upper.month - 1 > end:
        stretches.append((_month(end + 1), upper))
    return _month(begin), _month(end), [each[0] for each in stretches], [each[1] for each in stretches]


def _month(number: int) -> date:
    return date(number // 12, number % 12 + 1, 1)
