"""What a decider is asked and what it answers."""

from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar
from uuid import UUID

from contracts.messages import JournalEntry, Source, Submission
from contracts.refusals import Refusal

M_co = TypeVar("M_co", bound=Submission, covariant=True)


@dataclass(frozen=True, slots=True)
class Asked(Generic[M_co]):
    """A submission as a decider sees it: the message as sent, who sent it, and the moment it counts as known.

    ``recorded_at`` is the batch's (aware UTC, the database's clock); ``submitted_at`` the sender's clock.
    """

    message: M_co
    user_id: UUID | None
    operation_id: UUID
    idempotency_key: str
    request_hash: str
    submitted_at: datetime
    recorded_at: datetime
    source: Source
    home_currency: str | None = None
    home_zone: str | None = None
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """Base of what a decision does to rows that no journal entry carries (identity's; the ledger's are its entries)."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer to a submission: taken or refused, and what follows either way.

    A refusal may have changes of its own (a wrong code counts), so both can be set. What came of a taken submission is
    its message's ``resource_id(operation_id)``.
    ``journal`` are the entries to publish, in order; in the ledger they are also the rows to write.
    """

    refusal: Refusal | None = None
    changes: tuple[Change, ...] = ()
    journal: tuple[JournalEntry, ...] = ()
