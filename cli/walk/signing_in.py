"""The beginning of the walk: register with a mailed code, and log in."""

from cli.connection.client import Client, Refused
from cli.development.mailed_codes import verified_registration
from cli.environments import Environment
from cli.people.registrations import (
    REGISTRATION_OVER,
    checked_code,
    checked_email,
    checked_password,
    checked_username,
    default_currency,
    default_time_zone,
    request_registration,
    resend_code,
    submit_code,
    submit_user,
)
from cli.people.sessions import sign_in
from cli.terminal.output import ExitCode, say
from cli.walk.menus import show_success
from cli.walk.questions import ask, ask_one_of, ask_secret, complain, tell
from contracts.refusals import RefusalCode
from contracts.registrations import CODE_LENGTH, CODE_LIFETIME_S

_RESEND = "R"


def log_in(client: Client) -> None:
    """Ask for username and password until they are right; the session lives in memory only."""
    while client.session is None:
        username = ask("Enter your username")
        password = ask_secret("Enter your password")
        try:
            client.session = sign_in(client, username, password)
        except Refused as refused:
            if refused.code is not ExitCode.NOT_SIGNED_IN:
                raise
            complain(f"{refused} (nothing typed goes back)")
    show_success("Login Successful")


def register(client: Client, environment: Environment) -> None:
    """Register an address, verify it by hand or from the mailbox, and make a user of it."""
    email = ask("Enter your email", check=checked_email)
    currency, time_zone = default_currency(), default_time_zone()
    if ask_one_of("Verify code? (y = manual, a = auto)", ("y", "a"), default="y") == "a":
        tell("Auto-verification selected. The code is taken from the mailbox.")
        verified = verified_registration(client, environment.mailbox, email, currency, time_zone)
        if verified is None:
            complain(f"{email} has a user already, its mail says; log in, or register another address")
            return
        registration_id, code = verified
    else:
        registration_id = request_registration(client, email, currency, time_zone)
        tell(f"A code is on its way to {email}; it is good for {CODE_LIFETIME_S // 60} minutes.")
        if environment.server.local:
            say(f"The local mailbox catches it; in another terminal: cash mail --to {email}")
        code = _verified_code(client, registration_id)
    tell("Registration verified")
    tell(f"Your books will be kept in {currency}, by the days of {time_zone}.")
    _make_user(client, registration_id, code)
    show_success("User created successfully")


def _verified_code(client: Client, registration_id: str) -> str:
    while True:
        code = ask(f"Enter the code ({_RESEND.lower()} = send another)", check=_code_or_resend)
        try:
            if code == _RESEND:
                resend_code(client, registration_id)
                tell("Another code is on its way; earlier ones no longer work.")
                continue
            submit_code(client, registration_id, code)
        except Refused as refused:
            # An earlier answer was lost on its way here.
            if refused.refusal == RefusalCode.ADDRESS_VERIFIED:
                return code
            _ask_again(refused)
        else:
            return code


def _make_user(client: Client, registration_id: str, code: str) -> None:
    username = password = None
    while True:
        username = username or ask("Enter your username", check=checked_username)
        password = password or ask_secret("Enter your password", twice=True, check=checked_password)
        try:
            submit_user(client, registration_id, code, username, password)
        except Refused as refused:
            _ask_again(refused)
            if refused.refusal == RefusalCode.USERNAME_TAKEN:
                username = None
            else:
                password = None
        else:
            return


def _ask_again(refused: Refused) -> None:
    """Say why something was refused, where another answer helps."""
    if refused.code is not ExitCode.REFUSED or refused.refusal in REGISTRATION_OVER:
        raise refused
    complain(str(refused))


def _code_or_resend(typed: str) -> str:
    if typed.upper() == _RESEND:
        return _RESEND
    try:
        return checked_code(typed)
    except ValueError:
        raise ValueError(f"a code is {CODE_LENGTH} letters, as in the newest mail") from None
