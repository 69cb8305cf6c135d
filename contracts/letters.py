"""Letters: what is mailed to a user because another one asked for something that concerns them."""

from typing import ClassVar
from uuid import UUID, uuid5

from pydantic import Field

from contracts import topics
from contracts.messages import Submission
from contracts.topics import Topic


class InvitationLetterRequested(Submission):
    """An owner invited somebody, who is to be told by mail (``cashflow.invitation-letter.requested.v1``).

    Travels on ``identity.submissions`` keyed by ``invited_user_id``, after the invitation itself was sent. Ids only:
    the address and what the letter says are looked up when it is written, and none is where nobody has this user id.
    Its idempotency key is the gateway's own, derived with a secret, so that nobody can ask how it ended.
    """

    type: ClassVar[str] = "cashflow.invitation-letter.requested.v1"
    topics: ClassVar[tuple[Topic, ...]] = (topics.IDENTITY_SUBMISSIONS,)
    noun: ClassVar[str] = "invitation-letter"

    invited_user_id: UUID = Field(description="Of nobody, where the address was nobody's.")
    ledger_id: UUID
    invitation_id: UUID

    @property
    def subject_id(self) -> UUID:
        """The invited user."""
        return self.invited_user_id

    def resource_id(self, operation_id: UUID) -> UUID:
        """Return the letter's id, which its Message-ID is made of: it tells nothing of ledger or invitation."""
        return uuid5(operation_id, "letter")
