"""Read an account's register: its transactions, the newest first, each with the balance after it."""

from collections.abc import Sequence
from datetime import date
from itertools import groupby
from operator import itemgetter
from uuid import UUID

import asyncpg
import msgspec

from contracts.filters import Status
from contracts.money import format_minor
from contracts.transactions import TransactionKind
from gateway.queries.balances import HISTORY, balance_on, span_of
from gateway.queries.filters import MEMBER
from gateway.queries.paging import DayKeys, cursor_text, read_cursor
from gateway.queries.transactions import COLUMNS, JOINS, NamedAccount, Transaction, read_transaction
from infra.postgres.engine import Database


class RegisterLine(msgspec.Struct, kw_only=True):
    """What a transaction did to an account; one of several currencies has a line for each.

    ``amount`` is what came in, below zero what went out; ``balance`` what was in the account after it, of that
    currency. ``accounts`` are those on the other side.
    """

    transaction_id: UUID
    date: date
    kind: TransactionKind
    description: str
    payee: str | None
    status: Status
    accounts: list[NamedAccount]
    amount: str
    currency: str
    balance: str


class RegisterPage(msgspec.Struct):
    """Lines of an account's register, the newest first, and the cursor of the next page; ``null`` on the last one."""

    account: NamedAccount
    items: list[RegisterLine]
    next_cursor: str | None


_ACCOUNT = f"""
SELECT r.id, r.name FROM accounts a JOIN accounts r ON r.ledger_id = $1 AND r.id = a.root_id
WHERE a.ledger_id = $1 AND a.id = $3 AND {MEMBER}
"""  # noqa: S608  # here and below: built from constants
_NEWEST = "ORDER BY booked_on DESC, booked_at DESC, id DESC"


def _side(side: str, behind: str) -> str:
    """Return the newest transactions that have a posting with one of ``ours`` on this side."""
    return f"""
    SELECT one.* FROM ours CROSS JOIN LATERAL (
      SELECT DISTINCT ON (p.booked_on, t.booked_at, t.id) t.*
      FROM postings p CROSS JOIN LATERAL (
        SELECT * FROM transactions
        WHERE ledger_id = $1 AND id = p.transaction_id AND sequence = p.sequence AND NOT deleted OFFSET 0
      ) t
      WHERE p.ledger_id = $1 AND p.{side}_account_id = ours.id {behind}
      ORDER BY p.booked_on DESC, t.booked_at DESC, t.id DESC LIMIT $4
    ) one
    """  # noqa: S608


def _moved(side: str) -> str:
    """Return what stands of the first line's day and comes after it."""
    return f"""
    SELECT p.currency, p.amount_minor FROM ours CROSS JOIN first
    JOIN postings p ON p.ledger_id = $1 AND p.{side}_account_id = ours.id AND p.booked_on = first.booked_on
    JOIN transactions t ON t.ledger_id = $1 AND t.id = p.transaction_id AND t.sequence = p.sequence AND NOT t.deleted
    WHERE (t.booked_at, t.id) > (first.booked_at, first.id)
    """  # noqa: S608


def _page(behind: str) -> str:
    # The balance after the first line is that of its day's end less what that day has after it. What was taken back is
    # not listed, and adds nothing: both it and its reversal are of one day.
    return f"""
    WITH {HISTORY},
    ours AS MATERIALIZED (SELECT id FROM accounts WHERE ledger_id = $1 AND root_id = $3 AND {MEMBER}),
    page AS MATERIALIZED (
      SELECT DISTINCT ON (booked_on, booked_at, id) *
      FROM (({_side("source", behind)}) UNION ALL ({_side("destination", behind)})) either {_NEWEST} LIMIT $4
    ),
    first AS MATERIALIZED (SELECT booked_on, booked_at, id FROM page {_NEWEST} LIMIT 1),
    pairs AS (
      SELECT b.account_id, b.currency, b.balance_minor
      FROM ours JOIN balances b ON b.ledger_id = $1 AND b.account_id = ours.id
    ),
    moved AS (
      SELECT pairs.currency, {balance_on("pairs")} AS minor
      FROM first CROSS JOIN pairs CROSS JOIN LATERAL {span_of("first.booked_on")}
      UNION ALL SELECT currency, -amount_minor FROM ({_moved("destination")}) later
      UNION ALL SELECT currency, amount_minor FROM ({_moved("source")}) later
    ),
    balance AS MATERIALIZED (SELECT currency, sum(minor) AS balance_minor FROM moved GROUP BY currency)
    SELECT {COLUMNS}, balance.balance_minor
    FROM page t {JOINS} LEFT JOIN balance ON balance.currency = p.currency
    ORDER BY t.booked_on DESC, t.booked_at DESC, t.id DESC, p.position
    """  # noqa: S608


