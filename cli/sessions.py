"""Commands of a signed-in session: sign in, sign out, who am I."""

import platform
from typing import Annotated

import typer

from cli.client import Client, connect, read_session
from cli.credentials import Credentials, Session
from cli.output import ExitCode, Failure, Json, fail, say, show_json, show_record
from cli.prompts import ask, ask_secret
from cli.servers import UrlOption


def register(app: typer.Typer) -> None:
    """Add these commands to ``cash``."""
    for command in (login, logout, whoami):
        app.command(rich_help_panel="Who you are")(command)


def login(
    username: Annotated[str | None, typer.Argument(metavar="USERNAME", help="Asked for when left out.")] = None,
    url: UrlOption = None,
    json: Json = False,
) -> None:
    """Sign in with username and password; the session is remembered on this machine.

    Asks for both. Where standard input is no terminal they are read from it in this order, a line each.
    """
    with connect(url) as client:
        session = sign_in(client, username or ask("Username"), ask_secret("Password"))
        with client.file.changing(Credentials) as credentials:
            credentials.server = client.server.url if url else credentials.server
            credentials.at(client.server.url).session = session
        if json:
            show_json(_public(client, session))
        else:
            say(f"Signed in as {session.username} at {client.server.url}.")


def logout(url: UrlOption = None, json: Json = False) -> None:
    """End the session on the server and forget its tokens here."""
    with connect(url) as client:
        session = client.find_session()
        if session is None:
            _forget(client)
            session = client.remembered_session()  # says what to do
        told = True
        try:
            end_session(client, session.session_id)
        except Failure as failure:
            # Already over on the server, or no server: what remains is to forget it here.
            told = failure.code in (ExitCode.NOT_SIGNED_IN, ExitCode.NOT_FOUND)
            if not told and failure.code not in (ExitCode.UNREACHABLE, ExitCode.NOT_READY):
                raise
        _forget(client)
        if json:
            show_json({"username": session.username, "ended": told})
        if not told:
            fail(
                "signed out here, but the server could not be told and keeps the session until it expires",
                ExitCode.UNREACHABLE,
            )
        if not json:
            say(f"Signed out; {session.username}'s session is over.")


def whoami(url: UrlOption = None, json: Json = False) -> None:
    """Show who is signed in, as the server sees it."""
    with connect(url) as client:
        bearer = client.call("GET", "/auth/authorize").body
        if json:
            show_json({**bearer, "server": client.server.url})
        else:
            show_record(
                {
                    "Username": bearer["username"],
                    "Base currency": bearer["base_currency"],
                    "Time zone": bearer["time_zone"],
                    "Server": client.server.url,
                    "Ledger": bearer["ledger_id"],
                    "User": bearer["user_id"],
                }
            )


def sign_in(client: Client, username: str, password: str) -> Session:
    """Start a session."""
    body = {"username": username, "password": password, "client": f"cash on {platform.node()}"[:200]}
    return read_session(client.call("POST", "/sessions", body=body, signed_in=False).body)


def end_session(client: Client, session_id: str) -> None:
    """End one of the signed-in person's sessions."""
    client.call("DELETE", f"/sessions/{session_id}", wait=True)


def _forget(client: Client) -> None:
    with client.file.changing(Credentials) as credentials:
        credentials.at(client.server.url).session = None
        if credentials.server == client.server.url:
            # The local stack is what commands talk to again.
            credentials.server = None


def _public(client: Client, session: Session) -> dict[str, object]:
    return {**session.model_dump(exclude={"access_token", "refresh_token"}), "server": client.server.url}
