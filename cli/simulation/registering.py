"""How people who are made up come into the system: registered, verified by the mailed code, signed in."""

import hmac
import secrets
import time
from base64 import urlsafe_b64encode
from uuid import uuid4

from pydantic import BaseModel, Field

from cli.connection.client import Client, Refused
from cli.connection.credentials import PrivateFile, Session
from cli.connection.folders import config_folder
from cli.connection.servers import Server
from cli.development.mailbox import list_mails, read_mail
from cli.development.mailed_codes import code_in
from cli.people.registrations import submit_code, submit_user
from cli.people.sessions import sign_in
from cli.simulation.patience import GIVE_UP_S, GaveUp, Patience
from cli.simulation.people import Person
from cli.terminal.output import ExitCode, Failure
from contracts.refusals import RefusalCode

#: Whoever waits for a mail looks this often.
_LOOK_S = 0.2
#: The server told all of them to wait for so long that their codes died: they begin anew, so often.
_BEGINNINGS = 3


class _Key(BaseModel):
    key: str | None = Field(None, repr=False)


class Passwords:
    """Passwords of people who are made up: the same on this machine, known to nobody who only knows the seed."""

    def __init__(self, file: PrivateFile | None = None) -> None:
        """Read the key they are made with, which only this machine has; the first run makes it."""
        file = file or PrivateFile(config_folder() / "simulator.json")
        with file.changing(_Key) as kept:
            kept.key = kept.key or secrets.token_hex(32)
        self._key = bytes.fromhex(kept.key)

    def of(self, person: Person) -> str:
        """Return somebody's password."""
        return urlsafe_b64encode(hmac.digest(self._key, person.username.encode(), "sha256")[:18]).decode()


def find_session(client: Client, person: Person, password: str, patience: Patience) -> Session | None:
    """Sign somebody in; ``None`` where the server knows nobody of this name and password."""
    try:
        return patience.until_answered(lambda: sign_in(client, person.username, password))
    except Refused as refused:
        if refused.code is not ExitCode.NOT_SIGNED_IN:
            raise
        return None


def register(client: Client, mailbox: Server, person: Person, password: str, patience: Patience) -> None:
    """Make somebody a user, with the code that is mailed to them.

    Raises:
        Refused: the server said no to one of the steps.
        Failure: no code came, or the address has a user whose password is not known here.
        Stopped: the run is to end.
    """
    for left in reversed(range(_BEGINNINGS)):
        try:
            _register(client, mailbox, person, password, patience)
        except Refused as refused:
            if refused.refusal != RefusalCode.CODE_EXPIRED or not left:
                raise
        else:
            return


def _register(client: Client, mailbox: Server, person: Person, password: str, patience: Patience) -> None:
    # One key for each step, kept for as often as the step is asked for.
    key = str(uuid4())
    seen = {mail["id"] for mail in patience.until_answered(lambda: list_mails(mailbox, to=person.email))}
    body = {"email": person.email, "base_currency": person.base_currency, "time_zone": person.time_zone}
    asked = patience.until_answered(lambda: client.call("POST", "/registrations", body=body, key=key, signed_in=False))
    registration_id = str(asked.body["registration_id"])
    code = _verified_code(client, mailbox, person, registration_id, seen, patience)
    patience.until_answered(
        lambda: submit_user(client, registration_id, code, person.username, password, key=f"{key}-user")
    )


def _verified_code(
    client: Client, mailbox: Server, person: Person, registration_id: str, seen: set[str], patience: Patience
) -> str:
    until = time.monotonic() + GIVE_UP_S
    while time.monotonic() < until:
        mails = patience.until_answered(lambda: list_mails(mailbox, to=person.email))
        for mail_id in [mail["id"] for mail in mails if mail["id"] not in seen]:
            seen.add(mail_id)
            code = _code(mailbox, mail_id, person, patience)
            if _is_right(client, registration_id, code, patience):
                return code
        patience.wait(_LOOK_S, f"no mail to {person.email} yet", until=until)
    raise GaveUp(
        f"no code came to {person.email} within {GIVE_UP_S:.0f} s; see `cash logs celery-worker`", ExitCode.UNREACHABLE
    )


def _code(mailbox: Server, mail_id: str, person: Person, patience: Patience) -> str:
    code = code_in(patience.until_answered(lambda: read_mail(mailbox, mail_id))["text"])
    if code is None:
        raise Failure(
            f"{person.email} has a user already, and its password is not known here; use another --seed",
            ExitCode.REFUSED,
        )
    return code


def _is_right(client: Client, registration_id: str, code: str, patience: Patience) -> bool:
    key = str(uuid4())
    try:
        patience.until_answered(lambda: submit_code(client, registration_id, code, key=key))
    except Refused as refused:
        # The mail of an earlier run that was interrupted, come late: ours is still to come.
        if refused.refusal != RefusalCode.CODE_WRONG:
            raise
        return False
    return True
