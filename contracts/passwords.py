"""Passwords: somebody with a user chooses another one."""

from typing import ClassVar
from uuid import UUID, uuid5

from pydantic import Field

from contracts import topics
from contracts.messages import JournalEntry, Submission
from contracts.topics import Topic


class PasswordChangeSubmitted(Submission):
    """Somebody typed their password and chose another one (``cashflow.password-change.submitted.v1``).

    Travels on ``identity.submissions`` keyed by ``user_id``. The Argon2id hash of the new password travels sealed for
    the identity consumer, bound to the user and to the version of the password that was checked: it replaces that one
    and no later one. Becomes ``PasswordChanged`` with a ``SessionEnded`` for every other session, or a refused
    operation.
    """

    type: ClassVar[str] = "cashflow.password-change.submitted.v1"
    topics: ClassVar[tuple[Topic, ...]] = (topics.IDENTITY_SUBMISSIONS,)
    noun: ClassVar[str] = "password-change"
    unhashed: ClassVar[frozenset[str]] = frozenset({"password_version", "sealed_password_hash"})

    user_id: UUID
    session_id: UUID = Field(description="The session that asks, and stays.")
    password_version: int = Field(ge=1, description="Of the password that was checked; each change raises it by one.")
    sealed_password_hash: str = Field(
        max_length=1024, description="``key id:base64(nonce and AES-256-GCM ciphertext)``."
    )

    @property
    def subject_id(self) -> UUID:
        """The user."""
        return self.user_id

    def resource_id(self, operation_id: UUID) -> UUID:
        """Return the user's id."""
        return self.user_id


class PasswordChanged(JournalEntry):
    """A password was replaced (``cashflow.password.changed.v1``), on ``identity.journal`` keyed by ``user_id``."""

    type: ClassVar[str] = "cashflow.password.changed.v1"
    topic: ClassVar[Topic] = topics.IDENTITY_JOURNAL

    user_id: UUID
    password_version: int = Field(ge=2, description="Of the new password.")

    @property
    def subject_id(self) -> UUID:
        """The user."""
        return self.user_id

    @property
    def event_id(self) -> UUID:
        """A password of this version is chosen once."""
        return uuid5(self.user_id, f"{self.type}:{self.password_version}")
