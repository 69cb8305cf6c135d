"""Read balance assertions from the ledger database, each with what the books say now."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Annotated, Any, NamedTuple
from uuid import UUID

import asyncpg
import msgspec

from contracts.money import format_minor
from gateway.queries.balances import HISTORY, MEMBER, balance_on, span_of
from gateway.queries.paging import cursor_text, read_cursor
from gateway.queries.transactions import NamedAccount
from gateway.queries.users import find_usernames
from infra.postgres.engine import Connection, Database

#: How many rows that no statement has covered are shown beside an assertion.
UNCLEARED_MAX = 200
#: How many of an account's latest postings are looked at for them: mostly the first look finds enough.
_LOOKED_AT = (UNCLEARED_MAX * 2, 5000)
#: How many broken assertions are shown with their account.
_BROKEN_MAX = 50


class Assertion(msgspec.Struct, kw_only=True):
    """A statement's balance held against the books.

    ``computed`` is what the books said when it was made, ``balance`` what they say of that day now; ``held`` and
    ``holds`` whether those equal what was ``stated``. ``difference`` is ``balance`` less ``stated``. Once lifted it
    reconciles nothing.
    """

    id: UUID
    account: NamedAccount
    date: date
    currency: str
    stated: str
    computed: str
    held: bool
    balance: str
    difference: str
    holds: bool
    user_id: UUID
    username: str | None
    recorded_at: datetime
    lifted_at: datetime | None


class UnclearedLine(msgspec.Struct, frozen=True, kw_only=True):
    """A pending transaction of an account; ``amount`` is what came into it, below zero what went out."""

    transaction_id: UUID
    date: date
    description: str
    payee: str | None
    accounts: list[NamedAccount]
    amount: str
    currency: str


class AssertionWithRows(Assertion, kw_only=True):
    """An assertion with its account's pending transactions up to that day, the newest first.

    Those that another assertion which held has covered are left out. ``uncleared_more`` says that there may be more.
    """

    uncleared: list[UnclearedLine]
    uncleared_more: bool


class AssertionPage(msgspec.Struct):
    """Assertions, the newest day first, and the cursor of the next page; ``null`` on the last one."""

    items: list[Assertion]
    next_cursor: str | None


class BrokenAssertion(msgspec.Struct, frozen=True, kw_only=True):
    """An assertion that held when it was made and does no more; ``difference`` is ``balance`` less ``stated``."""

    id: UUID
    date: date
    currency: str
    stated: str
    balance: str
    difference: str


class _Keys(NamedTuple):
    """What assertions are ordered by."""

    asserted_on: date
    sequence: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


#: Before everything: PostgreSQL's infinity, and the last sequence there can be.
_NEWEST = _Keys(date.max, 2**63 - 1)

# What one assertion is: `s` with its account `a`, and `now.minor`, what the books say of that day. The OFFSET keeps it
# from being computed where it is compared and again where it is shown.
_COLUMNS = """
s.id, s.account_id, a.name AS account_name, s.asserted_on, s.currency, s.stated_minor, s.computed_minor, s.sequence,
s.user_id, s.recorded_at, s.lifted_at, now.minor
"""
_NOW = f"""
JOIN accounts a ON a.ledger_id = s.ledger_id AND a.id = s.account_id
CROSS JOIN LATERAL (
  SELECT s.account_id, s.currency,
         coalesce((SELECT balance_minor FROM balances
                   WHERE ledger_id = $1 AND account_id = s.account_id AND currency = s.currency), 0) AS balance_minor
) pair
CROSS JOIN LATERAL {span_of("s.asserted_on")}
CROSS JOIN LATERAL (SELECT {balance_on("pair")} AS minor OFFSET 0) now
"""  # noqa: S608  # here and below: built from constants of this module
_BROKEN = "s.stated_minor = s.computed_minor AND now.minor <> s.stated_minor"
_WANTED = f"""
s.ledger_id = $1 AND {MEMBER} AND (s.asserted_on, s.sequence) < ($3, $4::bigint)
AND ($5::uuid IS NULL OR s.account_id = $5) AND ($6 OR s.lifted_at IS NULL)
"""
_ORDER = "ORDER BY s.asserted_on DESC, s.sequence DESC"
_LIST = f"""
WITH {HISTORY}
SELECT {_COLUMNS} FROM (SELECT * FROM assertions s WHERE {_WANTED} {_ORDER} LIMIT $7) s {_NOW} {_ORDER}
"""  # noqa: S608
_LIST_BROKEN = f"""
WITH {HISTORY}
SELECT {_COLUMNS} FROM assertions s {_NOW} WHERE {_WANTED} AND {_BROKEN} {_ORDER} LIMIT $7
"""  # noqa: S608
_ONE = f"""
WITH {HISTORY}
SELECT {_COLUMNS} FROM assertions s {_NOW} WHERE s.ledger_id = $1 AND s.id = $3 AND {MEMBER}
"""  # noqa: S608
_BROKEN_OF_ACCOUNT = f"""
WITH {HISTORY}
SELECT {_COLUMNS} FROM assertions s {_NOW}
WHERE s.ledger_id = $1 AND s.account_id = $3 AND s.lifted_at IS NULL AND {MEMBER} AND {_BROKEN}
ORDER BY s.asserted_on DESC, s.sequence DESC LIMIT $4
"""  # noqa: S608


def _posted(side: str, other: str, sign: str) -> str:
    return f"""
    (SELECT '{side}' AS found_by, sequence, transaction_id, booked_on, {sign}amount_minor AS minor, currency,
            {other}_account_id AS other_id
     FROM postings
     WHERE ledger_id = $1 AND {side}_account_id = $3 AND booked_on <= $4 AND {MEMBER}
       AND booked_on > coalesce((SELECT asserted_on FROM covering), '-infinity')
     ORDER BY booked_on DESC LIMIT $5)
    """  # noqa: S608


_COVERS = "s.ledger_id = $1 AND s.account_id = $3 AND s.lifted_at IS NULL AND s.stated_minor = s.computed_minor"
# An assertion that held covers what the ledger knew then of the days until its own. So what none covers is booked after
# the latest one's day, or was recorded after it: years of covered rows are not looked at.
_UNCLEARED = f"""
WITH covering AS MATERIALIZED (
  SELECT s.asserted_on, s.sequence FROM assertions s
  WHERE {_COVERS} AND {MEMBER} ORDER BY s.asserted_on DESC, s.sequence DESC LIMIT 1
),
late AS MATERIALIZED (
  SELECT * FROM postings
  WHERE ledger_id = $1 AND sequence > (SELECT sequence FROM covering) AND {MEMBER}
  ORDER BY sequence DESC LIMIT $5
),
posted AS MATERIALIZED (
  {_posted("destination", "source", "")} UNION ALL {_posted("source", "destination", "-")}
  UNION ALL
  SELECT 'late', sequence, transaction_id, booked_on,
         CASE WHEN destination_account_id = $3 THEN amount_minor ELSE -amount_minor END, currency,
         CASE WHEN destination_account_id = $3 THEN source_account_id ELSE destination_account_id END
  FROM late
  WHERE $3 IN (source_account_id, destination_account_id)
    AND booked_on <= least((SELECT asserted_on FROM covering), $4)
)
SELECT greatest((SELECT count(*) FROM late),
                (SELECT max(count) FROM (SELECT count(*) FROM posted GROUP BY found_by) counted)) >= $5 AS more, found.*
