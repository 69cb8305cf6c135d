"""The letters we send: what they say, and addresses nobody can smuggle a header through."""

import re
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from zoneinfo import ZoneInfo

from contracts.registrations import ATTEMPTS_PER_ISSUE_MAX, CODE_LIFETIME_S
from contracts.text import is_mailbox, mail_domain

_ADDRESS_LENGTH_MAX = 254
#: What mail programs make links of. A ledger's name is somebody else's text: it must not lead anywhere.
_LINKING = re.compile(r"(?<=\S)([.:/\\@])(?=\S)")

Letter = tuple[str, str]
"""Subject and text."""


class AddressRefused(ValueError):
    """What was given as an e-mail address cannot be one; no try will ever send to it."""


def subject_of(kind: str, inviter: str | None = None) -> str:
    """Return the subject of a kind of letter; of an invitation it names who invites."""
    match kind:
        case "verification_code":
            return "Your cash-flow code"
        case "already_registered":
            return "You already have a cash-flow account"
        case "password_changed":
            return "Your cash-flow password was changed"
        case _:
            return f"{inviter or 'Somebody'} invites you to a cash-flow ledger"


def verification_letter(code: str, expires_at: datetime, time_zone: str) -> Letter:
    """Return the letter with a code. It says until when the code works, by the clocks of ``time_zone``.

    The code is not in the subject: mail servers log subjects, and locked telephones show them.
    """
    until = f"{expires_at.astimezone(ZoneInfo(time_zone)):%H:%M}"
    return (
        subject_of("verification_code"),
        f"""\
Hello,

somebody, we hope you, is registering this address with cash-flow.
The code is

    {code}

Type it where you began, or in a terminal:

    cash verify

It works until {until} ({time_zone}): {CODE_LIFETIME_S // 60} minutes from when it was
asked for, and {ATTEMPTS_PER_ISSUE_MAX} tries. If you asked for several codes, only the
newest one works.

If it was not you, there is nothing to do: without the code nobody can
use your address. Please do not pass it on; we will never ask for it.
""",
    )


def already_registered_letter() -> Letter:
    """Return the letter to somebody whose address has a user already."""
    return (
        subject_of("already_registered"),
        """\
Hello,

somebody, perhaps you, tried to register this address with cash-flow.
It has an account already, so there is no code. To sign in, type in a
terminal:

    cash login

If it was not you, there is nothing to do: your account is as it was,
and whoever tried was not told that it exists.
""",
    )


def invitation_letter(inviter: str, ledger_name: str, role: str, expires_at: datetime, time_zone: str) -> Letter:
    """Return the letter to a user whom another one invites to a ledger, as ``editor`` or ``viewer``.

    It has no link: whoever wants to answer signs in. The ledger's name, which the inviter chose, can become none.
    """
    name = _LINKING.sub(r"\1 ", "".join(letter for letter in ledger_name if letter.isprintable()))
    may = "to read it and to record in it" if role == "editor" else "to read it"
    until = f"{expires_at.astimezone(ZoneInfo(time_zone)):%Y-%m-%d, %H:%M}"
    return (
        subject_of("invitation", inviter),
        f"""\
Hello,

{inviter} invites you to the ledger

    {name}

as {role}: {may}. To answer,
sign in and list your invitations, in a terminal:

    cash login
    cash ledger invitations

It is open until {until} ({time_zone}).

If you do not know {inviter}, there is nothing to do:
whoever invites you is not told that this address has an account.
""",
    )


def password_changed_letter(username: str, changed_at: datetime, time_zone: str) -> Letter:
    """Return the letter to a user whose password was changed; it has no link, and says what to do if another did."""
    moment = f"{changed_at.astimezone(ZoneInfo(time_zone)):%Y-%m-%d, %H:%M}"
    return (
        subject_of("password_changed"),
        f"""\
Hello,

the password of {username} was changed on {moment}
({time_zone}), by somebody who was signed in and knew the
old one. Every other device was signed out.

If it was you, there is nothing to do.

If it was not you, tell whoever runs this cash-flow at once: somebody
else knew your password, and uses the account now.
""",
    )


def sender_address(setting: str) -> Address:
    """Read who the letters are from: ``name <address>``, or an address alone.

    Raises:
        AddressRefused: there is no address in it.
    """
    name, address = parseaddr(setting)
    return _address(address, name)


def compose(letter: Letter, *, sender: Address, to: str, message_id: str, now: datetime) -> EmailMessage:
    """Make a message of a letter. ``message_id`` is the part before the ``@``; the rest is the sender's domain.

    International domains travel as punycode; an international mailbox needs a server with SMTPUTF8 (RFC 6531).

    Raises:
        AddressRefused: ``to`` is not one e-mail address.
    """
    subject, text = letter
    message = EmailMessage(policy=SMTP)
    message["From"] = sender
    message["To"] = _address(to)
    message["Subject"] = subject
    message["Date"] = format_datetime(now.astimezone(UTC))
    message["Message-ID"] = f"<{message_id}@{sender.domain}>"
    # RFC 3834: no vacation notice should answer it.
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(text)
    return message


def _address(typed: str, name: str = "") -> Address:
    mailbox, at, domain = typed.strip().rpartition("@")
    if not (is_mailbox(mailbox) and at and domain) or len(typed) > _ADDRESS_LENGTH_MAX:
        raise AddressRefused("This is not an e-mail address.")
    try:
        typed.encode()
        domain = mail_domain(domain)
    except UnicodeError:
        raise AddressRefused("This is not an e-mail address.") from None
    return Address(display_name=name, username=mailbox, domain=domain)
