"""Read balances from the ledger database: now, at the end of a day, and as they were known at a moment."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TypeAlias
from uuid import UUID

import asyncpg
import msgspec

from contracts.accounts import AccountKind
from contracts.money import format_minor
from infra.postgres.engine import Connection, Database

#: A database transaction may take so long until others see what it recorded; what is younger may not be all known yet.
SETTLED_AFTER_S = 30


class KindedAccount(msgspec.Struct, frozen=True):
    """An account or category, by id, name and kind."""

    id: UUID
    name: str
    kind: AccountKind


class BalanceLine(msgspec.Struct, frozen=True):
    """What an account holds of one currency: what came in less what went out, as decimal text."""

    account: KindedAccount
    amount: str
    currency: str


@dataclass(frozen=True, slots=True)
class Line:
    """A balance in minor units."""

    account: KindedAccount
    currency: str
    minor: int

    def shown(self) -> BalanceLine:
        """Return it as decimal text."""
        return BalanceLine(self.account, format_minor(self.minor, self.currency), self.currency)


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What a ledger knew at a moment: the postings up to ``sequence``; ``last`` is that of its last entry now.

    ``settled`` says whether no more of that time can come to light.
    """

    sequence: int
    last: int
    settled: bool


# Nothing is booked before or after (years 1900 to 2200); asyncpg makes infinities of the calendar's own ends,
# from which PostgreSQL does not subtract.
_FIRST_DAY, _LAST_DAY = date(1800, 1, 1), date(2300, 12, 31)

MEMBER = "EXISTS (SELECT FROM members WHERE ledger_id = $1 AND user_id = $2)"

_Arguments: TypeAlias = tuple[UUID, UUID, UUID | None, Sequence[AccountKind] | None]

#: An account's postings are summed by themselves where they are at most this part of what else would be.
_BY_ACCOUNT_PART = 4

#: The first and the last day of a ledger's transactions, for :func:`balance_on`.
HISTORY = """
history (first_on, last_on) AS (
  SELECT (SELECT booked_on FROM transactions WHERE ledger_id = $1 AND NOT deleted ORDER BY booked_on LIMIT 1),
         (SELECT booked_on FROM transactions WHERE ledger_id = $1 AND NOT deleted ORDER BY booked_on DESC LIMIT 1)
)
"""


def span_of(day: str) -> str:
    """Return what follows ``CROSS JOIN LATERAL`` to cut time at the edge of a month that is near ``day``.

    The balance at the end of ``day`` is that of the months before ``edge``, plus (``sign`` 1) or less (−1) the postings
    of the few days from ``lower`` until before ``upper``.
    """
    return f"""
      (SELECT CASE WHEN half.first THEN half.month ELSE half.month_after END AS edge,
              CASE WHEN half.first THEN half.month ELSE {day} + 1 END AS lower,
              CASE WHEN half.first THEN {day} + 1 ELSE half.month_after END AS upper,
              CASE WHEN half.first THEN 1 ELSE -1 END AS sign
       FROM (SELECT extract(day FROM {day}) <= 15 AS first,
                    date_trunc('month', {day}::timestamp)::date AS month,
                    (date_trunc('month', {day}::timestamp) + interval '1 month')::date AS month_after) half) span
    """  # noqa: S608  # a column's name


def balance_on(pair: str) -> str:
    """Return the expression for what ``pair`` (an account, a currency and their balance now) held at a day's end.

    Needs :data:`HISTORY` and :func:`span_of` beside it. Months are summed from the end of history that is nearer.
    """
    months = (
        f"SELECT coalesce(sum(incoming_minor - outgoing_minor), 0) FROM monthly_balances "  # noqa: S608
        f"WHERE ledger_id = $1 AND account_id = {pair}.account_id AND currency = {pair}.currency AND month"
    )

    def posted(side: str) -> str:
        return (
            f"SELECT coalesce(sum(amount_minor), 0) FROM postings "  # noqa: S608
            f"WHERE ledger_id = $1 AND {side}_account_id = {pair}.account_id AND currency = {pair}.currency "
            f"AND booked_on >= span.lower AND booked_on < span.upper"
        )

    return f"""
      CASE WHEN (SELECT span.edge - first_on < last_on - span.edge FROM history)
        THEN ({months} < span.edge)
        ELSE {pair}.balance_minor - ({months} >= span.edge) END
      + span.sign * (({posted("destination")}) - ({posted("source")}))
    """  # noqa: S608


