"""Read accounts, their balances and who may see them from the ledger database."""

from uuid import UUID

import msgspec

from contracts.accounts import AccountKind
from contracts.money import format_minor
from infra.postgres.engine import Database

#: A household has dozens; more than this many are not listed in one answer.
ACCOUNTS_MAX = 1000


class Balance(msgspec.Struct, frozen=True):
    """What came in less what went out, as decimal text."""

    amount: str
    currency: str


class AccountLine(msgspec.Struct, kw_only=True):
    """An account or category with its balances, one per currency."""

    id: UUID
    name: str
    kind: AccountKind
    currency: str | None
    balances: list[Balance]


_LIST = """
SELECT a.id, a.name, a.kind, a.currency, b.balance_minor, b.currency AS balance_currency
FROM (SELECT * FROM accounts
      WHERE ledger_id = $1 AND closed_at IS NULL
        AND EXISTS (SELECT FROM members WHERE ledger_id = $1 AND user_id = $2)
      ORDER BY kind, name_key LIMIT $3) a
LEFT JOIN balances b ON b.ledger_id = a.ledger_id AND b.account_id = a.id
ORDER BY a.kind, a.name_key, b.currency
"""
_ROLE = "SELECT role FROM members WHERE ledger_id = $1 AND user_id = $2"


async def list_accounts(ledger: Database, ledger_id: UUID, user_id: UUID) -> list[AccountLine]:
    """List a ledger's open accounts for one of its members, by kind and name; empty for anybody else."""
    async with ledger.connection("list accounts") as connection:
        rows = await connection.fetch(_LIST, ledger_id, user_id, ACCOUNTS_MAX)
    accounts: dict[UUID, AccountLine] = {}
    for row in rows:
        account = accounts.get(row["id"])
        if account is None:
            account = accounts[row["id"]] = AccountLine(
                id=row["id"], name=row["name"], kind=row["kind"], currency=row["currency"], balances=[]
            )
        if row["balance_currency"]:
            text = format_minor(int(row["balance_minor"]), row["balance_currency"])
            account.balances.append(Balance(text, row["balance_currency"]))
    return list(accounts.values())


async def find_role(ledger: Database, ledger_id: UUID, user_id: UUID) -> str | None:
    """Find what somebody is in a ledger: owner, editor or viewer; ``None`` for a stranger."""
    async with ledger.connection("find a member") as connection:
        role: str | None = await connection.fetchval(_ROLE, ledger_id, user_id)
    return role
