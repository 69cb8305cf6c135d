"""Users: a person with a username, a password and a personal ledger."""

from typing import ClassVar
from uuid import UUID, uuid5

from pydantic import Field

from contracts import topics
from contracts.messages import JournalEntry, Submission
from contracts.topics import Topic

#: Starts with a letter or digit; no ``@``, so that a username is never an address.
USERNAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{1,30}[A-Za-z0-9]$"
PASSWORD_LENGTH_MIN = 8
PASSWORD_LENGTH_MAX = 256


class UserSubmitted(Submission):
    """A verified registration chose its username and password (``cashflow.user.submitted.v1``).

    Travels on ``identity.submissions`` keyed by ``registration_id``. The Argon2id hash of the password travels sealed
    for the identity consumer, bound to registration and username. The code is proven once more: who only knows the
    registration cannot take it over. Becomes ``UserRegistered``, or a refused operation.
    """

    type: ClassVar[str] = "cashflow.user.submitted.v1"
    topics: ClassVar[tuple[Topic, ...]] = (topics.IDENTITY_SUBMISSIONS,)
    noun: ClassVar[str] = "user"
    by_user: ClassVar[bool] = False
    unhashed: ClassVar[frozenset[str]] = frozenset({"sealed_password_hash"})

    registration_id: UUID
    proof: str = Field(
        pattern="^[0-9a-f]{64}$",
        description="Of the mailed code once more: a registration's id stands on topics, its code does not.",
    )
    username: str = Field(pattern=USERNAME_PATTERN)
    sealed_password_hash: str = Field(
        max_length=1024, description="``key id:base64(nonce and AES-256-GCM ciphertext)``."
    )

    @property
    def subject_id(self) -> UUID:
        """The registration."""
        return self.registration_id

    def resource_id(self, operation_id: UUID) -> UUID:
        """Return the id the user gets."""
        return uuid5(operation_id, "user")


class UserRegistered(JournalEntry):
    """A user exists (``cashflow.user.registered.v1``), on ``identity.journal`` keyed by ``user_id``."""

    type: ClassVar[str] = "cashflow.user.registered.v1"
    topic: ClassVar[Topic] = topics.IDENTITY_JOURNAL

    user_id: UUID
    registration_id: UUID

    @property
    def subject_id(self) -> UUID:
        """The user."""
        return self.user_id

    @property
    def event_id(self) -> UUID:
        """A user is registered once."""
        return uuid5(self.user_id, self.type)
