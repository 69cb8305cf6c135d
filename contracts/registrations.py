"""Registrations: from an e-mail address to a verified one."""

from typing import ClassVar
from uuid import UUID, uuid5

from pydantic import Field

from contracts import topics
from contracts.messages import JournalEntry, Submission
from contracts.text import ONE_LINE_PATTERN, CurrencyCode
from contracts.topics import Topic

#: A code's letters: no vowels (no words by accident) would leave 20; we keep A, E and U and drop I, O and Y, so 23.
CODE_ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXZ"
CODE_LENGTH = 6
CODE_LIFETIME_S = 600
ATTEMPTS_PER_ISSUE_MAX = 5
ISSUES_MAX = 5
#: A registration nobody finished is expired after a day.
REGISTRATION_LIFETIME_S = 24 * 3600


class _RegistrationSubmission(Submission):
    topics: ClassVar[tuple[Topic, ...]] = (topics.IDENTITY_SUBMISSIONS,)
    by_user: ClassVar[bool] = False

    registration_id: UUID

    @property
    def subject_id(self) -> UUID:
        """The registration."""
        return self.registration_id

    def resource_id(self, operation_id: UUID) -> UUID:
        """Return the registration's id."""
        return self.registration_id


class RegistrationRequested(_RegistrationSubmission):
    """Somebody asked to register an e-mail address (``cashflow.registration.requested.v1``).

    Travels on ``identity.submissions`` keyed by ``registration_id``. Answered by a mail, the same operation whether
    the address is known or not.
    """

    type: ClassVar[str] = "cashflow.registration.requested.v1"
    noun: ClassVar[str] = "registration"

    email: str = Field(max_length=254, pattern=ONE_LINE_PATTERN, description="As typed.")
    base_currency: CurrencyCode
    time_zone: str = Field(max_length=64, pattern=ONE_LINE_PATTERN, description="IANA name.")


class VerificationCodeRequested(_RegistrationSubmission):
    """Somebody asked for another code (``cashflow.verification-code.requested.v1``).

    Travels on ``identity.submissions`` keyed by ``registration_id``. The earlier code dies.
    """

    type: ClassVar[str] = "cashflow.verification-code.requested.v1"
    noun: ClassVar[str] = "verification-code"


class VerificationSubmitted(_RegistrationSubmission):
    """Somebody typed a code (``cashflow.verification.submitted.v1``).

    Travels on ``identity.submissions`` keyed by ``registration_id``. Carries a proof of the letters, never the letters.
    Becomes ``RegistrationVerified`` on ``identity.journal``, or an operation refused with a code.
    """

    type: ClassVar[str] = "cashflow.verification.submitted.v1"
    noun: ClassVar[str] = "verification"

    proof: str = Field(pattern="^[0-9a-f]{64}$", description="HMAC-SHA-256 of registration id and typed letters, hex.")


class _RegistrationEntry(JournalEntry):
    topic: ClassVar[Topic] = topics.IDENTITY_JOURNAL

    registration_id: UUID

    @property
    def subject_id(self) -> UUID:
        """The registration."""
        return self.registration_id

    @property
    def event_id(self) -> UUID:
        """Happens once in a registration's life, so its id and type say which entry it is."""
        return uuid5(self.registration_id, self.type)


class RegistrationVerified(_RegistrationEntry):
    """An e-mail address was proven (``cashflow.registration.verified.v1``), on ``identity.journal``."""

    type: ClassVar[str] = "cashflow.registration.verified.v1"


class RegistrationExpired(_RegistrationEntry):
    """Nobody finished a registration in time (``cashflow.registration.expired.v1``), on ``identity.journal``."""

    type: ClassVar[str] = "cashflow.registration.expired.v1"
