"""How a transaction stands, or stood: the whole of it at one version, as its journal entries leave it."""

from dataclasses import dataclass, replace
from datetime import date, datetime
from uuid import UUID

from contracts.transactions import (
    Posting,
    TransactionAnnotated,
    TransactionKind,
    TransactionRecorded,
    TransactionReversed,
    TransactionStatus,
)


@dataclass(frozen=True, slots=True)
class Annotations:
    """What stands beside the money: it can be changed without a posting."""

    description: str = ""
    payee: str | None = None
    tags: tuple[str, ...] = ()
    note: str | None = None
    status: TransactionStatus = TransactionStatus.PENDING
    external_id: str | None = None


@dataclass(frozen=True, slots=True)
class TransactionState:
    """One version of a transaction.

    ``version`` is the sequence of the entry that made it; ``state_of`` the version whose state this is, another one
    after an undo, 0 for "before it existed". ``sequence`` is that of the entry with these ``postings``, which stand
    unless it is ``deleted``. ``recorded_at``, ``user_id`` and ``operation_id`` say who made this version, and when.
    """

    id: UUID
    revision: int
    version: int
    state_of: int
    sequence: int
    deleted: bool
    kind: TransactionKind
    postings: tuple[Posting, ...]
    booked_on: date
    booked_at: datetime
    submitted_at: datetime
    rate: str | None
    annotations: Annotations
    recorded_at: datetime
    user_id: UUID
    operation_id: UUID

    @property
    def account_ids(self) -> set[UUID]:
        """The accounts its postings move money between."""
        return {id for each in self.postings for id in (each.source_account_id, each.destination_account_id)}

    @property
    def amount_minor(self) -> int:
        """What left or came to the account: of an exchange what left, of splits their sum."""
        return amount_of(self.kind, self.postings)

    def same_money(self, other: "TransactionState") -> bool:
        """Return whether the books say the same of both, day and kind included."""
        return (self.kind, self.postings, self.booked_on, self.booked_at, self.rate) == (
            other.kind,
            other.postings,
            other.booked_on,
            other.booked_at,
            other.rate,
        )


def amount_of(kind: TransactionKind, postings: tuple[Posting, ...]) -> int:
    """Return the amount of a transaction, in minor units of its first posting's currency."""
    if len(postings) == 1 or kind is TransactionKind.EXCHANGE:
        return postings[0].amount_minor
    return sum(each.amount_minor for each in postings)


def annotations_of(entry: TransactionRecorded | TransactionAnnotated) -> Annotations:
    """Return the annotations that an entry carries."""
    return Annotations(entry.description, entry.payee, entry.tags, entry.note, entry.status, entry.external_id)


def recorded(entry: TransactionRecorded) -> TransactionState:
    """Return how a transaction stands when this entry has recorded it."""
    return TransactionState(
        id=entry.transaction_id,
        revision=entry.revision,
        version=entry.sequence,
        state_of=entry.state_of or entry.sequence,
        sequence=entry.sequence,
        deleted=False,
        kind=entry.kind,
        postings=entry.postings,
        booked_on=entry.booked_on,
        booked_at=entry.booked_at,
        submitted_at=entry.submitted_at,
        rate=entry.rate,
        annotations=annotations_of(entry),
        recorded_at=entry.recorded_at,
        user_id=entry.user_id,
        operation_id=entry.operation_id,
    )


def annotated(state: TransactionState, entry: TransactionAnnotated) -> TransactionState:
    """Return how a transaction stands with other annotations."""
    return replace(
        state,
        version=entry.sequence,
        state_of=entry.state_of or entry.sequence,
        annotations=annotations_of(entry),
        recorded_at=entry.recorded_at,
        user_id=entry.user_id,
        operation_id=entry.operation_id,
    )


def deleted(state: TransactionState, entry: TransactionReversed) -> TransactionState:
    """Return how a transaction stands when its postings were taken back for good."""
    return replace(
        state,
        version=entry.sequence,
        state_of=entry.sequence if entry.state_of is None else entry.state_of,
        deleted=True,
        recorded_at=entry.recorded_at,
        user_id=entry.user_id,
        operation_id=entry.operation_id,
    )