#: The order in which accounts ``r`` are listed: what is owned and owed first, then as people arranged it.
ACCOUNT_ORDER = """
array_position('{asset,liability,income,expense,equity}'::text[], r.kind), r.position, r.group_name, r.name_key
"""
# Parameters: $1 ledger, $2 member, $3 one account or null for all, $4 kinds or null for all.
_WANTED = f"""
a.ledger_id = $1 AND {MEMBER} AND ($3::uuid IS NULL OR a.root_id = $3) AND ($4::text[] IS NULL OR a.kind = ANY ($4))
"""
_PAIRS = f"""
pairs (account_id, currency, balance_minor) AS (
  SELECT b.account_id, b.currency, b.balance_minor
  FROM accounts a JOIN balances b ON b.ledger_id = a.ledger_id AND b.account_id = a.id
  WHERE {_WANTED}
)
"""  # noqa: S608  # here and below: built from constants of this module
#: What was moved, by account, becomes balances of the accounts that stand for them now.
_LINES = f"""
r.id, r.name, r.kind, moved.currency, sum(moved.minor) AS balance_minor
FROM moved
JOIN accounts a ON a.ledger_id = $1 AND a.id = moved.account_id
JOIN accounts r ON r.ledger_id = $1 AND r.id = a.root_id
WHERE {_WANTED}
GROUP BY r.kind, r.position, r.group_name, r.name_key, r.id, r.name, moved.currency
HAVING sum(moved.minor) <> 0
ORDER BY {ACCOUNT_ORDER}, moved.currency
"""
_STOOD = f"""
  pairs.account_id, pairs.currency, {balance_on("pairs")}
  FROM pairs CROSS JOIN LATERAL {span_of("$5::date")}
"""


def _recorded(condition: str) -> str:
    """Return what was posted until day $5 under a condition, summed before anything is joined to so many rows.

    The order makes it the primary key that they are read by: an account's index would read all that it ever had.
    """
    return f"""
    recorded AS MATERIALIZED (
      SELECT source_account_id, destination_account_id, currency, sum(amount_minor) AS minor
      FROM (SELECT * FROM postings WHERE ledger_id = $1 AND {condition} AND {MEMBER} ORDER BY sequence) known
      WHERE booked_on <= $5::date
      GROUP BY source_account_id, destination_account_id, currency
    )
    """  # noqa: S608


_NOW = f"""
WITH {_PAIRS}, moved (account_id, currency, minor) AS MATERIALIZED (SELECT * FROM pairs)
SELECT {_LINES}
"""  # noqa: S608
_ON = f"""
WITH {HISTORY}, {_PAIRS}, moved (account_id, currency, minor) AS MATERIALIZED (SELECT {_STOOD})
SELECT {_LINES}
"""
_KNOWN_BY_LATER = f"""
WITH {HISTORY}, {_PAIRS}, {_recorded("sequence > $6::bigint")},
moved (account_id, currency, minor) AS MATERIALIZED (
  SELECT {_STOOD}
  UNION ALL SELECT source_account_id, currency, minor FROM recorded
  UNION ALL SELECT destination_account_id, currency, -minor FROM recorded
)
SELECT {_LINES}
"""  # noqa: S608
_KNOWN_BY_EARLIER = f"""
WITH {_recorded("sequence <= $6::bigint")},
moved (account_id, currency, minor) AS MATERIALIZED (
  SELECT source_account_id, currency, -minor FROM recorded
  UNION ALL SELECT destination_account_id, currency, minor FROM recorded
)
SELECT {_LINES}
"""  # noqa: S608
# By the accounts' own postings, where they are fewer than what all accounts had on the smaller side.
_KNOWN_BY_ACCOUNT = f"""
WITH moved (account_id, currency, minor) AS MATERIALIZED (
  SELECT a.id, p.currency, sum(p.amount_minor)
  FROM accounts a JOIN postings p ON p.ledger_id = $1 AND p.destination_account_id = a.id
  WHERE {_WANTED} AND p.booked_on <= $5::date AND p.sequence <= $6::bigint
  GROUP BY a.id, p.currency
  UNION ALL
  SELECT a.id, p.currency, -sum(p.amount_minor)
  FROM accounts a JOIN postings p ON p.ledger_id = $1 AND p.source_account_id = a.id
  WHERE {_WANTED} AND p.booked_on <= $5::date AND p.sequence <= $6::bigint
  GROUP BY a.id, p.currency
)
SELECT {_LINES}
"""  # noqa: S608
_COUNT_UP_TO = f"""
SELECT count(*) FROM (
  (SELECT FROM accounts a JOIN postings p ON p.ledger_id = $1 AND p.destination_account_id = a.id
   WHERE {_WANTED} LIMIT $5)
  UNION ALL
  (SELECT FROM accounts a JOIN postings p ON p.ledger_id = $1 AND p.source_account_id = a.id
   WHERE {_WANTED} LIMIT $5)
) counted
"""  # noqa: S608
# Postings' recorded_at never goes back as their sequence goes on, so the last one known at $3 is searched for by
# halves: each step looks at one posting by the primary key. Other entries have sequences too, hence the first posting
# from the middle on.
_KNOWLEDGE = f"""
WITH RECURSIVE search (low, high) AS (
  SELECT 0::bigint, sequence FROM ledgers WHERE id = $1 AND {MEMBER}
  UNION ALL
  SELECT CASE WHEN found.recorded_at <= $3 THEN found.sequence ELSE low END,
         CASE WHEN found.recorded_at <= $3 THEN high ELSE half.middle - 1 END
  FROM search
  CROSS JOIN LATERAL (SELECT (low + high + 1) / 2 AS middle) half
  LEFT JOIN LATERAL (
    SELECT sequence, recorded_at FROM postings
    WHERE ledger_id = $1 AND sequence >= half.middle AND sequence <= high
    ORDER BY sequence LIMIT 1
  ) found ON true
  WHERE low < high
)
SELECT (SELECT low FROM search WHERE low >= high) AS sequence,
       (SELECT sequence FROM ledgers WHERE id = $1) AS last,
       $3 <= now() - $4::float8 * interval '1 second' AS settled
"""  # noqa: S608


