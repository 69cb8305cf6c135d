"""Transactions: money moved between accounts, as people ask for it and as the ledger records it."""

from datetime import date
from enum import StrEnum
from functools import lru_cache
from typing import ClassVar
from uuid import UUID, uuid5

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from contracts import topics
from contracts.messages import LedgerEntry, Submission
from contracts.text import (
    CurrencyCode,
    DayOrMoment,
    DecimalText,
    Description,
    ExternalId,
    Line,
    Name,
    Note,
    RateText,
)
from contracts.topics import Topic

SPLITS_MAX = 200


class TransactionKind(StrEnum):
    """What a transaction is to the people who made it; the postings say the same to the books."""

    EXPENSE = "expense"
    """From an account to one or more categories."""
    INCOME = "income"
    """From one or more categories to an account."""
    REFUND = "refund"
    """Back from categories of expense to an account."""
    TRANSFER = "transfer"
    """From one account to another of the same currency."""
    EXCHANGE = "exchange"
    """From one account to another of another currency, by way of the equity account "Exchange"."""
    OPENING = "opening"
    """What was in an account before; asked for with the account only."""


class TransactionStatus(StrEnum):
    """Whether the bank has it too. A reconciled transaction is one that a balance assertion has covered."""

    PENDING = "pending"
    CLEARED = "cleared"


class Split(BaseModel):
    """A part of a transaction that belongs to one category, as typed."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    amount: DecimalText
    category: Name = Field(description="Name or id; a new name opens a category.")


class TransactionSubmitted(Submission):
    """A member asked for a transaction to be recorded (``cashflow.transaction.submitted.v1``).

    Travels on ``ledger.submissions`` (people) or ``ledger.bulk`` (imports, with a grant), keyed by ``ledger_id``.
    Becomes ``TransactionRecorded`` on ``ledger.journal``, or an operation refused with a code.
    """

    type: ClassVar[str] = "cashflow.transaction.submitted.v1"
    topics: ClassVar[tuple[Topic, ...]] = (topics.LEDGER_SUBMISSIONS, topics.LEDGER_BULK)
    noun: ClassVar[str] = "transaction"

    ledger_id: UUID
    transaction_id: UUID | None = Field(None, description="Where the client chose one; then also its idempotency key.")
    kind: TransactionKind | None = Field(None, description="Absent: an expense, or a transfer where to_account is.")
    amount: DecimalText | None = Field(
        None, description="As typed; the ledger knows its currency's exponent. Absent: the sum of the splits."
    )
    currency: CurrencyCode | None = Field(None, description="Absent: the account's.")
    account: Name | None = Field(None, description="Name or id; absent: the ledger's default account.")
    category: Name | None = Field(None, description="Name or id; a new name opens a category.")
    splits: tuple[Split, ...] | None = Field(None, description="Instead of a category, where there are several.")
    to_account: Name | None = Field(None, description="Name or id: where a transfer or an exchange goes.")
    to_amount: DecimalText | None = Field(None, description="What arrives of an exchange, in to_account's currency.")
    rate: RateText | None = Field(None, description="Instead of to_amount: units of its currency for one of ours.")
    description: Description | None = None
    payee: Line | None = Field(None, description="Who was paid, or who paid.")
    tags: tuple[Line, ...] | None = None
    note: Note | None = None
    status: TransactionStatus | None = Field(None, description="Absent: pending.")
    external_id: ExternalId | None = Field(None, description="What another system calls it.")
    booked: DayOrMoment | None = Field(None, description="Absent: when it was sent.")

    @property
    def subject_id(self) -> UUID:
        """The ledger."""
        return self.ledger_id

    def resource_id(self, operation_id: UUID) -> UUID:
        """Return the transaction's id: the client's, or one that follows from the operation."""
        return self.transaction_id or _transaction_id_of(operation_id)


@lru_cache(maxsize=8192)  # each step of a batch asks for it again
def _transaction_id_of(operation_id: UUID) -> UUID:
    return uuid5(operation_id, "transaction")


class TransactionChangeSubmitted(Submission):
    """A member asked for a transaction to be changed (``cashflow.transaction-change.submitted.v1``).

    Travels on ``ledger.submissions`` keyed by ``ledger_id``. What is absent stays as it is; annotations as null are
    taken away. A change of money or day becomes ``TransactionReversed`` and ``TransactionRecorded`` with the next
    revision, any other ``TransactionAnnotated``, or the operation is refused with a code.
    """

    type: ClassVar[str] = "cashflow.transaction-change.submitted.v1"
    topics: ClassVar[tuple[Topic, ...]] = (topics.LEDGER_SUBMISSIONS,)
    noun: ClassVar[str] = "transaction-change"

    ledger_id: UUID
    transaction_id: UUID
    version: int | None = Field(None, ge=1, description="The version that was seen; absent: whichever stands.")
    kind: TransactionKind | None = None
    amount: DecimalText | None = None
    currency: CurrencyCode | None = None
    account: Name | None = None
    category: Name | None = None
    splits: tuple[Split, ...] | None = None
    to_account: Name | None = None
    to_amount: DecimalText | None = None
    rate: RateText | None = None
    description: Description | None = None
    payee: Line | None = None
    tags: tuple[Line, ...] | None = None
    note: Note | None = None
    status: TransactionStatus | None = None
    external_id: ExternalId | None = None
    booked: DayOrMoment | None = None

    @property
    def subject_id(self) -> UUID:
        """The ledger."""
        return self.ledger_id

    def resource_id(self, operation_id: UUID) -> UUID:
        """Return the transaction's id."""
        return self.transaction_id


