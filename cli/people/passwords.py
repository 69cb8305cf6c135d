"""The command that changes the password."""

import httpx
import typer

from cli.connection.client import Client, Refused, connect
from cli.connection.servers import UrlOption
from cli.connection.writes import write
from cli.people.registrations import checked_password
from cli.terminal.output import Json, note, say, show_json
from cli.terminal.prompts import ask_secret, is_interactive

#: How the server calls another password than the current one.
_WRONG = "password_wrong"


def register(app: typer.Typer) -> None:
    """Add this command to ``cash``."""
    app.command()(password)


def password(url: UrlOption = None, json: Json = False) -> None:
    """Change your password; other devices are signed out.

    Asks for the current password, then for the new one twice, and shows none of them; a mail tells you of it. Where
    standard input is no terminal it is read in this order, a line each: current, new.

    Examples:
        cash password
    """
    with connect(url) as client:
        username = client.remembered_session().username
        ask_and_change(client, username)
    if json:
        show_json({"username": username, "changed": True})
    else:
        say(f"The password of {username} is changed; this session goes on, all others have ended.")


def ask_and_change(client: Client, username: str) -> None:
    """Ask for both passwords and change it; at a terminal what the server does not take is asked for again."""
    current = new = None
    while True:
        current = current or ask_secret(f"Current password of {username}")
        new = new or ask_secret("New password", confirm=True, check=checked_password)
        try:
            change_password(client, current, new)
        except Refused as refused:
            is_wrong, is_weak = refused.refusal == _WRONG, refused.status == httpx.codes.BAD_REQUEST
            if not (is_wrong or is_weak) or not is_interactive():
                raise
            note(f"{refused}.")
            current, new = (None if is_wrong else current), (None if is_weak else new)
        else:
            return


def change_password(client: Client, current: str, new: str) -> None:
    """Change the password of whoever is signed in; every other session of theirs ends."""
    body = {"current_password": current, "new_password": new}
    write(client, "PUT", "/auth/password", body=body, look="cash login")
