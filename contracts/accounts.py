"""Accounts: where money is, comes from and goes to. A category is an income or expense account."""

from enum import StrEnum
from typing import ClassVar
from uuid import UUID

from pydantic import Field

from contracts import topics
from contracts.messages import LedgerEntry
from contracts.text import CurrencyCode, Name
from contracts.topics import Topic


class AccountKind(StrEnum):
    """The five kinds of double-entry bookkeeping."""

    ASSET = "asset"
    LIABILITY = "liability"
    INCOME = "income"
    EXPENSE = "expense"
    EQUITY = "equity"


#: Kinds that are categories: they carry any currency, and people name them in passing.
CATEGORY_KINDS = frozenset({AccountKind.INCOME, AccountKind.EXPENSE})


class AccountOpened(LedgerEntry):
    """An account or category was opened (``cashflow.account.opened.v1``).

    Travels on ``ledger.journal`` keyed by ``ledger_id``.
    """

    type: ClassVar[str] = "cashflow.account.opened.v1"
    topic: ClassVar[Topic] = topics.LEDGER_JOURNAL

    account_id: UUID
    kind: AccountKind
    name: Name
    currency: CurrencyCode | None = Field(None, description="Of an asset or liability; absent for the other kinds.")