class ReversalSubmitted(Submission):
    """A member asked for a transaction to be deleted (``cashflow.reversal.submitted.v1``).

    Travels on ``ledger.submissions`` keyed by ``ledger_id``. Becomes ``TransactionReversed`` on ``ledger.journal``:
    nothing is ever taken out of the books, so the deletion can be undone.
    """

    type: ClassVar[str] = "cashflow.reversal.submitted.v1"
    topics: ClassVar[tuple[Topic, ...]] = (topics.LEDGER_SUBMISSIONS,)
    noun: ClassVar[str] = "reversal"

    ledger_id: UUID
    transaction_id: UUID
    version: int | None = Field(None, ge=1, description="The version that was seen; absent: whichever stands.")

    @property
    def subject_id(self) -> UUID:
        """The ledger."""
        return self.ledger_id

    def resource_id(self, operation_id: UUID) -> UUID:
        """Return the transaction's id."""
        return self.transaction_id


class Posting(BaseModel):
    """A positive amount of one currency moved from a source account to a destination account."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    source_account_id: UUID
    destination_account_id: UUID
    amount_minor: int = Field(gt=0, le=10**15, description="Minor units of ``currency``.")
    currency: CurrencyCode


class TransactionRecorded(LedgerEntry):
    """A transaction entered the ledger, or its next revision did (``cashflow.transaction.recorded.v1``).

    Travels on ``ledger.journal`` keyed by ``ledger_id``. Its sequence is the transaction's new version.
    """

    type: ClassVar[str] = "cashflow.transaction.recorded.v1"
    topic: ClassVar[Topic] = topics.LEDGER_JOURNAL

    transaction_id: UUID
    revision: int = Field(ge=1, description="1 for a new transaction; money changes count up.")
    kind: TransactionKind
    postings: tuple[Posting, ...] = Field(min_length=1)
    booked_on: date = Field(description="The calendar day; balances, months and filters use it.")
    booked_at: AwareDatetime = Field(description="Orders transactions of one day; nothing else.")
    submitted_at: AwareDatetime = Field(description="The sender's clock; decides nothing but a missing date.")
    rate: RateText | None = Field(None, description="Of an exchange: what arrived for one unit of what left.")
    description: Description = ""
    payee: str | None = None
    tags: tuple[str, ...] = ()
    note: Note | None = None
    status: TransactionStatus = TransactionStatus.PENDING
    external_id: ExternalId | None = None
    state_of: int | None = Field(None, ge=1, description="The version whose state this is; absent: its own.")
    undoes: int | None = Field(None, ge=1, description="The change that this one takes back, by its sequence.")


class TransactionAnnotated(LedgerEntry):
    """Something beside a transaction's money was changed (``cashflow.transaction.annotated.v1``): how it stands now.

    Travels on ``ledger.journal`` keyed by ``ledger_id``. Its sequence is the transaction's new version.
    """

    type: ClassVar[str] = "cashflow.transaction.annotated.v1"
    topic: ClassVar[Topic] = topics.LEDGER_JOURNAL

    transaction_id: UUID
    description: Description = ""
    payee: str | None = None
    tags: tuple[str, ...] = ()
    note: Note | None = None
    status: TransactionStatus = TransactionStatus.PENDING
    external_id: ExternalId | None = None
    state_of: int | None = Field(None, ge=1, description="The version whose state this is; absent: its own.")
    undoes: int | None = Field(None, ge=1, description="The change that this one takes back, by its sequence.")


class TransactionReversed(LedgerEntry):
    """The postings of a transaction's revision were taken back by equal ones the other way round.

    ``cashflow.transaction.reversed.v1``; travels on ``ledger.journal`` keyed by ``ledger_id``. With ``deleted`` the
    transaction is gone and this is its new version; otherwise the next revision follows at once.
    """

    type: ClassVar[str] = "cashflow.transaction.reversed.v1"
    topic: ClassVar[Topic] = topics.LEDGER_JOURNAL

    transaction_id: UUID
    revision: int = Field(ge=1, description="The revision that is taken back.")
    postings: tuple[Posting, ...] = Field(min_length=1)
    booked_on: date = Field(description="The day of what is taken back, so that every month is right again.")
    deleted: bool
    state_of: int | None = Field(
        None, ge=0, description="The version whose state this is; 0: before it existed; absent: its own."
    )
    undoes: int | None = Field(None, ge=1, description="The change that this one takes back, by its sequence.")
