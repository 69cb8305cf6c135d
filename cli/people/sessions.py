"""Commands of sessions: sign in, sign out, who am I; where else I am signed in, and ending that."""

import platform
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from cli.books.naming import pick, short
from cli.books.transaction_tables import utc
from cli.connection.client import Client, connect, read_session
from cli.connection.credentials import Credentials, Session
from cli.connection.servers import UrlOption
from cli.connection.writes import write
from cli.terminal.output import ExitCode, Failure, Json, fail, say, show_json, show_record, show_table
from cli.terminal.prompts import ask, ask_secret


def register(app: typer.Typer) -> None:
    """Add these commands to ``cash``."""
    for command in (login, logout, whoami, sessions):
        app.command()(command)
    group = typer.Typer(help="End a session of yours.", no_args_is_help=True)
    group.command("end")(end)
    app.add_typer(group, name="session")


def login(
    username: Annotated[str | None, typer.Argument(metavar="USERNAME", help="Asked for when left out.")] = None,
    url: UrlOption = None,
    json: Json = False,
) -> None:
    """Sign in; the session is remembered on this machine.

    Asks for both. Where standard input is no terminal they are read from it in this order, a line each.

    Examples:
        cash login ann
        cash login --url https://cash.example.org
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
    """End the session on the server and forget its tokens here.

    Examples:
        cash logout
    """
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
    """Show who is signed in, as the server sees it.

    Examples:
        cash whoami
        cash whoami --json
    """
    with connect(url) as client:
        bearer = authorize(client)
        if json:
            show_json({**bearer, "server": client.server.url})
        else:
            show_bearer(client, bearer)


def sessions(url: UrlOption = None, json: Json = False) -> None:
    """List where you are signed in, the last used first.

    A session is one sign-in of one device or program; it ends 30 days after it was last used.

    Examples:
        cash sessions
        cash session end 3f2a91bc
    """
    with connect(url) as client:
        items = list_sessions(client)
    if json:
        show_json({"items": items})
    else:
        show_sessions(items)


def end(
    session: Annotated[
        str | None, typer.Argument(metavar="ID", help="As `cash sessions` shows it: whole, or its beginning.")
    ] = None,
    others: Annotated[bool, typer.Option("--others", help="All of them but this one.")] = False,
    url: UrlOption = None,
    json: Json = False,
) -> None:
    """End a session: whoever uses it is signed out.

    Its tokens are refused within five seconds.

    Examples:
        cash session end 3f2a91bc
        cash session end --others
    """
    if others == (session is not None):
        fail("say which session to end: its id, as `cash sessions` shows it, or --others", ExitCode.USAGE)
    with connect(url) as client:
        ended = end_others(client) if session is None else [end_one(client, session)]
    if json:
        show_json({"items": ended})
    elif session is None:
        say(f"Ended {len(ended)} other {'session' if len(ended) == 1 else 'sessions'}.")
    elif ended[0]["current"]:
        say("Ended this session; you are signed out here.")
    else:
        say(f"Ended the session of {ended[0]['client'] or 'an unnamed client'}.")


def list_sessions(client: Client) -> list[Any]:
    """Return the open sessions of whoever is signed in, the last used first."""
    items: list[Any] = client.call("GET", "/sessions").body["items"]
    return items


def show_sessions(items: Sequence[Mapping[str, Any]]) -> None:
    """Print sessions as a table."""
    minutes = len("2026-03-31 18:30")
    rows = [
        (
            item["client"] or "—",
            utc(item["started_at"])[:minutes],
            utc(item["refreshed_at"])[:minutes],
            "this one" if item["current"] else "",
            short(item["id"]),
        )
        for item in items
    ]
    columns = ["Client", "Since (UTC)", "Last used (UTC)", "Which", "ID"]
    show_table(columns, rows, whole=columns[1:], spare=("Since (UTC)", "Last used (UTC)"))


def end_one(client: Client, typed: str) -> Any:
    """End the session somebody named, and return it as it was; this one's tokens are forgotten here too."""
    found = pick(list_sessions(client), typed, noun="session", look="cash sessions", name="client")
    write(client, "DELETE", f"/sessions/{found['id']}", look="cash sessions")
    if found["current"] and client.session is None:
        _forget(client)
    return found


def end_others(client: Client) -> list[Any]:
    """End every session but this one; return them as they were."""
    ended: list[Any] = []
    # A list has 200 of them at most.
    while others := [item for item in list_sessions(client) if not item["current"]]:
        for item in others:
            write(client, "DELETE", f"/sessions/{item['id']}", look="cash sessions")
        ended += others
    return ended


def authorize(client: Client) -> Any:
    """Return who the server says the bearer of the session's token is."""
    return client.call("GET", "/auth/authorize").body


def show_bearer(client: Client, bearer: Mapping[str, Any]) -> None:
    """Print who somebody is."""
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
