"""What every message is: a frozen pydantic model with a CloudEvents type; submissions and journal entries add to it."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import ClassVar
from uuid import UUID, uuid5

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from contracts.topics import Topic


class Message(BaseModel):
    """A fact in the past tense. Its JSON is the value of a Kafka record; readers ignore fields they do not know."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    type: ClassVar[str]
    """CloudEvents ``type``, ending in its version: ``cashflow.transaction.submitted.v1``."""


class Submission(Message):
    """Somebody asked for something; a consumer decides it and answers with an operation."""

    topics: ClassVar[tuple[Topic, ...]]
    noun: ClassVar[str]
    """What is asked for. Part of the operation id, so one idempotency key can serve two nouns."""
    unhashed: ClassVar[frozenset[str]] = frozenset()
    """Fields left out of the request hash because an honest retry seals or derives them anew."""
    by_user: ClassVar[bool] = True
    """Whether a signed-in person must stand behind it (``ce_userid``)."""

    @property
    def subject_id(self) -> UUID:
        """The id the record is keyed and ordered by: a ledger, a registration or a user."""
        raise NotImplementedError

    def resource_id(self, operation_id: UUID) -> UUID:
        """Return the id of what comes of it if it is taken. It follows from the operation, so nobody waits for it."""
        raise NotImplementedError


class Source(BaseModel):
    """Where a submission stood: what a journal entry answers, or what became a dead letter."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        """Return ``topic/partition/offset``, as people are shown it and type it again."""
        return f"{self.topic}/{self.partition}/{self.offset}"


class JournalEntry(Message):
    """Something was decided. Journals carry ids, int64 minor units and decided values; nothing is computed again."""

    topic: ClassVar[Topic]

    @property
    def subject_id(self) -> UUID:
        """The id the entry is keyed and ordered by."""
        raise NotImplementedError

    @property
    def event_id(self) -> UUID:
        """The CloudEvents ``id``: the same entry always has the same one, however often it is sent."""
        raise NotImplementedError


class LedgerEntry(JournalEntry):
    """One entry of one ledger's journal. ``sequence`` counts from 1 within the ledger, without gaps."""

    ledger_id: UUID
    sequence: int = Field(ge=1)
    operation_id: UUID = Field(description="The operation that caused it.")
    user_id: UUID = Field(description="Who asked.")
    request_hash: str = Field(description="SHA-256 of the submission's canonical JSON, in hex.")
    source: Source
    recorded_at: AwareDatetime = Field(
        description="The ledger database's clock, UTC; never before the entry's predecessor."
    )

    @property
    def subject_id(self) -> UUID:
        """The ledger."""
        return self.ledger_id

    @property
    def event_id(self) -> UUID:
        """A ledger's place in its journal is taken once."""
        return uuid5(self.ledger_id, str(self.sequence))


class OperationState(StrEnum):
    """How an operation ended. ``pending`` is what a reader sees before a consumer has decided."""

    PENDING = "pending"
    RECORDED = "recorded"
    REFUSED = "refused"
    FAILED = "failed"


def utc_text(moment: datetime) -> str:
    """Return an aware moment as RFC 3339 text in UTC with microseconds, as CloudEvents ``time`` wants it."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