async def find_knowledge(ledger: Database, ledger_id: UUID, user_id: UUID, known_at: datetime) -> Knowledge:
    """Find what a ledger knew at a moment, for one of its members: nothing for anybody else.

    How long ago that moment was is judged by the database's clock, which also says when something was recorded.
    """
    async with ledger.connection("find what was known") as connection:
        row = await connection.fetchrow(_KNOWLEDGE, ledger_id, user_id, known_at, SETTLED_AFTER_S)
    assert row is not None  # it selects from nothing
    return Knowledge(row["sequence"] or 0, row["last"] or 0, row["settled"])


async def list_balances(
    ledger: Database,
    ledger_id: UUID,
    user_id: UUID,
    *,
    account_id: UUID | None = None,
    kinds: Sequence[AccountKind] | None = None,
    on: date | None = None,
    knowledge: Knowledge | None = None,
) -> list[Line]:
    """List what is not zero of a ledger's accounts, by account and currency, for a member; empty for anybody else.

    Args:
        account_id: of one account only, with those merged into it.
        kinds: of accounts of these kinds only.
        on: at the end of this day; absent: with everything booked, be it in the future.
        knowledge: of the postings known then only.
    """
    arguments = (ledger_id, user_id, account_id, kinds)
    async with ledger.connection("list balances") as connection:
        if knowledge is not None:
            statement = await _shortest_way(connection, arguments, knowledge)
            rows = await connection.fetch(statement, *arguments, within_books(on or _LAST_DAY), knowledge.sequence)
        elif on is not None:
            rows = await connection.fetch(_ON, *arguments, within_books(on))
        else:
            rows = await connection.fetch(_NOW, *arguments)
    return [_line(row) for row in rows]


async def _shortest_way(connection: Connection, arguments: _Arguments, knowledge: Knowledge) -> str:
    """Return the statement that has the least to sum; all come to the same."""
    earlier, later = knowledge.sequence, knowledge.last - knowledge.sequence
    _, _, account_id, _ = arguments
    # Postings are read by their account in no order of the disk, so a few only are worth it.
    few = min(earlier, later) // _BY_ACCOUNT_PART
    if account_id is not None and few > 0 and await connection.fetchval(_COUNT_UP_TO, *arguments, few + 1) <= few:
        return _KNOWN_BY_ACCOUNT
    return _KNOWN_BY_LATER if later < earlier else _KNOWN_BY_EARLIER


def within_books(day: date) -> date:
    """Return the day, or one that is as good where nothing can be booked."""
    return min(max(day, _FIRST_DAY), _LAST_DAY)


def _line(row: asyncpg.Record) -> Line:
    account = KindedAccount(row["id"], row["name"], AccountKind(row["kind"]))
    return Line(account, row["currency"], int(row["balance_minor"]))
