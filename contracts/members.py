"""Members: who belongs to a ledger and as what, how they are invited, and how they go."""

from enum import StrEnum
from typing import ClassVar
from uuid import UUID, uuid5

from pydantic import AwareDatetime, Field

from contracts import topics
from contracts.messages import LedgerEntry, Submission
from contracts.topics import Topic

INVITATION_DAYS = 14
MEMBERS_MAX = 50


class Role(StrEnum):
    """What a member may do; a viewer only reads. A ledger has one owner."""

    OWNER = "owner"
    EDITOR = "editor"
    VIEWER = "viewer"


class InvitationEnding(StrEnum):
    """Why an invitation is open no more."""

    ACCEPTED = "accepted"
    DECLINED = "declined"
    WITHDRAWN = "withdrawn"


class InvitationSubmitted(Submission):
    """An owner invited somebody (``cashflow.invitation.submitted.v1``).

    Travels on ``ledger.submissions`` keyed by ``ledger_id``. The gateway turns the address into a user's id, or into
    one that nobody has; what follows is the same. Whose id it is may change between two tries, when somebody registers
    the address, so it is left out of the hash, where the address's proof stands for it. Becomes ``MemberInvited`` on
    ``ledger.journal``.
    """

    type: ClassVar[str] = "cashflow.invitation.submitted.v1"
    topics: ClassVar[tuple[Topic, ...]] = (topics.LEDGER_SUBMISSIONS,)
    noun: ClassVar[str] = "invitation"
    unhashed: ClassVar[frozenset[str]] = frozenset({"invited_user_id"})

    ledger_id: UUID
    invited_user_id: UUID = Field(description="Somebody's, or nobody's: whether the address is known is not said.")
    address_proof: str = Field(
        pattern="^[0-9a-f]{64}$",
        description="HMAC-SHA-256 of ledger and typed address, hex: tells addresses apart, and names none.",
    )
    role: Role

    @property
    def subject_id(self) -> UUID:
        """The ledger."""
        return self.ledger_id

    def resource_id(self, operation_id: UUID) -> UUID:
        """Return the invitation's id."""
        return uuid5(operation_id, "invitation")


class InvitationAnswerSubmitted(Submission):
    """The invited person answered, or the owner withdrew (``cashflow.invitation-answer.submitted.v1``).

    Travels on ``ledger.submissions`` keyed by ``ledger_id``. Becomes ``InvitationEnded``, and ``MemberJoined`` where it
    was accepted.
    """

    type: ClassVar[str] = "cashflow.invitation-answer.submitted.v1"
    topics: ClassVar[tuple[Topic, ...]] = (topics.LEDGER_SUBMISSIONS,)
    noun: ClassVar[str] = "invitation-answer"

    ledger_id: UUID
    invitation_id: UUID
    answer: InvitationEnding

    @property
    def subject_id(self) -> UUID:
        """The ledger."""
        return self.ledger_id

    def resource_id(self, operation_id: UUID) -> UUID:
        """Return the invitation's id."""
        return self.invitation_id


class MemberChangeSubmitted(Submission):
    """An owner asked for another role or a removal, or a member to leave (``cashflow.member-change.submitted.v1``).

    Travels on ``ledger.submissions`` keyed by ``ledger_id``. The role of owner hands the ledger over. Becomes
    ``MemberChanged`` or ``MemberRemoved`` on ``ledger.journal``.
    """

    type: ClassVar[str] = "cashflow.member-change.submitted.v1"
    topics: ClassVar[tuple[Topic, ...]] = (topics.LEDGER_SUBMISSIONS,)
    noun: ClassVar[str] = "member-change"

    ledger_id: UUID
    member_id: UUID = Field(description="The member's user id.")
    role: Role | None = Field(description="Null: a member no more.")

    @property
    def subject_id(self) -> UUID:
        """The ledger."""
        return self.ledger_id

    def resource_id(self, operation_id: UUID) -> UUID:
        """Return the member's user id."""
        return self.member_id


class MemberInvited(LedgerEntry):
    """Somebody may become a member (``cashflow.member.invited.v1``).

    Travels on ``ledger.journal`` keyed by ``ledger_id``.
    """

    type: ClassVar[str] = "cashflow.member.invited.v1"
    topic: ClassVar[Topic] = topics.LEDGER_JOURNAL

    invitation_id: UUID
    invited_user_id: UUID = Field(description="Of nobody, where the address was nobody's.")
    role: Role
    expires_at: AwareDatetime


class InvitationEnded(LedgerEntry):
    """An invitation is open no more (``cashflow.invitation.ended.v1``).

    Travels on ``ledger.journal`` keyed by ``ledger_id``.
    """

    type: ClassVar[str] = "cashflow.invitation.ended.v1"
    topic: ClassVar[Topic] = topics.LEDGER_JOURNAL

    invitation_id: UUID
    ending: InvitationEnding


class MemberJoined(LedgerEntry):
    """Somebody became a member (``cashflow.member.joined.v1``).

    Travels on ``ledger.journal`` keyed by ``ledger_id``.
    """

    type: ClassVar[str] = "cashflow.member.joined.v1"
    topic: ClassVar[Topic] = topics.LEDGER_JOURNAL

    member_id: UUID = Field(description="The member's user id.")
    role: Role


class MemberChanged(LedgerEntry):
    """A member has another role (``cashflow.member.changed.v1``); a handing over is two of these.

    Travels on ``ledger.journal`` keyed by ``ledger_id``.
    """

    type: ClassVar[str] = "cashflow.member.changed.v1"
    topic: ClassVar[Topic] = topics.LEDGER_JOURNAL

    member_id: UUID = Field(description="The member's user id.")
    role: Role


class MemberRemoved(LedgerEntry):
    """Somebody is a member no more: left, or was removed (``cashflow.member.removed.v1``).

    Travels on ``ledger.journal`` keyed by ``ledger_id``.
    """

    type: ClassVar[str] = "cashflow.member.removed.v1"
    topic: ClassVar[Topic] = topics.LEDGER_JOURNAL

    member_id: UUID = Field(description="The member's user id.")
