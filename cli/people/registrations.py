"""Commands that make a user: register an e-mail address, verify it, choose a username and a password."""

import locale
import re
import time
from collections.abc import Callable
from typing import Annotated, Any

import typer
import tzlocal

from cli.connection.client import WAIT_S, Answer, Client, Refused, connect
from cli.connection.credentials import Credentials, PendingRegistration
from cli.connection.servers import Server, UrlOption
from cli.terminal.output import ExitCode, Json, fail, note, say, show_json
from cli.terminal.prompts import ask, ask_secret, is_interactive
from contracts.money import UnknownCurrency, exponent_of
from contracts.refusals import RefusalCode
from contracts.registrations import CODE_ALPHABET, CODE_LENGTH, CODE_LIFETIME_S
from contracts.text import is_mailbox, time_zones
from contracts.users import PASSWORD_LENGTH_MAX, PASSWORD_LENGTH_MIN, USERNAME_PATTERN

_POLL_S = 0.2


def register(app: typer.Typer) -> None:
    """Add these commands to ``cash``."""
    app.command("register")(register_address)
    app.command("verify")(verify)


def register_address(
    email: Annotated[
        str | None, typer.Argument(metavar="EMAIL", help="Your e-mail address; asked for when left out.")
    ] = None,
    currency: Annotated[str | None, typer.Option(help="Base currency, an ISO 4217 code such as EUR.")] = None,
    time_zone: Annotated[str | None, typer.Option(help="IANA time zone, such as Europe/Berlin.")] = None,
    url: UrlOption = None,
    json: Json = False,
) -> None:
    """Register an e-mail address; a code is mailed to it.

    Then `cash verify` asks for the code.

    Asks for what the options leave open: e-mail, base currency, time zone. Where standard input is no terminal they
    are read from it in this order, a line each; an empty or missing currency or time zone takes this machine's.

    Examples:
        cash register ann@example.org --currency EUR
    """
    with connect(url) as client:
        email = _given(email, checked_email) or ask("E-mail", check=checked_email)
        currency = _given(currency, _currency) or ask("Base currency", default=default_currency(), check=_currency)
        time_zone = _given(time_zone, _time_zone) or ask("Time zone", default=default_time_zone(), check=_time_zone)
        registration_id = request_registration(client, email, currency, time_zone)
        with client.file.changing(Credentials) as credentials:
            credentials.at(client.server.url).registration = PendingRegistration(
                registration_id=registration_id, email=email
            )
        if json:
            show_json({"registration_id": registration_id, "email": email, "server": client.server.url})
        else:
            say(f"A code is on its way to {email}; it is good for {CODE_LIFETIME_S // 60} minutes.")
            say(_next_step(client.server))


def verify(
    resend: Annotated[bool, typer.Option("--resend", help="Mail another code; the earlier one dies.")] = False,
    url: UrlOption = None,
    json: Json = False,
) -> None:
    """Type the mailed code, then choose a username and a password.

    Where standard input is no terminal it is read in this order, a line each: code, username, password. The code may
    be left out when an earlier `cash verify` got past it.

    Examples:
        cash verify
        cash verify --resend
    """
    with connect(url) as client:
        pending = client.file.read(Credentials).at(client.server.url).registration
        if pending is None:
            fail("no registration is waiting here; start one with `cash register`")
        if resend:
            _resend(client, pending, json=json)
            return
        code = pending.code
        if code is None:
            code = _verify_code(client, pending)
            note(f"{pending.email} is verified. Now choose a username and a password.")
        user = _choose_user(client, pending, code)
        _remember(client, None)
        if json:
            show_json(user)
        else:
            say(f"The user {user['username']} is yours. Next: cash login{client.server.option()}")