FROM (SELECT) nothing
LEFT JOIN (
  SELECT t.id, t.booked_on, t.booked_at, t.description, t.payee, posted.currency, sum(posted.minor) AS minor,
         array_agg(r.id ORDER BY r.name_key) AS other_ids, array_agg(r.name ORDER BY r.name_key) AS other_names
  FROM posted
  JOIN transactions t ON t.ledger_id = $1 AND t.id = posted.transaction_id AND t.sequence = posted.sequence
  JOIN accounts o ON o.ledger_id = $1 AND o.id = posted.other_id
  JOIN accounts r ON r.ledger_id = $1 AND r.id = o.root_id
  WHERE NOT t.deleted AND t.status = 'pending' AND NOT EXISTS (
    SELECT FROM assertions s
    WHERE {_COVERS} AND s.asserted_on >= posted.booked_on AND s.sequence > posted.sequence
  )
  GROUP BY t.id, t.booked_on, t.booked_at, t.description, t.payee, posted.currency
  ORDER BY t.booked_on DESC, t.booked_at DESC, t.id DESC LIMIT $6
) found ON true
ORDER BY found.booked_on DESC, found.booked_at DESC, found.id DESC
"""  # noqa: S608


async def list_assertions(
    ledger: Database,
    users: Database,
    ledger_id: UUID,
    user_id: UUID,
    *,
    limit: int,
    cursor: str | None = None,
    account_id: UUID | None = None,
    lifted: bool = False,
    broken: bool = False,
) -> AssertionPage:
    """List a page of a ledger's assertions for one of its members, the newest day first; empty for anybody else.

    Args:
        cursor: ``next_cursor`` of the page before.
        account_id: of one account only.
        lifted: those that were lifted too.
        broken: only those that held when they were made and do no more.

    Raises:
        CursorError: ``cursor`` is none of ours.
    """
    of = f"assertions {account_id} {lifted} {broken}"
    after = read_cursor(cursor, _Keys, of) if cursor is not None else _NEWEST
    async with ledger.connection("list assertions") as connection:
        # One more than asked for says whether there is a next page.
        rows = await connection.fetch(
            _LIST_BROKEN if broken else _LIST, ledger_id, user_id, *after, account_id, lifted, limit + 1
        )
    items = await _named(users, rows[:limit])
    if len(rows) <= limit:
        return AssertionPage(items, None)
    last = rows[limit - 1]
    return AssertionPage(items, cursor_text(_Keys(last["asserted_on"], last["sequence"]), of))


async def find_assertion(
    ledger: Database, users: Database, ledger_id: UUID, user_id: UUID, assertion_id: UUID
) -> AssertionWithRows | None:
    """Find one assertion of a ledger, for one of its members, with the rows no statement has covered."""
    async with ledger.connection("find an assertion") as connection:
        row = await connection.fetchrow(_ONE, ledger_id, user_id, assertion_id)
        if row is None:
            return None
        lines, more = await _list_uncleared(connection, ledger_id, user_id, row["account_id"], row["asserted_on"])
    (assertion,) = await _named(users, [row])
    return AssertionWithRows(**msgspec.structs.asdict(assertion), uncleared=lines, uncleared_more=more)


async def _list_uncleared(
    connection: Connection, ledger_id: UUID, user_id: UUID, account_id: UUID, until: date
) -> tuple[list[UnclearedLine], bool]:
    """List an account's pending transactions that no assertion covers, and whether there may be more."""
    lines: list[UnclearedLine] = []
    more = False
    for looked_at in _LOOKED_AT:
        rows = await connection.fetch(_UNCLEARED, ledger_id, user_id, account_id, until, looked_at, UNCLEARED_MAX + 1)
        lines = [_uncleared(row) for row in rows if row["id"]]
        more = rows[0]["more"] or len(lines) > UNCLEARED_MAX
        if not more or len(lines) > UNCLEARED_MAX:
            break
    return lines[:UNCLEARED_MAX], more


