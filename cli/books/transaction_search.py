"""Finding transactions: the list with its filter, and one by its id or the beginning of it."""

from typing import Annotated, Any

import typer

from cli.books.filters import FilterOption, FilterWord, joined, pointing
from cli.books.ledger_choice import Ledger, LedgerOption, chosen_ledger
from cli.books.naming import find_whole, is_beginning, that_begin
from cli.books.transaction_tables import show_transactions
from cli.connection.client import Client, connect
from cli.connection.pages import Cursor, Everything, Limit, list_pages, read_pages
from cli.connection.servers import UrlOption
from cli.terminal.output import ExitCode, Json, fail, note, say, show_json

#: How far back the beginning of an id is looked for.
_SOUGHT = 1000
TransactionId = Annotated[str, typer.Argument(metavar="ID", help="Whole, or the beginning that the list shows.")]


def list_found(
    words: FilterWord = None,
    expression: FilterOption = None,
    sort: Annotated[
        str | None, typer.Option(metavar="KEY", help="-date (newest first, the default), date, -amount or amount.")
    ] = None,
    limit: Limit = 20,
    cursor: Cursor = None,
    everything: Everything = False,
    ledger: LedgerOption = None,
    url: UrlOption = None,
    json: Json = False,
) -> None:
    """List transactions, the newest day first.

    With words, those that fit all of them.

    Words are account:, category:, payee:, tag:, text:, amount:, date:, status:, currency:, kind: and external:, and any
    other word is looked for in the texts. Amounts and dates take > >= < <= and ranges: amount:10..20
    date:2026-01-01..2026-03-31.

    Examples:
        cash tx list category:Groceries amount:'>50' date:2026-11
        cash tx list --all --output csv
        cash tx list --filter 'payee:Bakery OR tag:holiday' --sort -amount
    """
    wanted = {"filter": joined(words, expression), "sort": sort}
    with connect(url) as client, pointing(wanted["filter"]):
        books = chosen_ledger(client, ledger)
        pages = list_pages(client, books.path("/transactions"), None if everything else limit, cursor, wanted)
        items, next_cursor = read_pages(pages, cursor)
    if json:
        show_json({"items": items, "next_cursor": next_cursor})
    elif not items:
        say(
            "No transaction fits; `cash tx list` alone lists all."
            if wanted["filter"]
            else f"No transactions yet; record one: cash tx add{books.option} 24.47 Groceries"
        )
    else:
        show_transactions(items)
        if next_cursor:
            note(f"There are more: repeat it with --cursor {next_cursor}")


def find_transaction(client: Client, books: Ledger, typed: str) -> Any:
    """Find a transaction by its id, or by its beginning among the newest; refuses when there is none."""
    whole = find_whole(typed)
    if whole is None and not is_beginning(typed):
        fail(f"'{typed}' is not the id of a transaction; `cash tx list` shows them in its last column", ExitCode.USAGE)
    if whole is None:
        items, _ = read_pages(list_pages(client, books.path("/transactions"), _SOUGHT))
        if found := that_begin(items, typed):
            return found[0]
        whole = _find_deleted_id(client, books, typed)
    return client.call("GET", books.path(f"/transactions/{whole}")).body


def _find_deleted_id(client: Client, books: Ledger, typed: str) -> str:
    """Find the id of a transaction that is not listed any more, but that something happened to not long ago."""
    changes, _ = read_pages(list_pages(client, books.path("/changes"), _SOUGHT // 2))
    subjects = {change["subject_id"]: change for change in changes if change["type"].startswith("transaction.")}
    found = that_begin(subjects.values(), typed, key="subject_id")
    if not found:
        fail(
            f"none of your newest {_SOUGHT} transactions begins with '{typed}'; `cash tx list` shows them, "
            "and older ones are found by their whole id",
            ExitCode.NOT_FOUND,
        )
    return str(found[0]["subject_id"])