def request_registration(client: Client, email: str, currency: str, time_zone: str) -> str:
    """Ask for a registration and return its id when it is decided; the mail is then on its way."""
    body = {"email": email, "base_currency": currency, "time_zone": time_zone}
    answer = client.call("POST", "/registrations", body=body, signed_in=False)
    _await_decision(client, answer)
    return str(answer.body["registration_id"])


def submit_code(client: Client, registration_id: str, code: str, *, key: str | None = None) -> None:
    """Send the mailed code; raises ``Refused`` when it is not the right one."""
    path = f"/registrations/{registration_id}/verify"
    _decided(client.call("POST", path, body={"code": code}, key=key, wait=True, signed_in=False), "the code")


def submit_user(
    client: Client, registration_id: str, code: str, username: str, password: str, *, key: str | None = None
) -> Any:
    """Choose username and password, proving the code once more; returns ``user_id`` and ``username``."""
    path = f"/registrations/{registration_id}/user"
    body = {"code": code, "username": username, "password": password}
    return _decided(client.call("POST", path, body=body, key=key, wait=True, signed_in=False), "the user")


def default_currency() -> str:
    """Return the currency of this machine's locale, else EUR."""
    try:
        locale.setlocale(locale.LC_MONETARY, "")
        return _currency(str(locale.localeconv()["int_curr_symbol"]))
    except (locale.Error, ValueError):
        return "EUR"


def default_time_zone() -> str:
    """Return this machine's IANA time zone, else UTC."""
    try:
        return _time_zone(tzlocal.get_localzone_name() or "UTC")
    except (ValueError, LookupError, OSError):
        return "UTC"


def _verify_code(client: Client, pending: PendingRegistration) -> str:
    while True:
        code = ask(f"Code from the mail to {pending.email}", check=checked_code)
        try:
            submit_code(client, pending.registration_id, code)
        except Refused as refused:
            if refused.refusal == RefusalCode.CODE_WRONG and is_interactive():
                note(f"{refused}.")
                continue
            # An earlier answer was lost on its way here.
            if refused.refusal != RefusalCode.ADDRESS_VERIFIED:
                _forget_if_over(client, refused)
                raise
        pending.code = code
        _remember(client, pending)
        return code


def _choose_user(client: Client, pending: PendingRegistration, code: str) -> Any:
    password = None
    while True:
        username = ask("Username", check=checked_username)
        if username.upper() == code:
            # The same lines once more, after a correction: the first of them is not a name.
            username = ask("Username", check=checked_username)
        password = password or ask_secret("Password", confirm=True, check=checked_password)
        try:
            return submit_user(client, pending.registration_id, code, username, password)
        except Refused as refused:
            if refused.refusal in (RefusalCode.CODE_WRONG, RefusalCode.CODE_SPENT):
                # Mistyped, after the answer to the right one was lost; the next `cash verify` asks for it again.
                pending.code = None
                _remember(client, pending)
                raise
            if refused.code is not ExitCode.REFUSED or refused.refusal in REGISTRATION_OVER or not is_interactive():
                _forget_if_over(client, refused)
                raise
            note(f"{refused}.")
            if refused.refusal != RefusalCode.USERNAME_TAKEN:
                password = None


#: Refusals after which nothing can be done with a registration any more.
REGISTRATION_OVER = frozenset(
    {
        RefusalCode.REGISTRATION_COMPLETED,
        RefusalCode.REGISTRATION_EXPIRED,
        RefusalCode.REGISTRATION_NOT_FOUND,
        RefusalCode.ISSUES_SPENT,
        RefusalCode.EMAIL_TAKEN,
    }
)


def _forget_if_over(client: Client, refused: Refused) -> None:
    """Drop a registration that nothing can be done with any more; the sentence the server gave says what to do."""
    if refused.refusal in REGISTRATION_OVER or refused.code is ExitCode.NOT_FOUND:
        _remember(client, None)


def resend_code(client: Client, registration_id: str) -> None:
    """Ask for another code; the earlier one dies."""
    answer = client.call("POST", f"/registrations/{registration_id}/resend", signed_in=False)
    _await_decision(client, answer)


