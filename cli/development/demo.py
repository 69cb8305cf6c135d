"""The command that fills a local system with a demo person and their books, through the same API as everybody."""

import os
import re
import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from urllib.parse import urlsplit

import typer

from cli.books.accounts import show_accounts
from cli.books.ledger_choice import Ledger, personal_ledger
from cli.books.transaction_entry import submit_transaction
from cli.books.transaction_tables import show_transactions
from cli.connection.client import Client, Refused
from cli.connection.credentials import Session, credentials_file
from cli.connection.folders import config_folder
from cli.connection.pages import list_pages, read_pages
from cli.connection.servers import Server, UrlOption, checked_url, find_mailbox, local_server
from cli.connection.writes import write
from cli.development.household import SAVINGS, Entry, entries_until
from cli.development.mailed_codes import verified_registration
from cli.people.registrations import default_time_zone, submit_user
from cli.people.sessions import end_session, sign_in
from cli.terminal.output import ExitCode, Json, fail, note, say, show_json
from contracts.accounts import AccountKind
from contracts.refusals import RefusalCode
from infra.local.home import write_whole

_CURRENCY = "EUR"
_AT_ONCE = 8
_NEWEST = 10


def register(app: typer.Typer) -> None:
    """Add this command to ``cash``."""
    app.command()(demo)


@dataclass(frozen=True, slots=True)
class DemoPerson:
    """Who the demo is on one server: a username, and a password that nobody chose."""

    username: str
    password: str

    @property
    def email(self) -> str:
        """An address that only the mailbox of development delivers to (RFC 2606)."""
        return f"{self.username}@example.org"


def demo(url: UrlOption = None, json: Json = False) -> None:
    """Make a demo person with some months of transactions.

    Running it again adds nothing twice.

    Registers, verifies, signs in and records as anybody would, through the API of the local stack. The code comes from
    its mailbox (or the one that CASH_MAILBOX_URL names). Your own session stays as it is.

    Examples:
        cash demo
    """
    named = url or os.environ.get("CASH_URL")
    server = Server(checked_url(named)) if named else local_server("gateway")
    file = _person_file(server)
    client = Client(server, credentials_file())
    try:
        client.session = _signed_in(client, file)
        books = personal_ledger(client.session)
        outcome = _record(client, books)
        accounts = client.call("GET", books.path("/accounts")).body["items"]
        newest, _ = read_pages(list_pages(client, books.path("/transactions"), _NEWEST))
        end_session(client, client.session.session_id)
    finally:
        client.close()
    if json:
        show_json(
            {
                "username": client.session.username,
                "password_file": file,
                "new": outcome["new"],
                "already_there": outcome["known"],
                "accounts": accounts,
                "newest": newest,
            }
        )
        return
    show_accounts(accounts)
    say("")
    show_transactions(newest, title="Newest transactions")
    say(f"\nLook around as {client.session.username}; the file holds username and password:")
    say(f"  cash login{server.option()} < {_for_shell(file)}\n  cash tx list\n  cash accounts\n  cash totals")


def _signed_in(client: Client, file: Path) -> Session:
    """Sign in the demo person known on this machine, else register one."""
    person = _read_person(file)
    if person is not None:
        try:
            return sign_in(client, person.username, person.password)
        except Refused as refused:
            if refused.code is not ExitCode.NOT_SIGNED_IN:
                raise
            # The system was reset, or an earlier demo was interrupted before its user existed.
    return _register(client, file, person or DemoPerson("demo", secrets.token_urlsafe(12)))


def _register(client: Client, file: Path, person: DemoPerson) -> Session:
    mailbox = find_mailbox()
    verified = _verified_registration(client, mailbox, person.email)
    if verified is None:
        # The address has a user whose password is not known here: somebody else's demo, so this is another person.
        person = _another()
        verified = _verified_registration(client, mailbox, person.email)
    if verified is None:
        fail("the demo's address is taken twice over; empty the local stack with `cash reset` and try again")
    try:
        return _made(client, file, person, *verified)
    except Refused as refused:
        if refused.refusal != RefusalCode.USERNAME_TAKEN:
            raise
        return _made(client, file, _another(), *verified)


def _made(client: Client, file: Path, person: DemoPerson, registration_id: str, code: str) -> Session:
    """Make the user and sign in; the password is kept first, or an interruption would leave a user nobody knows."""
    _write_person(file, person)
    submit_user(client, registration_id, code, person.username, person.password)
    note(f"The user {person.username} exists.")
    return sign_in(client, person.username, person.password)


def _verified_registration(client: Client, mailbox: Server, email: str) -> tuple[str, str] | None:
    note(f"Registering {email} ...")
    verified = verified_registration(client, mailbox, email, _CURRENCY, default_time_zone())
    if verified is not None:
        note(f"The code {verified[1]} came by mail and was right.")
    return verified


def _record(client: Client, books: Ledger) -> dict[str, int]:
    """Record the household's transactions, some at once; returns how many were new and how many known."""
    begun = time.monotonic()
    entries = entries_until(books.now().date())
    _open_savings(client, books)
    pool = ThreadPoolExecutor(_AT_ONCE)
    try:
        known = sum(pool.map(lambda entry: _was_there(client, books, entry), entries))
    finally:
        pool.shutdown(cancel_futures=True)
    took_s = time.monotonic() - begun
    new = len(entries) - known
    note(
        f"{len(entries)} transactions from {entries[0].day} to {entries[-1].day}: "
        f"{new} new, {known} already there ({took_s:.1f} s).\n"
    )
    return {"new": new, "known": known}


def _open_savings(client: Client, books: Ledger) -> None:
    """Open the account that the household saves on; another run finds it there."""
    look = "cash accounts"
    body = {"name": SAVINGS, "kind": AccountKind.ASSET}
    try:
        write(client, "POST", books.path("/accounts"), body=body, key="demo-account-savings", look=look)
    except Refused as refused:
        # Its operation was tidied away long ago; the account itself stays.
        if refused.refusal != RefusalCode.NAME_TAKEN:
            raise


def _was_there(client: Client, books: Ledger, entry: Entry) -> bool:
    try:
        answer = submit_transaction(client, books, entry.body(), key=entry.key)
    except Refused as refused:
        # Its operation was tidied away long ago; the transaction itself stays.
        if refused.refusal == RefusalCode.TRANSACTION_ID_TAKEN:
            return True
        raise
    if answer.pending:
        fail("some transactions are accepted but not recorded yet; run `cash demo` again in a moment", ExitCode.PENDING)
    return answer.replayed


def _for_shell(file: Path) -> str:
    """Return a path to be copied into a shell, short where it is below the home folder."""
    if file.is_relative_to(Path.home()):
        return f"~/{quote(str(file.relative_to(Path.home())))}"
    return quote(str(file))


def _another() -> DemoPerson:
    return DemoPerson(f"demo-{secrets.token_hex(2)}", secrets.token_urlsafe(12))


def _person_file(server: Server) -> Path:
    place = re.sub(r"[^a-z0-9.]+", "-", urlsplit(server.url).netloc.lower())
    return config_folder() / f"demo-{place}.txt"


def _read_person(file: Path) -> DemoPerson | None:
    try:
        username, password = file.read_text("utf-8").splitlines()
    except (OSError, ValueError):
        return None
    return DemoPerson(username, password)


def _write_person(file: Path, person: DemoPerson) -> None:
    """Keep username and password, a line each, as ``cash login`` reads them from standard input."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_whole(file, f"{person.username}\n{person.password}\n")
    except OSError as error:
        fail(f"{file} cannot be written ({error.strerror}); set CASH_CONFIG_HOME to a folder of yours")
