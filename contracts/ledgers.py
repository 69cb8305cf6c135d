"""Ledgers: one household's set of books, with a base currency and a time zone."""

from typing import ClassVar
from uuid import UUID, uuid5

from pydantic import Field

from contracts import topics
from contracts.messages import LedgerEntry, Submission
from contracts.text import CurrencyCode, Name
from contracts.topics import Topic

#: What a ledger is called that nobody named.
PERSONAL_LEDGER_NAME = "Personal"
#: The account that every ledger begins with.
DEFAULT_ACCOUNT_NAME = "Cash"


def personal_ledger_id(user_id: UUID) -> UUID:
    """Return the id of the ledger every user has without asking: UUIDv5 of ``personal`` in the user's id."""
    return uuid5(user_id, "personal")


def further_ledger_id(user_id: UUID, idempotency_key: str) -> UUID:
    """Return the id of a ledger that a user opens beside it: an honest retry finds the same one."""
    return uuid5(user_id, f"ledger:{idempotency_key}")


class LedgerSubmitted(Submission):
    """A person asked for another ledger (``cashflow.ledger.submitted.v1``).

    Travels on ``ledger.submissions`` keyed by ``ledger_id``, which the gateway derives from the person and the
    idempotency key. Becomes ``LedgerOpened`` and ``AccountOpened`` on ``ledger.journal``.
    """

    type: ClassVar[str] = "cashflow.ledger.submitted.v1"
    topics: ClassVar[tuple[Topic, ...]] = (topics.LEDGER_SUBMISSIONS,)
    noun: ClassVar[str] = "ledger"

    ledger_id: UUID
    name: Name
    base_currency: CurrencyCode | None = Field(None, description="Absent: the person's home currency.")
    time_zone: str | None = Field(None, description="IANA name; absent: the person's home zone.")

    @property
    def subject_id(self) -> UUID:
        """The ledger."""
        return self.ledger_id

    def resource_id(self, operation_id: UUID) -> UUID:
        """Return the ledger's id."""
        return self.ledger_id


class LedgerChangeSubmitted(Submission):
    """An owner asked to rename a ledger, or for another default account (``cashflow.ledger-change.submitted.v1``).

    Travels on ``ledger.submissions`` keyed by ``ledger_id``. Becomes ``LedgerChanged`` on ``ledger.journal``.
    """

    type: ClassVar[str] = "cashflow.ledger-change.submitted.v1"
    topics: ClassVar[tuple[Topic, ...]] = (topics.LEDGER_SUBMISSIONS,)
    noun: ClassVar[str] = "ledger-change"

    ledger_id: UUID
    name: Name | None = Field(None, description="Absent: as it is.")
    default_account: Name | None = Field(None, description="Name or id; absent: as it is.")

    @property
    def subject_id(self) -> UUID:
        """The ledger."""
        return self.ledger_id

    def resource_id(self, operation_id: UUID) -> UUID:
        """Return the ledger's id."""
        return self.ledger_id


class LedgerOpened(LedgerEntry):
    """A ledger was opened, with its owner as first member (``cashflow.ledger.opened.v1``).

    Travels on ``ledger.journal`` keyed by ``ledger_id``; always the entry with sequence 1.
    """

    type: ClassVar[str] = "cashflow.ledger.opened.v1"
    topic: ClassVar[Topic] = topics.LEDGER_JOURNAL

    owner_id: UUID
    name: Name = PERSONAL_LEDGER_NAME
    base_currency: CurrencyCode
    time_zone: str = Field(description="IANA name; days without an offset are this zone's.", examples=["Europe/Berlin"])
    default_account_id: UUID = Field(description="Where the simple form's money comes from and goes to.")


class LedgerChanged(LedgerEntry):
    """A ledger has another name or default account (``cashflow.ledger.changed.v1``): how it stands now.

    Travels on ``ledger.journal`` keyed by ``ledger_id``.
    """

    type: ClassVar[str] = "cashflow.ledger.changed.v1"
    topic: ClassVar[Topic] = topics.LEDGER_JOURNAL

    name: Name
    default_account_id: UUID
