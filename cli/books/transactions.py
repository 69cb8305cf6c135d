"""The commands of transactions; here: look at one, and at what became of it."""

from typing import Any

import typer

from cli.books.amounts import MinusIsNoOption
from cli.books.changes import changed_lines, words_of
from cli.books.filters import FilterWords
from cli.books.ledger_choice import LedgerOption, chosen_ledger
from cli.books.naming import short
from cli.books.transaction_edits import delete, edit
from cli.books.transaction_entry import add, transfer
from cli.books.transaction_search import TransactionId, find_transaction, list_found
from cli.books.transaction_tables import in_a_line, label_of, utc, whole_of
from cli.connection.client import connect
from cli.connection.servers import UrlOption
from cli.terminal.output import Json, say, show_json, show_record, show_table


def register(app: typer.Typer) -> None:
    """Add these commands to ``cash``."""
    group = typer.Typer(help="Record transactions, change them, and read them back.")
    group.command("add", cls=MinusIsNoOption)(add)
    group.command("transfer", cls=MinusIsNoOption)(transfer)
    group.command("list", cls=FilterWords)(list_found)
    group.command("show")(show)
    group.command("edit", cls=MinusIsNoOption)(edit)
    group.command("delete")(delete)
    group.command("history")(history)
    app.add_typer(group, name="tx")


def show(transaction: TransactionId, ledger: LedgerOption = None, url: UrlOption = None, json: Json = False) -> None:
    """Show one transaction whole.

    Examples:
        cash tx show 5069a4e8
    """
    with connect(url) as client:
        found = find_transaction(client, chosen_ledger(client, ledger), transaction)
    if json:
        show_json(found)
    else:
        show_record(whole_of(found))


def history(transaction: TransactionId, ledger: LedgerOption = None, url: UrlOption = None, json: Json = False) -> None:
    """Show what became of a transaction: who changed what, and when.

    The oldest first; of a deleted one too.

    Examples:
        cash tx history 5069a4e8
    """
    with connect(url) as client:
        books = chosen_ledger(client, ledger)
        found = find_transaction(client, books, transaction)["id"]
        versions = client.call("GET", books.path(f"/transactions/{found}/history")).body
    if json:
        show_json(versions)
        return
    items = versions["items"]
    say(f"{label_of(items[-1]['state'])}:")
    show_table(
        ["Version", "When", "Who", "What"],
        [
            (item["version"], utc(item["at"]), item.get("username") or short(item["user_id"]), _what(item))
            for item in items
        ],
        right=("Version",),
        whole=("When",),
        spare=("When",),
    )


def _what(version: dict[str, Any]) -> str:
    lines = [f"{name}: {in_a_line(before)} → {in_a_line(after)}" for name, before, after in changed_lines(version)]
    return "\n".join([words_of({**version, "detail": version["state"]}), *lines])
