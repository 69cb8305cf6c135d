"""Read transactions from the ledger database: keyset pages of the newest, and one by its id."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import asyncpg
import msgspec

from contracts.money import format_minor
from contracts.transactions import TransactionKind
from infra.postgres.engine import Database


class NamedAccount(msgspec.Struct, frozen=True):
    """An account or category, by id and name."""

    id: UUID
    name: str


class PostingLine(msgspec.Struct, frozen=True):
    """A positive amount moved from a source account to a destination account; ``amount`` is decimal text."""

    source: NamedAccount
    destination: NamedAccount
    amount: str
    currency: str


class Transaction(msgspec.Struct, kw_only=True):
    """A recorded transaction. ``amount`` is decimal text; ``date`` the calendar day it counts on."""

    id: UUID
    revision: int
    kind: TransactionKind
    amount: str
    currency: str
    category: NamedAccount
    account: NamedAccount
    description: str
    date: date
    booked_at: datetime
    recorded_at: datetime
    postings: list[PostingLine]


class TransactionPage(msgspec.Struct):
    """Transactions, the newest first, and the cursor of the next page; ``null`` on the last one."""

    items: list[Transaction]
    next_cursor: str | None


#: What :func:`read_transactions` needs of each row; one row per posting.
COLUMNS = """
t.id, t.revision, t.kind, t.booked_on, t.booked_at, t.recorded_at, t.description,
p.amount_minor, p.currency, s.id AS source_id, s.name AS source_name, d.id AS destination_id, d.name AS destination_name
"""
JOINS = """
JOIN postings p ON p.ledger_id = t.ledger_id AND p.transaction_id = t.id AND p.sequence = t.sequence
JOIN accounts s ON s.ledger_id = t.ledger_id AND s.id = p.source_account_id
JOIN accounts d ON d.ledger_id = t.ledger_id AND d.id = p.destination_account_id
"""
_MEMBER = "EXISTS (SELECT FROM members WHERE ledger_id = $1 AND user_id = $2)"
_NEWEST = "ORDER BY booked_on DESC, booked_at DESC, id DESC"

_FIRST_PAGE = f"""
SELECT {COLUMNS}
FROM (SELECT * FROM transactions WHERE ledger_id = $1 AND {_MEMBER} {_NEWEST} LIMIT $3) t {JOINS}
ORDER BY t.booked_on DESC, t.booked_at DESC, t.id DESC, p.position
"""  # noqa: S608  # built from constants of this module
_NEXT_PAGE = f"""
SELECT {COLUMNS}
FROM (SELECT * FROM transactions
      WHERE ledger_id = $1 AND {_MEMBER} AND (booked_on, booked_at, id) < ($4, $5, $6)
      {_NEWEST} LIMIT $3) t {JOINS}
ORDER BY t.booked_on DESC, t.booked_at DESC, t.id DESC, p.position
"""  # noqa: S608
_ONE = f"""
SELECT {COLUMNS} FROM transactions t {JOINS}
WHERE t.ledger_id = $1 AND t.id = $3 AND {_MEMBER}
ORDER BY p.position
"""  # noqa: S608


class Cursor(NamedTuple):
    """Where a page ended: the keys of its last transaction."""

    booked_on: date
    booked_at: datetime
    id: UUID

    def text(self) -> str:
        """Return it as an opaque text."""
        moment = (self.booked_at - _EPOCH) // timedelta(microseconds=1)
        raw = self.booked_on.toordinal().to_bytes(4, "big") + moment.to_bytes(8, "big", signed=True) + self.id.bytes
        return urlsafe_b64encode(raw).rstrip(b"=").decode()

    @classmethod
    def parse(cls, text: str) -> "Cursor":
        """Read what :meth:`text` wrote; ``ValueError`` for anything else."""
        try:
            raw = urlsafe_b64decode(text.encode("ascii") + b"==")
            if len(raw) != _CURSOR_BYTES:
                raise ValueError("too long or too short")
            moment = _EPOCH + timedelta(microseconds=int.from_bytes(raw[4:12], "big", signed=True))
            cursor = cls(date.fromordinal(int.from_bytes(raw[:4], "big")), moment, UUID(bytes=raw[12:]))
            if cursor.text() != text:
                raise ValueError("another way to write it")
        except (ValueError, OverflowError):
            raise ValueError("not a cursor") from None
        return cursor


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CURSOR_BYTES = 28


async def list_transactions(
    ledger: Database, ledger_id: UUID, user_id: UUID, *, limit: int, after: Cursor | None
) -> TransactionPage:
    """List a page of a ledger's transactions for one of its members, the newest day first; empty for anybody else."""
    async with ledger.connection("list transactions") as connection:
        # One more than asked for says whether there is a next page.
        if after is None:
            rows = await connection.fetch(_FIRST_PAGE, ledger_id, user_id, limit + 1)
        else:
            rows = await connection.fetch(_NEXT_PAGE, ledger_id, user_id, limit + 1, *after)
    items = list(read_transactions(rows))
    if len(items) <= limit:
        return TransactionPage(items, None)
    last = items[limit - 1]
    return TransactionPage(items[:limit], Cursor(last.date, last.booked_at, last.id).text())


async def find_transaction(
    ledger: Database, ledger_id: UUID, user_id: UUID, transaction_id: UUID
) -> Transaction | None:
    """Find one transaction of a ledger, for one of its members."""
    async with ledger.connection("find a transaction") as connection:
        rows = await connection.fetch(_ONE, ledger_id, user_id, transaction_id)
    return next(read_transactions(rows), None)


def read_transactions(rows: Sequence[asyncpg.Record]) -> Iterator[Transaction]:
    """Make transactions of rows that have :data:`COLUMNS`; the rows of one transaction follow each other."""
    transaction: Transaction | None = None
    for row in rows:
        currency = row["currency"]
        posting = PostingLine(
            NamedAccount(row["source_id"], row["source_name"]),
            NamedAccount(row["destination_id"], row["destination_name"]),
            format_minor(row["amount_minor"], currency),
            currency,
        )
        if transaction is not None and transaction.id == row["id"]:
            transaction.postings.append(posting)
            continue
        if transaction is not None:
            yield transaction
        # What people call the account and the category of the simple form; splits are read from the postings.
        if row["kind"] == TransactionKind.INCOME:
            category, account = posting.source, posting.destination
        else:
            category, account = posting.destination, posting.source
        transaction = Transaction(
            id=row["id"],
            revision=row["revision"],
            kind=row["kind"],
            amount=posting.amount,
            currency=currency,
            category=category,
            account=account,
            description=row["description"],
            date=row["booked_on"],
            booked_at=row["booked_at"],
            recorded_at=row["recorded_at"],
            postings=[posting],
        )
    if transaction is not None:
        yield transaction
