"""The command that shows what happens to a ledger while it happens."""

import contextlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from cli.books.changes import words_of
from cli.books.event_lines import Event, EventReader
from cli.books.ledger_choice import Ledger, LedgerOption, chosen_ledger
from cli.books.naming import SHORT
from cli.connection.client import Client, connect
from cli.connection.servers import UrlOption
from cli.terminal.output import ExitCode, Failure, Json, fail, note, say, show_json_line
from contracts.transactions import TransactionKind

#: A comment comes every 15 seconds where nothing else does; without a sign for so long nobody is there any more.
_SILENT_S = 40.0
_PAUSE_S = 2.0
_PAUSE_S_MAX = 30.0
#: What to do when the server says that the stream is over: the exit code of each reason.
_OVER = {"not_a_member": ExitCode.NOT_FOUND, "session_ended": ExitCode.NOT_SIGNED_IN}


def register(app: typer.Typer) -> None:
    """Add this command to ``cash``."""
    app.command("watch")(watch)


def watch(
    since: Annotated[
        int | None,
        typer.Option(min=0, metavar="CHANGE", help="First what came after this number; 0 for all there is."),
    ] = None,
    ledger: LedgerOption = None,
    url: UrlOption = None,
    json: Json = False,
) -> None:
    """Show what is recorded in a ledger as it comes.

    By whomever, until Ctrl-C.

    When the connection is lost it is made again, and goes on where it was: nothing is missing and nothing is shown
    twice. With --json each line is one entry of the journal, its `sequence` a number for --since.

    Examples:
        cash watch --ledger Home
        cash watch --json
    """
    # Ctrl-C is how this ends, not how it fails.
    with contextlib.suppress(KeyboardInterrupt), connect(url) as client:
        books = chosen_ledger(client, ledger)
        names = _Names(client, books)
        for event in follow(client, books, since):
            if json:
                show_json_line(_entry_of(event))
            elif line := names.line_of(_entry_of(event)):
                say(line)


def follow(client: Client, books: Ledger, since: int | None) -> Iterator[Event]:
    """Yield a ledger's events for ever, in order; connect again as often as needed.

    Raises:
        Failure: it could not be connected in the first place, or the server says that it is over.
    """
    reader = EventReader("" if since is None else str(since))
    pause_s, is_first, is_away = _PAUSE_S, True, False
    while True:
        at_once = False
        try:
            headers = {"Last-Event-ID": reader.last_id} if reader.last_id else {}
            with client.stream(books.path("/events"), headers=headers, silent_s=_SILENT_S) as parts:
                if is_first:
                    note(f"Watching {books.name}; Ctrl-C ends this.")
                if is_away:
                    note("Connected again.")
                is_first = is_away = False
                reader = EventReader(reader.last_id)
                for part in parts:
                    for event in reader.feed(part):
                        if event.type == "end":
                            at_once = _may_come_again(event)
                        else:
                            yield event
                    pause_s = (reader.retry_ms or _PAUSE_S * 1000) / 1000
        except Failure as lost:
            if is_first or lost.code not in (ExitCode.UNREACHABLE, ExitCode.NOT_READY):
                raise
            if not is_away:
                note(f"{lost}. It is tried again until it is back.")
            is_away = True
            pause_s = min(pause_s * 1.5, _PAUSE_S_MAX)
        if not at_once:
            time.sleep(pause_s)


def _may_come_again(end: Event) -> bool:
    """Return true where the server only wants a fresh token; fail with what it says where it is over."""
    why = json.loads(end.data)
    if why["reason"] != "token_expired":
        detail = str(why["detail"]).rstrip(".")
        fail(detail[:1].lower() + detail[1:], _OVER.get(why["reason"], ExitCode.FAILED))
    return True


def _entry_of(event: Event) -> Any:
    return json.loads(event.data)


class _Names:
    """What people call the accounts and members that entries name by their ids."""

    def __init__(self, client: Client, books: Ledger) -> None:
        self._client = client
        self._books = books
        self._zone = ZoneInfo(books.time_zone)
        session = client.remembered_session()
        self._persons = {session.user_id: session.username}
        self._accounts: dict[str, str] = {}

    def line_of(self, entry: Mapping[str, Any]) -> str | None:
        """Return an entry as a line for people; none for half of a change whose other half follows."""
        kind = entry["type"]
        if kind.startswith("account.") and "name" in entry:
            self._accounts[entry["account_id"]] = entry["name"]
        if kind == "transaction.reversed" and not entry["deleted"]:
            return None
        at = datetime.fromisoformat(entry["recorded_at"]).astimezone(self._zone)
        postings = entry.get("postings") or ()
        words = words_of(
            {"type": kind, "detail": {**entry, **_total_of(entry, postings)}, "undoes": entry.get("undoes")}
        )
        way = f"  ({self._way_of(entry, postings)})" if postings else ""
        return f"{at:%Y-%m-%d %H:%M:%S}  {self._person(entry['user_id'])}  {words}{way}"

    def _way_of(self, entry: Mapping[str, Any], postings: Sequence[Mapping[str, Any]]) -> str:
        """Return which way the money went: ``Cash → Groceries``."""
        sources = [self._account(each["source_account_id"]) for each in postings]
        destinations = [self._account(each["destination_account_id"]) for each in postings]
        if entry.get("kind") == TransactionKind.EXCHANGE:
            return f"{sources[0]} → {destinations[-1]} {postings[-1]['amount']} {postings[-1]['currency']}"
        return f"{', '.join(dict.fromkeys(sources))} → {', '.join(dict.fromkeys(destinations))}"

    def _account(self, account_id: str) -> str:
        if account_id not in self._accounts:
            self._accounts |= self._ask("/accounts", "id", "name", {"closed": "true"})
        # One that was merged into another is not listed.
        return self._accounts.setdefault(account_id, account_id[:SHORT])

    def _person(self, user_id: str) -> str:
        if user_id not in self._persons:
            self._persons |= self._ask("/members", "user_id", "username")
        return self._persons.setdefault(user_id, user_id[:SHORT])

    def _ask(self, path: str, key: str, name: str, parameters: Mapping[str, str | int] | None = None) -> dict[str, str]:
        # A name is a nicety: without an answer the beginning of the id must do.
        with contextlib.suppress(Failure):
            items = self._client.call("GET", self._books.path(path), parameters=parameters).body["items"]
            return {item[key]: item[name] for item in items if item.get(name)}
        return {}


def _total_of(entry: Mapping[str, Any], postings: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return what a transaction comes to; of an exchange, what left."""
    if not postings:
        return {}
    counted = postings[:1] if entry.get("kind") == TransactionKind.EXCHANGE else postings
    return {"amount": str(sum(Decimal(each["amount"]) for each in counted)), "currency": postings[0]["currency"]}
