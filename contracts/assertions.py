"""Balance assertions: what a bank's statement says an account held at the end of a day, held against the books."""

from datetime import date
from typing import ClassVar
from uuid import UUID, uuid5

from pydantic import Field

from contracts import topics
from contracts.messages import LedgerEntry, Submission
from contracts.text import CurrencyCode, Day, DecimalText, Name
from contracts.topics import Topic


class AssertionSubmitted(Submission):
    """A member asserted an account's balance at the end of a day (``cashflow.assertion.submitted.v1``).

    Travels on ``ledger.submissions`` keyed by ``ledger_id``. Becomes ``BalanceAsserted`` on ``ledger.journal``,
    whether it holds or not, or an operation refused with a code.
    """

    type: ClassVar[str] = "cashflow.assertion.submitted.v1"
    topics: ClassVar[tuple[Topic, ...]] = (topics.LEDGER_SUBMISSIONS,)
    noun: ClassVar[str] = "assertion"

    ledger_id: UUID
    account: Name = Field(description="Name or id of an asset or liability.")
    balance: DecimalText = Field(description="Of the statement, as typed; below zero is owed.")
    on: Day = Field(description="The statement's day; the balance is the one at its end.")

    @property
    def subject_id(self) -> UUID:
        """The ledger."""
        return self.ledger_id

    def resource_id(self, operation_id: UUID) -> UUID:
        """Return the assertion's id."""
        return uuid5(operation_id, "assertion")


class AssertionLiftSubmitted(Submission):
    """A member asked for an assertion to be lifted (``cashflow.assertion-lift.submitted.v1``).

    Travels on ``ledger.submissions`` keyed by ``ledger_id``. Becomes ``AssertionLifted`` on ``ledger.journal``: what it
    had reconciled may be changed again.
    """

    type: ClassVar[str] = "cashflow.assertion-lift.submitted.v1"
    topics: ClassVar[tuple[Topic, ...]] = (topics.LEDGER_SUBMISSIONS,)
    noun: ClassVar[str] = "assertion-lift"

    ledger_id: UUID
    assertion_id: UUID

    @property
    def subject_id(self) -> UUID:
        """The ledger."""
        return self.ledger_id

    def resource_id(self, operation_id: UUID) -> UUID:
        """Return the assertion's id."""
        return self.assertion_id


class BalanceAsserted(LedgerEntry):
    """A statement's balance was held against the books (``cashflow.balance.asserted.v1``).

    Travels on ``ledger.journal`` keyed by ``ledger_id``. Where both are equal it reconciles the account's transactions
    until that day that the ledger knew: as long as it stands their money cannot be changed.
    """

    type: ClassVar[str] = "cashflow.balance.asserted.v1"
    topic: ClassVar[Topic] = topics.LEDGER_JOURNAL

    assertion_id: UUID
    account_id: UUID
    asserted_on: date = Field(description="The statement's day.")
    currency: CurrencyCode
    stated_minor: int = Field(description="What the statement says, in minor units.")
    computed_minor: int = Field(description="What the books said at that moment.")


class AssertionLifted(LedgerEntry):
    """An assertion stands no more (``cashflow.assertion.lifted.v1``).

    Travels on ``ledger.journal`` keyed by ``ledger_id``.
    """

    type: ClassVar[str] = "cashflow.assertion.lifted.v1"
    topic: ClassVar[Topic] = topics.LEDGER_JOURNAL

    assertion_id: UUID
