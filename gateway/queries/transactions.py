"""Read transactions from the ledger database: pages of a list, sorted and filtered, and one by its id."""

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from itertools import groupby
from operator import itemgetter
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from contracts.accounts import AccountKind
from contracts.filters import Filter, Status, filter_text
from contracts.money import format_minor
from contracts.transactions import TransactionKind
from gateway.queries.filters import MEMBER, Selection, Sort, Sql, find_names
from gateway.queries.paging import AmountKeys, DayKeys, cursor_text, read_cursor
from infra.postgres.engine import Connection, Database


class NamedAccount(msgspec.Struct, frozen=True):
    """An account or category, by id and name; one that was merged into another is shown as that."""

    id: UUID
    name: str


class PostingLine(msgspec.Struct, frozen=True):
    """A positive amount moved from a source account to a destination account; ``amount`` is decimal text."""

    source: NamedAccount
    destination: NamedAccount
    amount: str
    currency: str


class SplitLine(msgspec.Struct, frozen=True):
    """A part of a transaction that belongs to one category; ``amount`` is in the transaction's currency."""

    amount: str
    category: NamedAccount


class Transaction(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A recorded transaction. ``amount`` is decimal text; ``date`` the calendar day it counts on.

    ``version`` names how it stands (its ETag); ``revision`` counts the changes of its money. ``splits`` are there where
    it has several categories, ``to_account`` where it goes to another account, and what arrives there where that is of
    another currency. The rest is always there.
    """

    id: UUID
    version: int
    revision: int
    kind: TransactionKind
    amount: str
    currency: str
    category: NamedAccount | None
    splits: list[SplitLine] | None = None
    account: NamedAccount
    to_account: NamedAccount | None = None
    to_amount: str | None = None
    to_currency: str | None = None
    rate: str | None = None
    description: str
    payee: str | None
    tags: list[str]
    note: str | None
    status: Status
    external_id: str | None
    date: date
    booked_at: datetime
    recorded_at: datetime
    deleted: bool
    postings: list[PostingLine]


class TransactionPage(msgspec.Struct):
    """Transactions, and the cursor of the next page; ``null`` on the last one."""

    items: list[Transaction]
    next_cursor: str | None


#: What a transaction ``t`` and its postings ``p`` have for :func:`read_transaction`; one row per posting.
_STATE = """
t.id, t.version, t.revision, t.kind, t.amount_minor, t.currency, t.rate, t.description, t.payee, t.tags, t.note,
t.status, t.external_id, t.booked_on, t.booked_at, t.recorded_at, t.deleted,
p.amount_minor AS posted_minor, p.currency AS posted_currency, s.id AS source_id, s.name AS source_name,
s.kind AS source_kind, d.id AS destination_id, d.name AS destination_name
"""
#: As that, with whether an assertion covers it.
COLUMNS = f"""{_STATE}, EXISTS (
  SELECT FROM assertions held
  WHERE held.ledger_id = t.ledger_id AND held.account_id IN (p.source_account_id, p.destination_account_id)
    AND held.lifted_at IS NULL AND held.stated_minor = held.computed_minor
    AND held.asserted_on >= t.booked_on AND held.sequence > t.sequence
) AS reconciled
"""
#: As that, by the status that was set, whatever covers it now: of earlier versions.
COLUMNS_AS_SET = f"{_STATE}, false AS reconciled"


def _account_of(side: str) -> str:
    return f"""
    SELECT root.id, root.name, root.kind
    FROM accounts own JOIN accounts root ON root.ledger_id = own.ledger_id AND root.id = own.root_id
    WHERE own.ledger_id = t.ledger_id AND own.id = p.{side}_account_id LIMIT 1
    """  # noqa: S608  # here and below: built from constants


#: Row by row from ``t`` on, which OFFSET and LIMIT keep so: begun from the accounts, every posting would be read.
JOINS = f"""
CROSS JOIN LATERAL (
  SELECT * FROM postings WHERE ledger_id = t.ledger_id AND sequence = t.sequence AND transaction_id = t.id OFFSET 0
) p
CROSS JOIN LATERAL ({_account_of("source")}) s
CROSS JOIN LATERAL ({_account_of("destination")}) d
"""  # noqa: S608
_NEWEST = "ORDER BY booked_on DESC, booked_at DESC, id DESC"

# What is asked most: the newest, not filtered.
_FIRST_PAGE = f"""
SELECT {COLUMNS}
FROM (SELECT * FROM transactions WHERE ledger_id = $1 AND NOT deleted AND {MEMBER} {_NEWEST} LIMIT $3) t {JOINS}
ORDER BY t.booked_on DESC, t.booked_at DESC, t.id DESC, p.position
"""  # noqa: S608
_NEXT_PAGE = f"""
SELECT {COLUMNS}
FROM (SELECT * FROM transactions
      WHERE ledger_id = $1 AND NOT deleted AND {MEMBER} AND (booked_on, booked_at, id) < ($4, $5, $6)
      {_NEWEST} LIMIT $3) t {JOINS}
ORDER BY t.booked_on DESC, t.booked_at DESC, t.id DESC, p.position
"""  # noqa: S608
_ONE = f"""
SELECT {COLUMNS} FROM transactions t {JOINS}
WHERE t.ledger_id = $1 AND t.id = $3 AND {MEMBER}
ORDER BY p.position
"""  # noqa: S608


async def list_transactions(
    ledger: Database,
    ledger_id: UUID,
    user_id: UUID,
    *,
    limit: int,
    cursor: str | None = None,
    sort: Sort = Sort.NEWEST,
    what: Filter | None = None,
) -> TransactionPage:
    """List a page of a ledger's transactions for one of its members; empty for anybody else.

    Raises:
        CursorError: the cursor is not one of this list, sorted and filtered so.
        FilterError: the filter names an account that this ledger does not have.
    """
    of = f"transactions {sort} {'' if what is None else filter_text(what)}"
    keys = DayKeys if sort.by == DayKeys._fields else AmountKeys
    after = None if cursor is None else read_cursor(cursor, keys, of)
    async with ledger.connection("list transactions") as connection:
        # One more than asked for says whether there is a next page.
        rows = await _fetch(connection, ledger_id, user_id, limit + 1, after, sort, what)
    lines = [list(group) for _, group in groupby(rows, key=itemgetter("id"))]
    items = [read_transaction(each) for each in lines[:limit]]
    if len(lines) <= limit:
        return TransactionPage(items, None)
    last = lines[limit - 1][0]
    return TransactionPage(items, cursor_text(keys(*(last[column] for column in sort.by)), of))


async def _fetch(
    connection: Connection,
    ledger_id: UUID,
    user_id: UUID,
    limit: int,
    after: Sequence[Any] | None,
    sort: Sort,
    what: Filter | None,
) -> Sequence[asyncpg.Record]:
    if what is None and sort is Sort.NEWEST:
        if after is None:
            return await connection.fetch(_FIRST_PAGE, ledger_id, user_id, limit)
        return await connection.fetch(_NEXT_PAGE, ledger_id, user_id, limit, *after)
    names = None if what is None else await find_names(connection, ledger_id, user_id, what)
    selection = Selection(what, names)
    plan = await selection.choose(connection, ledger_id, sort)
    statement, values = shown(selection.page(plan, sort, limit, after), sort).numbered(3)
    return await connection.fetch(statement, ledger_id, user_id, *values)


def shown(page: Sql, sort: Sort) -> Sql:
    """Return the statement for the transactions of a page with their postings, in its order."""
    order = sort.order(f"t.{column}" for column in sort.by)
    return f"SELECT {COLUMNS} FROM (" + page + f") t {JOINS} {order}, p.position"  # noqa: S608


async def find_transaction(
    ledger: Database, ledger_id: UUID, user_id: UUID, transaction_id: UUID
) -> Transaction | None:
    """Find one transaction of a ledger, for one of its members; also one that was deleted, as it was."""
    async with ledger.connection("find a transaction") as connection:
        rows = await connection.fetch(_ONE, ledger_id, user_id, transaction_id)
    return read_transaction(rows) if rows else None


def read_transactions(rows: Sequence[asyncpg.Record]) -> Iterator[Transaction]:
    """Make transactions of rows that have :data:`COLUMNS`; the rows of one transaction follow each other."""
    for _, lines in groupby(rows, key=itemgetter("id")):
        yield read_transaction(list(lines))


def read_transaction(rows: Sequence[asyncpg.Record]) -> Transaction:
    """Make one transaction of its rows, a posting each."""
    first, last = rows[0], rows[-1]
    postings = [_posting(row) for row in rows]
    kind, currency = TransactionKind(first["kind"]), first["currency"]
    transaction = Transaction(
        id=first["id"],
        version=first["version"],
        revision=first["revision"],
        kind=kind,
        amount=format_minor(first["amount_minor"], currency),
        currency=currency,
        category=None,
        account=postings[0].source,
        description=first["description"],
        payee=first["payee"],
        tags=first["tags"],
        note=first["note"],
        status=Status.RECONCILED if any(row["reconciled"] for row in rows) else Status(first["status"]),
        external_id=first["external_id"],
        date=first["booked_on"],
        booked_at=first["booked_at"],
        recorded_at=first["recorded_at"],
        deleted=first["deleted"],
        postings=postings,
    )
    if kind is TransactionKind.EXPENSE:
        _categorise(transaction, [posting.destination for posting in postings])
    elif kind in (TransactionKind.INCOME, TransactionKind.REFUND):
        transaction.account = postings[0].destination
        _categorise(transaction, [posting.source for posting in postings])
    elif kind is TransactionKind.TRANSFER:
        transaction.to_account = postings[0].destination
    elif kind is TransactionKind.EXCHANGE:
        # The two postings meet in the equity account that exchanges go through.
        transaction.to_account = postings[-1].destination
        transaction.to_amount, transaction.to_currency = postings[-1].amount, last["posted_currency"]
        transaction.rate = first["rate"]
    elif first["source_kind"] == AccountKind.EQUITY:
        transaction.account = postings[0].destination
    return transaction


def _categorise(transaction: Transaction, categories: Sequence[NamedAccount]) -> None:
    if len(categories) == 1:
        transaction.category = categories[0]
    else:
        transaction.splits = [
            SplitLine(posting.amount, category)
            for posting, category in zip(transaction.postings, categories, strict=True)
        ]


def _posting(row: asyncpg.Record) -> PostingLine:
    return PostingLine(
        NamedAccount(row["source_id"], row["source_name"]),
        NamedAccount(row["destination_id"], row["destination_name"]),
        format_minor(row["posted_minor"], row["posted_currency"]),
        row["posted_currency"],
    )
