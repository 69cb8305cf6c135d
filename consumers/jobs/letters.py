"""What a due mail says, by how things stand when it is written; or why it says nothing."""

from datetime import datetime

from asyncpg import Record

from consumers.domain.mails import MailKind
from consumers.domain.registrations import RegistrationState
from infra.mail.letters import (
    Letter,
    already_registered_letter,
    invitation_letter,
    password_changed_letter,
    verification_letter,
)
from infra.postgres.engine import Database
from infra.secrets import SecretKey, derive_code

# By its key: the mail says which ledger, and whoever asked for it may not even be a member there.
_INVITATION = """
    SELECT ledgers.name, invitations.role, invitations.expires_at,
        invitations.ending IS NULL AND invitations.expires_at > now()
        AND invitations.invited_user_id = $3 AND invitations.user_id = $4 AS stands
    FROM invitations JOIN ledgers ON ledgers.id = invitations.ledger_id
    WHERE invitations.ledger_id = $1 AND invitations.id = $2
"""


class Overtaken(Exception):
    """What the mail was about is over, or was never so."""


class TooLate(Exception):
    """The mail would bring what works no more."""


class Undecided(Exception):
    """Nobody knows yet whether there is anything to say."""


class Writer:
    """Writes the letters of due mails: codes are derived, never stored; an invitation is looked up in its ledger."""

    def __init__(self, code_key: SecretKey, ledger: Database) -> None:
        """Keep the key of codes and the ledger database."""
        self._code_key = code_key
        self._ledger = ledger

    async def write(self, mail: Record) -> Letter:
        """Write the letter of a leased mail.

        Raises:
            Overtaken: it is not to be sent any more.
            TooLate: it is of no use any more.
            Undecided: the ledger has no such invitation yet; without one there will be no letter.
            Unavailable: the ledger database does not answer.
        """
        if mail["kind"] == MailKind.INVITATION:
            return await self._invitation(mail)
        if mail["kind"] == MailKind.PASSWORD_CHANGED:
            return password_changed_letter(mail["username"], mail["created_at"], mail["time_zone"])
        if mail["state"] != RegistrationState.PENDING or mail["issue"] != mail["newest_issue"]:
            raise Overtaken
        if mail["kind"] == MailKind.ALREADY_REGISTERED:
            return already_registered_letter()
        expires_at: datetime | None = mail["code_expires_at"]
        if expires_at is None or expires_at <= mail["leased_at"]:
            raise TooLate("the code would be dead on arrival")
        code = derive_code(self._code_key, mail["registration_id"], mail["issue"])
        return verification_letter(code, expires_at, mail["time_zone"])

    async def _invitation(self, mail: Record) -> Letter:
        async with self._ledger.connection("read an invitation") as connection:
            found = await connection.fetchrow(
                _INVITATION, mail["ledger_id"], mail["invitation_id"], mail["user_id"], mail["inviter_id"]
            )
        if found is None:
            raise Undecided("the ledger has no such invitation")
        if not found["stands"]:
            raise Overtaken
        return invitation_letter(mail["inviter"], found["name"], found["role"], found["expires_at"], mail["time_zone"])
