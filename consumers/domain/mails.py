"""Mails that are to be sent, as intents: whom they are for and what about. The mail job looks up the rest."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias
from uuid import UUID, uuid5


class MailKind(StrEnum):
    """What a mail says. Which one an address gets is the only difference between a known and an unknown one."""

    VERIFICATION_CODE = "verification_code"
    ALREADY_REGISTERED = "already_registered"
    INVITATION = "invitation"
    PASSWORD_CHANGED = "password_changed"  # noqa: S105  # a name, not a secret


@dataclass(frozen=True, slots=True)
class MailIntent:
    """A mail of a registration, one per issue. The mail job looks up the address and derives the code."""

    registration_id: UUID
    issue: int
    kind: MailKind
    due_at: datetime
    traceparent: str | None

    @property
    def message_id(self) -> str:
        """What the Message-ID is made of: the same for every try, and telling nothing of the registration's id."""
        return str(uuid5(self.registration_id, f"mail:{self.issue}"))


@dataclass(frozen=True, slots=True)
class InvitationMail:
    """A mail to a user whom another one invited to a ledger. The mail job looks up names, role and whether it stands.

    ``id`` is what the Message-ID is made of.
    """

    id: UUID
    user_id: UUID
    inviter_id: UUID
    ledger_id: UUID
    invitation_id: UUID
    due_at: datetime
    traceparent: str | None


@dataclass(frozen=True, slots=True)
class PasswordMail:
    """A mail to a user whose password was changed. ``id`` is what the Message-ID is made of."""

    id: UUID
    user_id: UUID
    due_at: datetime
    traceparent: str | None


#: A mail to a user, rather than to an address that somebody registers.
UserMail: TypeAlias = InvitationMail | PasswordMail
