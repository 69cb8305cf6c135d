"""Codes taken from the mailbox of development, for whoever registers people without anybody reading mails."""

import re
import time
from collections.abc import Iterator
from typing import Any

from cli.connection.client import Client, Refused
from cli.connection.servers import Server
from cli.development.mailbox import list_mails, read_mail
from cli.people.registrations import request_registration, submit_code
from cli.terminal.output import Failure
from contracts.refusals import RefusalCode
from contracts.registrations import CODE_ALPHABET, CODE_LENGTH

_WITHIN_S = 30.0
_POLL_S = 0.1


def verified_registration(
    client: Client, mailbox: Server, email: str, currency: str, time_zone: str
) -> tuple[str, str] | None:
    """Register an address and hand in the code mailed to it; return the registration's id and that code.

    ``None`` when the mail says that the address has a user.
    """
    earlier = {mail["id"] for mail in list_mails(mailbox, to=email)}
    registration_id = request_registration(client, email, currency, time_zone)
    for mail in _new_mails(mailbox, email, earlier):
        code = code_in(mail["text"])
        if code is None:
            return None
        try:
            submit_code(client, registration_id, code)
        except Refused as refused:
            # A late mail of an earlier, interrupted registration: ours is still to come.
            if refused.refusal != RefusalCode.CODE_WRONG:
                raise
        else:
            return registration_id, code
    raise Failure(f"no code came to {email} within {_WITHIN_S:.0f} s; look at `cash logs celery-worker` and try again")


def code_in(text: str) -> str | None:
    """Return the verification code that stands on a line of its own in a mail."""
    found = re.search(rf"^\s*([{CODE_ALPHABET}]{{{CODE_LENGTH}}})\s*$", text, re.MULTILINE)
    return found[1] if found else None


def _new_mails(mailbox: Server, email: str, seen: set[str]) -> Iterator[dict[str, Any]]:
    """Yield mails to an address as they come, whole; those seen already are passed over."""
    until = time.monotonic() + _WITHIN_S
    while time.monotonic() < until:
        for mail in list_mails(mailbox, to=email):
            if mail["id"] not in seen:
                seen.add(mail["id"])
                yield read_mail(mailbox, mail["id"])
        time.sleep(_POLL_S)
