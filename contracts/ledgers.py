"""Ledgers: one household's set of books, with a base currency and a time zone."""

from typing import ClassVar
from uuid import UUID, uuid5

from pydantic import Field

from contracts import topics
from contracts.messages import LedgerEntry
from contracts.text import CurrencyCode
from contracts.topics import Topic


def personal_ledger_id(user_id: UUID) -> UUID:
    """Return the id of the ledger every user has without asking: UUIDv5 of ``personal`` in the user's id."""
    return uuid5(user_id, "personal")


class LedgerOpened(LedgerEntry):
    """A ledger was opened, with its owner as first member (``cashflow.ledger.opened.v1``).

    Travels on ``ledger.journal`` keyed by ``ledger_id``; always the entry with sequence 1.
    """

    type: ClassVar[str] = "cashflow.ledger.opened.v1"
    topic: ClassVar[Topic] = topics.LEDGER_JOURNAL

    owner_id: UUID
    base_currency: CurrencyCode
    time_zone: str = Field(description="IANA name; days without an offset are this zone's.", examples=["Europe/Berlin"])
    default_account_id: UUID = Field(description="Where the simple form's money comes from and goes to.")
