"""Mails that are due, in the users database; the mail job takes them from there."""

from collections.abc import Sequence

from consumers.domain.mails import InvitationMail, MailIntent, MailKind, PasswordMail, UserMail
from infra.postgres.engine import Connection

_OF_REGISTRATIONS = """
    INSERT INTO mails (registration_id, issue, kind, message_id, due_at, created_at, traceparent)
    SELECT registration_id, issue, kind, message_id, due_at, due_at, traceparent
    FROM unnest($1::uuid[], $2::int2[], $3::text[], $4::text[], $5::timestamptz[], $6::text[])
      AS mail (registration_id, issue, kind, message_id, due_at, traceparent)
"""

# An operation that was tidied away can be decided again; its letter was written long ago.
_OF_INVITATIONS = """
    INSERT INTO mails (user_id, inviter_id, ledger_id, invitation_id, kind, message_id, due_at, created_at, traceparent)
    SELECT user_id, inviter_id, ledger_id, invitation_id, $8, message_id, due_at, due_at, traceparent
    FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::timestamptz[], $7::text[])
      AS mail (user_id, inviter_id, ledger_id, invitation_id, message_id, due_at, traceparent)
    ON CONFLICT (invitation_id) DO NOTHING
"""

_OF_PASSWORDS = """
    INSERT INTO mails (user_id, kind, message_id, due_at, created_at, traceparent)
    SELECT user_id, $5, message_id, due_at, due_at, traceparent
    FROM unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::text[])
      AS mail (user_id, message_id, due_at, traceparent)
"""


async def insert_registration_mails(connection: Connection, mails: Sequence[MailIntent]) -> None:
    """Write the mails that registrations made due."""
    rows = [
        (mail.registration_id, mail.issue, mail.kind, mail.message_id, mail.due_at, mail.traceparent) for mail in mails
    ]
    await connection.execute(_OF_REGISTRATIONS, *_columns(rows))


async def insert_user_mails(connection: Connection, mails: Sequence[UserMail]) -> None:
    """Write the mails that tell people of invitations, each once, and of changed passwords."""
    invitations = [
        (mail.user_id, mail.inviter_id, mail.ledger_id, mail.invitation_id, str(mail.id), mail.due_at, mail.traceparent)
        for mail in mails
        if isinstance(mail, InvitationMail)
    ]
    if invitations:
        await connection.execute(_OF_INVITATIONS, *_columns(invitations), MailKind.INVITATION)
    passwords = [
        (mail.user_id, str(mail.id), mail.due_at, mail.traceparent) for mail in mails if isinstance(mail, PasswordMail)
    ]
    if passwords:
        await connection.execute(_OF_PASSWORDS, *_columns(passwords), MailKind.PASSWORD_CHANGED)


def _columns(rows: Sequence[Sequence[object]]) -> list[list[object]]:
    """Turn rows into the columns that ``unnest`` takes."""
    return [list(column) for column in zip(*rows, strict=True)]
