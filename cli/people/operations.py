"""Commands of operations: what I asked of ledgers, and what became of it."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any

import typer

from cli.books.ledger_choice import chosen_ledger
from cli.books.naming import find_whole, is_beginning, short, that_begin
from cli.books.transaction_tables import label_of, utc
from cli.connection.client import Client, connect
from cli.connection.pages import Cursor, Everything, Limit, list_pages, read_pages
from cli.connection.servers import UrlOption
from cli.terminal.output import ExitCode, Json, fail, note, say, show_json, show_record, show_table

#: How far back the beginning of an id is looked for.
_SOUGHT = 1000


class Ended(StrEnum):
    """How an operation ended."""

    RECORDED = "recorded"
    REFUSED = "refused"
    FAILED = "failed"


def register(app: typer.Typer) -> None:
    """Add these commands to ``cash``."""
    app.command("operations")(list_operations)
    group = typer.Typer(help="Look at one thing you asked for.", no_args_is_help=True)
    group.command("show")(show)
    app.add_typer(group, name="operation")


def list_operations(
    state: Annotated[
        Ended | None, typer.Option(metavar="STATE", help="Only those that ended so: recorded, refused or failed.")
    ] = None,
    limit: Limit = 20,
    cursor: Cursor = None,
    everything: Everything = False,
    ledger: Annotated[
        str | None,
        typer.Option("--ledger", metavar="LEDGER", help="Only what was asked of this ledger; of all when left out."),
    ] = None,
    url: UrlOption = None,
    json: Json = False,
) -> None:
    """List what you asked of ledgers, and what became of it.

    The newest first, over all your ledgers and programs. They are kept for 45 days; signing in and out is not among
    them (`cash sessions`).

    Examples:
        cash operations --state refused
        cash operation show 5069a4e8
    """
    with connect(url) as client:
        books = chosen_ledger(client, ledger) if ledger else None
        wanted = {"state": state, "ledger": books.id if books else None}
        pages = list_pages(client, "/operations", None if everything else limit, cursor, wanted)
        items, next_cursor = read_pages(pages, cursor)
        names = {} if json or not items else ledger_names(client)
    if json:
        show_json({"items": items, "next_cursor": next_cursor})
    elif not items:
        ended = "failed" if state is Ended.FAILED else f"was {state}"
        say(f"Nothing you asked for {ended}." if state else "You have asked for nothing in the last 45 days.")
    else:
        show_operations(items, names)
        if next_cursor:
            note(f"There are more: repeat it with --cursor {next_cursor}")


def show(
    operation: Annotated[
        str, typer.Argument(metavar="ID", help="As `cash operations` shows it: whole, or its beginning.")
    ],
    url: UrlOption = None,
    json: Json = False,
) -> None:
    """Show what you asked for, as sent, and what became of it.

    Examples:
        cash operation show 5069a4e8
    """
    with connect(url) as client:
        found = find_operation(client, operation)
        names = {} if json else ledger_names(client)
    if json:
        show_json(found)
    else:
        show_operation(found, names)


def ledger_names(client: Client) -> dict[str, str]:
    """Return what the ledgers of whoever is signed in are called, by their ids."""
    return {item["id"]: item["name"] for item in client.call("GET", "/ledgers").body["items"]}


def find_operation(client: Client, typed: str) -> Any:
    """Find an operation by its id, or by its beginning among the newest; refuses when there is none."""
    whole = find_whole(typed)
    if whole is None and not is_beginning(typed):
        fail(
            f"'{typed}' is not the id of an operation; `cash operations` shows them in its last column", ExitCode.USAGE
        )
    if whole is None:
        items, _ = read_pages(list_pages(client, "/operations", _SOUGHT))
        found = that_begin(items, typed)
        if not found:
            fail(
                f"none of your newest {_SOUGHT} operations begins with '{typed}'; `cash operations` shows them",
                ExitCode.NOT_FOUND,
            )
        whole = found[0]["id"]
    operation = client.call("GET", f"/operations/{whole}").body
    if operation["status"] == "pending":
        fail("there is no such operation of yours, or it is not decided yet; look again later", ExitCode.PENDING)
    return operation


def show_operations(items: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> None:
    """Print operations as a table; ``names`` has what ledgers are called, by their ids."""
    rows = [
        (
            utc(item["at"])[: len("2026-03-31 18:30")],
            words_of(item["noun"]),
            names.get(item["ledger_id"]) or short(item["ledger_id"]),
            item["status"],
            item["detail"] or "",
            short(item["id"]),
        )
        for item in items
    ]
    columns = ["When (UTC)", "What", "Ledger", "State", "Why", "ID"]
    if not any(row[4] for row in rows):
        columns.remove("Why")
        rows = [(*row[:4], row[5]) for row in rows]  # type: ignore[misc]  # a column less
    show_table(columns, rows, whole=("When (UTC)", "State", "ID"), spare=("Ledger", "When (UTC)"))


def show_operation(operation: Mapping[str, Any], names: Mapping[str, str]) -> None:
    """Print an operation: what was asked as it was sent, and what became of it."""
    ledger_id = operation.get("ledger_id")
    transaction = operation.get("transaction")
    show_record(
        {
            "What": words_of(operation["noun"]) if "noun" in operation else None,
            "Ledger": ledger_id and (names.get(ledger_id) or ledger_id),
            "State": operation["status"],
            "Why": operation.get("detail"),
            "Refusal": operation.get("code"),
            "Field": operation.get("field"),
            "Became": label_of(transaction) if transaction else None,
            "Decided at": utc(operation["at"]) if "at" in operation else None,
            "Resource": operation.get("resource_id"),
            "Idempotency key": operation.get("idempotency_key"),
            "ID": operation["id"],
        }
    )
    if request := operation.get("request"):
        show_record({name: shown(value) for name, value in request.items()}, title="\nAs it was sent")


def words_of(noun: str) -> str:
    """Return what was asked for, in words: ``transaction-change`` is a change of a transaction."""
    return noun.replace("-", " ")


def shown(value: object) -> str:
    """Return a value of a request for people: lists and objects in a line."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case list():
            return ", ".join(shown(each) for each in value) or "none"
        case dict():
            return " ".join(f"{name}={shown(each)}" for name, each in value.items())
        case _:
            return str(value)