def _resend(client: Client, pending: PendingRegistration, *, json: bool) -> None:
    resend_code(client, pending.registration_id)
    if json:
        show_json({"registration_id": pending.registration_id, "email": pending.email, "server": client.server.url})
    else:
        say(f"Another code is on its way to {pending.email}; earlier ones no longer work.")
        say(_next_step(client.server))


def _remember(client: Client, pending: PendingRegistration | None) -> None:
    with client.file.changing(Credentials) as credentials:
        credentials.at(client.server.url).registration = pending


def _decided(answer: Answer, subject: str) -> Any:
    if answer.pending:
        fail(f"{subject} was sent and is not decided yet; try again in a moment with `cash verify`", ExitCode.PENDING)
    return answer.body


def _await_decision(client: Client, answer: Answer) -> None:
    """Look at the operation until it is decided, so that a refusal is told now and not by a mail that never comes."""
    until = time.monotonic() + WAIT_S
    while answer.location and time.monotonic() < until:
        operation = client.call("GET", answer.location, signed_in=False).body
        if operation["status"] in ("refused", "failed"):
            fail(str(operation.get("detail") or "the registration failed; try again").rstrip("."), ExitCode.REFUSED)
        if operation["status"] != "pending":
            return
        time.sleep(_POLL_S)
    note("The system is slow right now; the mail may take a while.")


def _next_step(server: Server) -> str:
    if server.local:
        return "Next: cash verify (the local mailbox caught the mail: cash mail)"
    return f"Next: cash verify{server.option()}"


def _given(value: str | None, check: Callable[[str], str]) -> str | None:
    if value is None:
        return None
    try:
        return check(value)
    except ValueError as error:
        fail(str(error), ExitCode.USAGE)


def checked_email(text: str) -> str:
    """Return a typed e-mail address; raises ``ValueError`` that says how one looks."""
    name, at, domain = text.strip().rpartition("@")
    if not (is_mailbox(name) and at and domain) or any(character.isspace() for character in domain):
        raise ValueError(f"'{text}' is not an e-mail address; it looks like ann@example.org")
    return text.strip()


def _currency(text: str) -> str:
    code = text.strip().upper()
    try:
        exponent_of(code)
    except UnknownCurrency:
        raise ValueError(f"'{text}' is not a currency; type an ISO 4217 code such as EUR, USD or JPY") from None
    return code


def _time_zone(text: str) -> str:
    zones = {zone.casefold(): zone for zone in time_zones()}
    try:
        return zones[text.strip().casefold().replace(" ", "_")]
    except KeyError:
        raise ValueError(f"'{text}' is not a time zone; type an IANA name such as Europe/Berlin or UTC") from None


def checked_code(text: str) -> str:
    """Return the letters of a typed code; raises ``ValueError`` where it cannot be one."""
    letters = "".join(text.split()).upper()
    if len(letters) != CODE_LENGTH or not set(letters) <= set(CODE_ALPHABET):
        raise ValueError(
            f"a code is {CODE_LENGTH} letters, as in the newest mail; mail another with `cash verify --resend`"
        )
    return letters


def checked_username(text: str) -> str:
    """Return a typed username; raises ``ValueError`` that says what one is made of."""
    if not re.fullmatch(USERNAME_PATTERN, text):
        raise ValueError("a username is 3 to 32 of a-z, 0-9, '.', '-' and '_', with a letter or digit at both ends")
    return text


def checked_password(text: str) -> str:
    """Return a typed password; raises ``ValueError`` where it is too short or too long."""
    if not PASSWORD_LENGTH_MIN <= len(text) <= PASSWORD_LENGTH_MAX:
        raise ValueError(f"a password has {PASSWORD_LENGTH_MIN} to {PASSWORD_LENGTH_MAX} characters")
    return text
