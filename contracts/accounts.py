"""Accounts: where money is, comes from and goes to. A category is an income or expense account."""

from enum import StrEnum
from typing import ClassVar
from uuid import UUID, uuid5

from pydantic import Field

from contracts import topics
from contracts.messages import LedgerEntry, Submission
from contracts.text import CurrencyCode, DayOrMoment, DecimalText, Name
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
#: Kinds money rests in: they have a currency, and the simple form pays from or into one of them.
MONEY_KINDS = frozenset({AccountKind.ASSET, AccountKind.LIABILITY})

#: The equity accounts a ledger opens for itself: what exchanges pass through, and where opening balances come from.
EXCHANGE_ACCOUNT_NAME = "Exchange"
OPENING_ACCOUNT_NAME = "Opening balances"

POSITION_MAX = 1_000_000


class AccountSubmitted(Submission):
    """A member asked for an account or category to be opened (``cashflow.account.submitted.v1``).

    Travels on ``ledger.submissions`` or ``ledger.bulk``, keyed by ``ledger_id``. Becomes ``AccountOpened`` on
    ``ledger.journal``, with an opening balance ``TransactionRecorded`` too, or an operation refused with a code.
    """

    type: ClassVar[str] = "cashflow.account.submitted.v1"
    topics: ClassVar[tuple[Topic, ...]] = (topics.LEDGER_SUBMISSIONS, topics.LEDGER_BULK)
    noun: ClassVar[str] = "account"

    ledger_id: UUID
    name: Name
    kind: AccountKind
    currency: CurrencyCode | None = Field(None, description="Of an asset or liability; absent: the ledger's.")
    opening_balance: DecimalText | None = Field(None, description="What was in it before; below zero is owed.")
    opened: DayOrMoment | None = Field(None, description="The day of the opening balance; absent: when it was sent.")
    group: Name | None = Field(None, description="A heading to list it under.")
    position: int | None = Field(None, ge=0, le=POSITION_MAX, description="Smaller numbers are listed first.")

    @property
    def subject_id(self) -> UUID:
        """The ledger."""
        return self.ledger_id

    def resource_id(self, operation_id: UUID) -> UUID:
        """Return the account's id."""
        return uuid5(operation_id, "account")


class AccountChangeSubmitted(Submission):
    """A member asked to rename, close, reopen, arrange or merge an account (``cashflow.account-change.submitted.v1``).

    Travels on ``ledger.submissions`` keyed by ``ledger_id``. Becomes ``AccountChanged`` on ``ledger.journal``, or an
    operation refused with a code. What is absent stays as it is; ``group`` and ``position`` as null are taken away.
    """

    type: ClassVar[str] = "cashflow.account-change.submitted.v1"
    topics: ClassVar[tuple[Topic, ...]] = (topics.LEDGER_SUBMISSIONS,)
    noun: ClassVar[str] = "account-change"

    ledger_id: UUID
    account_id: UUID
    version: int | None = Field(None, ge=1, description="The version that was seen; absent: whichever stands.")
    name: Name | None = None
    closed: bool | None = None
    group: Name | None = None
    position: int | None = Field(None, ge=0, le=POSITION_MAX)
    merge_into: Name | None = Field(None, description="Name or id of the category that stands for this one from now.")

    @property
    def subject_id(self) -> UUID:
        """The ledger."""
        return self.ledger_id

    def resource_id(self, operation_id: UUID) -> UUID:
        """Return the account's id."""
        return self.account_id


class AccountOpened(LedgerEntry):
    """An account or category was opened (``cashflow.account.opened.v1``).

    Travels on ``ledger.journal`` keyed by ``ledger_id``. Its sequence is the account's first version.
    """

    type: ClassVar[str] = "cashflow.account.opened.v1"
    topic: ClassVar[Topic] = topics.LEDGER_JOURNAL

    account_id: UUID
    kind: AccountKind
    name: Name
    currency: CurrencyCode | None = Field(None, description="Of an asset or liability; absent for the other kinds.")
    group: Name | None = None
    position: int | None = None
    asked: bool = Field(False, description="Whether somebody asked for it, or named it in passing.")


class AccountChanged(LedgerEntry):
    """An account is called, listed or used otherwise (``cashflow.account.changed.v1``): how it stands now.

    Travels on ``ledger.journal`` keyed by ``ledger_id``. Its sequence is the account's new version.
    """

    type: ClassVar[str] = "cashflow.account.changed.v1"
    topic: ClassVar[Topic] = topics.LEDGER_JOURNAL

    account_id: UUID
    name: Name
    closed: bool
    merged_into: UUID | None = Field(None, description="The category that stands for this one.")
    group: Name | None = None
    position: int | None = None
    state_of: int | None = Field(None, ge=1, description="The version whose state this is; absent: its own.")
    undoes: int | None = Field(None, ge=1, description="The change that this one takes back, by its sequence.")
