"""Transactions: money moved between accounts, as people ask for it and as the ledger records it."""

from datetime import date
from enum import StrEnum
from functools import lru_cache
from typing import ClassVar
from uuid import UUID, uuid5

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from contracts import topics
from contracts.messages import LedgerEntry, Submission
from contracts.text import CurrencyCode, DayOrMoment, DecimalText, Description, Name
from contracts.topics import Topic


class TransactionKind(StrEnum):
    """Which way the simple form moves money between the account and the category."""

    EXPENSE = "expense"
    INCOME = "income"


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
    kind: TransactionKind | None = Field(None, description="Absent: an expense.")
    amount: DecimalText = Field(description="As typed; the ledger knows its currency's exponent.")
    currency: CurrencyCode | None = Field(None, description="Absent: the account's.")
    account: Name | None = Field(None, description="Name or id; absent: the ledger's default account.")
    category: Name | None = Field(None, description="Name or id; a new name opens a category.")
    description: Description | None = None
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


class Posting(BaseModel):
    """A positive amount of one currency moved from a source account to a destination account."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    source_account_id: UUID
    destination_account_id: UUID
    amount_minor: int = Field(gt=0, le=10**15, description="Minor units of ``currency``.")
    currency: CurrencyCode


class TransactionRecorded(LedgerEntry):
    """A transaction entered the ledger (``cashflow.transaction.recorded.v1``).

    Travels on ``ledger.journal`` keyed by ``ledger_id``.
    """

    type: ClassVar[str] = "cashflow.transaction.recorded.v1"
    topic: ClassVar[Topic] = topics.LEDGER_JOURNAL

    transaction_id: UUID
    revision: int = Field(ge=1, description="1 for a new transaction; money changes count up.")
    kind: TransactionKind
    user_id: UUID = Field(description="Who asked.")
    postings: tuple[Posting, ...] = Field(min_length=1)
    booked_on: date = Field(description="The calendar day; balances, months and filters use it.")
    booked_at: AwareDatetime = Field(description="Orders transactions of one day; nothing else.")
    submitted_at: AwareDatetime = Field(description="The sender's clock; decides nothing but a missing date.")
    description: Description = ""
