"""The walk's identity: who somebody is here, their sessions, their password."""

from cli.books.transaction_tables import utc
from cli.connection.client import Refused
from cli.people.passwords import change_password
from cli.people.registrations import checked_password
from cli.people.sessions import authorize, end_one, list_sessions, show_bearer, show_sessions
from cli.terminal.output import ExitCode, show_record
from cli.walk.menus import Menu, SessionOver, show_success
from cli.walk.questions import ask_for, ask_secret, complain, tell
from cli.walk.visit import Visit


def auth_menu(visit: Visit) -> Menu:
    """Return the menu of what is about the person."""
    return Menu(
        "Select an option:",
        {
            "Who am I": lambda: show_bearer(visit.client, authorize(visit.client)),
            "What the server says of my token": lambda: _show_token(visit),
            "My sessions": lambda: show_sessions(list_sessions(visit.client)),
            "End a session": lambda: _end_session(visit),
            "Change password": lambda: _change_password(visit),
            "Back": None,
        },
    )


def _show_token(visit: Visit) -> None:
    """Show what any other service would be told that asks who the bearer of the token is."""
    bearer = authorize(visit.client)
    show_record({name: utc(value) if name == "expires_at" else value for name, value in bearer.items()})


def _end_session(visit: Visit) -> None:
    show_sessions(list_sessions(visit.client))
    ended = ask_for("Enter the session ID", lambda typed: end_one(visit.client, typed))
    if ended["current"]:
        tell("Ended this session; log in again to go on.")
        raise SessionOver
    show_success("Session ended successfully")


def _change_password(visit: Visit) -> None:
    while True:
        current = ask_secret("Enter your current password")
        new = ask_secret("Enter the new password", twice=True, check=checked_password)
        try:
            change_password(visit.client, current, new)
        except Refused as refused:
            if refused.code is not ExitCode.REFUSED:
                raise
            complain(str(refused))
        else:
            show_success("Password changed successfully")
            tell("This session goes on, all others have ended.")
            return