async def list_broken_of(
    connection: Connection, ledger_id: UUID, user_id: UUID, account_id: UUID
) -> list[BrokenAssertion]:
    """List an account's standing assertions that held and do no more, the newest day first, at most fifty."""
    rows = await connection.fetch(_BROKEN_OF_ACCOUNT, ledger_id, user_id, account_id, _BROKEN_MAX)
    return [
        BrokenAssertion(
            id=row["id"],
            date=row["asserted_on"],
            currency=row["currency"],
            stated=_text(row, "stated_minor"),
            balance=_text(row, "minor"),
            difference=format_minor(int(row["minor"] - row["stated_minor"]), row["currency"]),
        )
        for row in rows
    ]


async def _named(users: Database, rows: Sequence[asyncpg.Record]) -> list[Assertion]:
    """Make assertions of rows, with the names of those who made them."""
    names = await find_usernames(users, (row["user_id"] for row in rows))
    return [
        Assertion(
            id=row["id"],
            account=NamedAccount(row["account_id"], row["account_name"]),
            date=row["asserted_on"],
            currency=row["currency"],
            stated=_text(row, "stated_minor"),
            computed=_text(row, "computed_minor"),
            held=row["stated_minor"] == row["computed_minor"],
            balance=_text(row, "minor"),
            difference=format_minor(int(row["minor"] - row["stated_minor"]), row["currency"]),
            holds=row["minor"] == row["stated_minor"],
            user_id=row["user_id"],
            username=names.get(row["user_id"]),
            recorded_at=row["recorded_at"],
            lifted_at=row["lifted_at"],
        )
        for row in rows
    ]


def _uncleared(row: Any) -> UnclearedLine:
    others = dict(zip(row["other_ids"], row["other_names"], strict=True))
    return UnclearedLine(
        transaction_id=row["id"],
        date=row["booked_on"],
        description=row["description"],
        payee=row["payee"],
        accounts=[NamedAccount(account_id, name) for account_id, name in others.items()],
        amount=_text(row, "minor"),
        currency=row["currency"],
    )


def _text(row: Any, column: str) -> str:
    return format_minor(int(row[column]), row["currency"])