_FIRST_PAGE = _page("")
_NEXT_PAGE = _page("AND p.booked_on <= $5 AND (p.booked_on, t.booked_at, t.id) < ($5, $6, $7)")


async def list_register(
    ledger: Database, ledger_id: UUID, user_id: UUID, account_id: UUID, *, limit: int, cursor: str | None
) -> RegisterPage | None:
    """List a page of an account's register with what was merged into it, for a member; ``None`` where it is not there.

    Raises:
        CursorError: the cursor is not one of this register.
    """
    of = f"register {account_id}"
    after = None if cursor is None else read_cursor(cursor, DayKeys, of)
    async with ledger.connection("read a register") as connection:
        row = await connection.fetchrow(_ACCOUNT, ledger_id, user_id, account_id)
        if row is None:
            return None
        account = NamedAccount(row["id"], row["name"])
        arguments = (ledger_id, user_id, account.id, limit + 1)
        if after is None:
            rows = await connection.fetch(_FIRST_PAGE, *arguments)
        else:
            rows = await connection.fetch(_NEXT_PAGE, *arguments, *after)
    transactions = [list(lines) for _, lines in groupby(rows, key=itemgetter("id"))]
    balances: dict[str, int] = {}
    items = [line for lines in transactions[:limit] for line in _lines(lines, account.id, balances)]
    if len(transactions) <= limit:
        return RegisterPage(account, items, None)
    last = transactions[limit - 1][0]
    return RegisterPage(account, items, cursor_text(DayKeys(last["booked_on"], last["booked_at"], last["id"]), of))


def _lines(rows: Sequence[asyncpg.Record], account_id: UUID, balances: dict[str, int]) -> list[RegisterLine]:
    """Return a transaction's lines; ``balances`` are those after it, and are left as they were before it."""
    transaction = read_transaction(rows)
    amounts: dict[str, int] = {}
    for row in rows:
        came, went = row["destination_id"] == account_id, row["source_id"] == account_id
        if came or went:
            currency = row["posted_currency"]
            amounts[currency] = amounts.get(currency, 0) + row["posted_minor"] * (came - went)
            balances.setdefault(currency, int(row["balance_minor"] or 0))
    lines = []
    for currency, minor in amounts.items():
        lines.append(
            RegisterLine(
                transaction_id=transaction.id,
                date=transaction.date,
                kind=transaction.kind,
                description=transaction.description,
                payee=transaction.payee,
                status=transaction.status,
                accounts=_others(transaction, account_id),
                amount=format_minor(minor, currency),
                currency=currency,
                balance=format_minor(balances[currency], currency),
            )
        )
        balances[currency] -= minor
    return lines


def _others(transaction: Transaction, account_id: UUID) -> list[NamedAccount]:
    """Return the accounts on the other side; of an exchange that is not the one it goes through."""
    if transaction.kind is TransactionKind.EXCHANGE:
        sides: list[NamedAccount | None] = [transaction.account, transaction.to_account]
    else:
        postings = [(each.source, each.destination) for each in transaction.postings]
        sides = [side for pair in postings if account_id in (pair[0].id, pair[1].id) for side in pair]
    return list({side.id: side for side in sides if side is not None and side.id != account_id}.values())
