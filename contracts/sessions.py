"""Sessions: a signed-in device, kept alive by refresh tokens of which only hashes are stored."""

from enum import StrEnum
from typing import ClassVar
from uuid import UUID, uuid5

from pydantic import Field

from contracts import topics
from contracts.messages import JournalEntry, Submission
from contracts.text import ONE_LINE_PATTERN
from contracts.topics import Topic

ACCESS_TOKEN_LIFETIME_S = 15 * 60
#: A session not refreshed for this long is over.
SESSION_LIFETIME_S = 30 * 24 * 3600
#: Within this long the successor of a refresh token may be handed out again, for a client that lost the answer.
REFRESH_GRACE_S = 10

_SHA256_HEX = "^[0-9a-f]{64}$"


class SessionEnding(StrEnum):
    """Why a session is over."""

    SIGNED_OUT = "signed_out"
    REFRESH_REUSED = "refresh_reused"
    EXPIRED = "expired"
    PASSWORD_CHANGED = "password_changed"  # noqa: S105  # a name, not a secret


class _SessionSubmission(Submission):
    topics: ClassVar[tuple[Topic, ...]] = (topics.IDENTITY_SUBMISSIONS,)

    user_id: UUID
    session_id: UUID

    @property
    def subject_id(self) -> UUID:
        """The user."""
        return self.user_id

    def resource_id(self, operation_id: UUID) -> UUID:
        """Return the session's id."""
        return self.session_id


class SessionRequested(_SessionSubmission):
    """A person signed in with the right password (``cashflow.session.requested.v1``).

    Travels on ``identity.submissions`` keyed by ``user_id``. Becomes ``SessionStarted``.
    """

    type: ClassVar[str] = "cashflow.session.requested.v1"
    noun: ClassVar[str] = "session"

    refresh_hash: str = Field(pattern=_SHA256_HEX, description="SHA-256 of the first refresh token, hex.")
    client: str = Field(
        "",
        max_length=200,
        pattern=ONE_LINE_PATTERN,
        description="What the client calls itself, for the list of sessions.",
    )
    password_version: int | None = Field(
        None, ge=1, description="Of the password that was checked; one that was replaced meanwhile lets nobody in."
    )


class RefreshSubmitted(_SessionSubmission):
    """A refresh token was presented (``cashflow.refresh.submitted.v1``).

    Travels on ``identity.submissions`` keyed by ``user_id``. Rotation is compare-and-set; reuse of a spent token later
    than the grace ends the session.
    """

    type: ClassVar[str] = "cashflow.refresh.submitted.v1"
    noun: ClassVar[str] = "refresh"

    presented_hash: str = Field(pattern=_SHA256_HEX)
    successor_hash: str = Field(pattern=_SHA256_HEX)


class SessionEndRequested(_SessionSubmission):
    """A person ended a session (``cashflow.session-end.requested.v1``).

    Travels on ``identity.submissions`` keyed by ``user_id``. Becomes ``SessionEnded``.
    """

    type: ClassVar[str] = "cashflow.session-end.requested.v1"
    noun: ClassVar[str] = "session-end"


class _SessionEntry(JournalEntry):
    topic: ClassVar[Topic] = topics.IDENTITY_JOURNAL

    user_id: UUID
    session_id: UUID

    @property
    def subject_id(self) -> UUID:
        """The user."""
        return self.user_id

    @property
    def event_id(self) -> UUID:
        """A session starts once and ends once."""
        return uuid5(self.session_id, self.type)


class SessionStarted(_SessionEntry):
    """A session was recorded (``cashflow.session.started.v1``), on ``identity.journal`` keyed by ``user_id``."""

    type: ClassVar[str] = "cashflow.session.started.v1"


class SessionEnded(_SessionEntry):
    """A session is over (``cashflow.session.ended.v1``), on ``identity.journal`` keyed by ``user_id``."""

    type: ClassVar[str] = "cashflow.session.ended.v1"

    ending: SessionEnding
