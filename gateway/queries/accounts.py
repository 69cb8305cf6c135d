"""Read accounts and categories with their balances from the ledger database."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import groupby
from uuid import UUID

import asyncpg
import msgspec

from contracts.accounts import AccountKind
from contracts.money import format_minor
from contracts.text import name_key
from gateway.queries.assertions import BrokenAssertion, list_broken_of
from gateway.queries.balances import ACCOUNT_ORDER, MEMBER
from gateway.queries.transactions import NamedAccount
from infra.postgres.engine import Database

#: A household has dozens; more than this many are not listed in one answer.
ACCOUNTS_MAX = 1000
_UUID_TEXT_LENGTH = 36


class Balance(msgspec.Struct, frozen=True):
    """What came in less what went out, as decimal text."""

    amount: str
    currency: str


class AccountLine(msgspec.Struct, kw_only=True):
    """An account or category with its balances, one per currency, those of what was merged into it among them."""

    id: UUID
    name: str
    kind: AccountKind
    currency: str | None
    group: str | None
    position: int | None
    closed: bool
    version: int
    opened_at: datetime
    balances: list[Balance]


class Account(AccountLine, kw_only=True):
    """An account with what stands for it, if it was merged, and its assertions that held once and do no more."""

    merged_into: NamedAccount | None
    broken_assertions: list[BrokenAssertion]


class FoundAccount(msgspec.Struct, frozen=True):
    """An account that was named; ``currency`` is that of an asset or liability."""

    id: UUID
    name: str
    kind: AccountKind
    currency: str | None


_COLUMNS = """
a.id, a.name, a.kind, a.currency, a.group_name, a.position, a.closed, a.version, a.opened_at,
held.currency AS balance_currency, held.balance_minor
"""
_HELD = """
LEFT JOIN LATERAL (
  SELECT b.currency, sum(b.balance_minor) AS balance_minor
  FROM accounts s JOIN balances b ON b.ledger_id = s.ledger_id AND b.account_id = s.id
  WHERE s.ledger_id = $1 AND s.root_id = a.id
  GROUP BY b.currency
) held ON true
"""
_LIST = f"""
WITH a AS MATERIALIZED (
  SELECT r.*, row_number() OVER (ORDER BY {ACCOUNT_ORDER}) AS place
  FROM accounts r
  WHERE r.ledger_id = $1 AND r.merged_into IS NULL AND ($3 OR NOT r.closed) AND {MEMBER}
  ORDER BY place LIMIT $4
)
SELECT {_COLUMNS} FROM a {_HELD} ORDER BY a.place, held.currency
"""  # noqa: S608  # here and below: built from constants of this module
_ONE = f"""
SELECT {_COLUMNS}, target.id AS target_id, target.name AS target_name
FROM accounts a
LEFT JOIN accounts target ON target.ledger_id = a.ledger_id AND target.id = a.merged_into
{_HELD}
WHERE a.ledger_id = $1 AND a.id = $3 AND {MEMBER}
ORDER BY held.currency
"""  # noqa: S608
_ROOT = "r.id, r.name, r.kind, r.currency FROM accounts a JOIN accounts r ON r.ledger_id = $1 AND r.id = a.root_id"
_BY_ID = f"SELECT {_ROOT} WHERE a.ledger_id = $1 AND a.id = $3 AND {MEMBER}"
_BY_NAME = f"SELECT {_ROOT} WHERE a.ledger_id = $1 AND a.name_key = $3 AND {MEMBER}"


async def list_accounts(
    ledger: Database, ledger_id: UUID, user_id: UUID, *, closed: bool = False
) -> tuple[list[AccountLine], bool]:
    """List a ledger's accounts for one of its members; empty for anybody else.

    They come by kind, position, group and name; those without a position or group after those with one. Merged ones
    never come, closed ones with ``closed``. The second answer is whether there are more than :data:`ACCOUNTS_MAX`.
    """
    async with ledger.connection("list accounts") as connection:
        rows = await connection.fetch(_LIST, ledger_id, user_id, closed, ACCOUNTS_MAX + 1)
    accounts = list(_read(rows))
    return accounts[:ACCOUNTS_MAX], len(accounts) > ACCOUNTS_MAX


async def find_account(ledger: Database, ledger_id: UUID, user_id: UUID, account_id: UUID) -> Account | None:
    """Find one account of a ledger, closed or merged too, for one of its members."""
    async with ledger.connection("find an account") as connection:
        rows = await connection.fetch(_ONE, ledger_id, user_id, account_id)
        broken = await list_broken_of(connection, ledger_id, user_id, account_id)
    for line in _read(rows):
        target = NamedAccount(rows[0]["target_id"], rows[0]["target_name"]) if rows[0]["target_id"] else None
        return Account(**msgspec.structs.asdict(line), merged_into=target, broken_assertions=broken)
    return None


async def find_named_account(ledger: Database, ledger_id: UUID, user_id: UUID, named: str) -> FoundAccount | None:
    """Find the account of this id or name, for one of its ledger's members; of a merged one what stands for it."""
    async with ledger.connection("find a named account") as connection:
        if account_id := _id_in(named):
            row = await connection.fetchrow(_BY_ID, ledger_id, user_id, account_id)
        else:
            row = await connection.fetchrow(_BY_NAME, ledger_id, user_id, name_key(named))
    return FoundAccount(row["id"], row["name"], AccountKind(row["kind"]), row["currency"]) if row else None


def _id_in(named: str) -> UUID | None:
    """Return the id that a text is: of its ways to be written only the usual one, as where accounts are named."""
    try:
        return UUID(named) if len(named) == _UUID_TEXT_LENGTH else None
    except ValueError:
        return None


def _read(rows: Iterable[asyncpg.Record]) -> Iterator[AccountLine]:
    """Make accounts of rows, one per account and currency; those of one account follow each other."""
    for account_id, group in groupby(rows, key=lambda row: row["id"]):
        held = list(group)
        row = held[0]
        balances = [
            Balance(format_minor(int(each["balance_minor"]), each["balance_currency"]), each["balance_currency"])
            for each in held
            if each["balance_currency"]
        ]
        if row["currency"] and not balances:
            # Nothing was ever in it.
            balances.append(Balance(format_minor(0, row["currency"]), row["currency"]))
        yield AccountLine(
            id=account_id,
            name=row["name"],
            kind=row["kind"],
            currency=row["currency"],
            group=row["group_name"],
            position=row["position"],
            closed=row["closed"],
            version=row["version"],
            opened_at=row["opened_at"],
            balances=balances,
        )
