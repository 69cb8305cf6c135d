"""Changing a recorded transaction, and deleting it."""

from collections.abc import Mapping
from typing import Annotated, Any, NoReturn

import httpx
import typer

from cli.books.amounts import checked_amount, checked_rate, one_currency, read_amount
from cli.books.ledger_choice import Ledger, LedgerOption, chosen_ledger
from cli.books.naming import SHORT
from cli.books.transaction_entry import ExternalId, Note, Payee, Splits, Status, read_splits
from cli.books.transaction_search import TransactionId, find_transaction
from cli.books.transaction_tables import differences, facts_of, label_of, show_differences
from cli.connection.client import Client, Refused, connect
from cli.connection.servers import UrlOption
from cli.connection.writes import write
from cli.terminal.days import read_day
from cli.terminal.output import ExitCode, Json, fail, note, say, show_json, show_table
from contracts.transactions import TransactionKind

Version = Annotated[
    int | None,
    typer.Option(
        "--version",
        min=1,
        help="Do it only while it stands as in this version, which `cash tx show` names; the one read just before.",
    ),
]


def edit(
    transaction: TransactionId,
    amount: Annotated[str | None, typer.Option(help="Another amount.")] = None,
    category: Annotated[str | None, typer.Option(help="Another category; a new name opens one.")] = None,
    split: Splits = None,
    day: Annotated[str | None, typer.Option("--date", metavar="DAY", help="Another day.")] = None,
    description: Annotated[str | None, typer.Option(help="Another description.")] = None,
    kind: Annotated[TransactionKind | None, typer.Option(help="What it is instead.")] = None,
    account: Annotated[str | None, typer.Option(help="Another account.")] = None,
    currency: Annotated[str | None, typer.Option(help="Another currency.")] = None,
    to: Annotated[str | None, typer.Option("--to", metavar="ACCOUNT", help="Where a transfer goes instead.")] = None,
    to_amount: Annotated[str | None, typer.Option(metavar="AMOUNT", help="What arrived of it instead.")] = None,
    rate: Annotated[str | None, typer.Option(metavar="RATE", help="Its rate instead of --to-amount.")] = None,
    payee: Payee = None,
    tag: Annotated[list[str] | None, typer.Option(help="The tags instead of those it has; may be repeated.")] = None,
    about: Note = None,
    status: Status = None,
    external_id: ExternalId = None,
    version: Version = None,
    ledger: LedgerOption = None,
    url: UrlOption = None,
    json: Json = False,
) -> None:
    """Change what is said of a transaction.

    What is not named stays as it is, and '' takes a text away.

    Whoever changed it since is not overwritten: then nothing is done, and both are shown. `cash undo` takes it back.

    Examples:
        cash tx edit 5069a4e8 --amount 25 --category Household
        cash tx edit 5069a4e8 --note ''
    """
    total = read_amount(amount) if amount is not None else None
    wanted: dict[str, Any] = {
        "amount": total.amount if total else None,
        "category": category,
        "kind": kind,
        "description": description,
        "account": account,
        "currency": one_currency(total, currency) if total else currency.upper() if currency else None,
        "to_account": to,
        "to_amount": checked_amount(to_amount) if to_amount is not None else None,
        "rate": checked_rate(rate) if rate is not None else None,
        "tags": [each for each in tag if each] if tag is not None else None,
        "status": status,
    }
    wanted = {name: value for name, value in wanted.items() if value is not None}
    for name, text in (("payee", payee), ("note", about), ("external_id", external_id)):
        if text is not None:
            wanted[name] = text or None
    if not (wanted or split or day):
        fail("say what to change, such as --amount 25 or --category Rent; see 'cash tx edit --help'", ExitCode.USAGE)
    with connect(url) as client:
        books = chosen_ledger(client, ledger)
        before = find_transaction(client, books, transaction)
        if day:
            wanted["date"] = read_day(day, books.now())
        if split:
            wanted["splits"] = read_splits(split, wanted.get("amount") or before["amount"])
        after = change_transaction(client, books, before, wanted, version=version, json=json)
    if json:
        show_json(after)
    elif show_change(before, after):
        note(f"Take it back: cash undo{books.option}")


def delete(
    transaction: TransactionId,
    version: Version = None,
    ledger: LedgerOption = None,
    url: UrlOption = None,
    json: Json = False,
) -> None:
    """Delete a transaction; `cash undo` restores it.

    Its money goes back, its history stays.

    Examples:
        cash tx delete 5069a4e8
    """
    with connect(url) as client:
        books = chosen_ledger(client, ledger)
        before = find_transaction(client, books, transaction)
        path = books.path(f"/transactions/{before['id']}")
        seen = version or before["version"]
        look = f"cash tx show{books.option} {before['id'][:SHORT]}"
        try:
            answer = write(client, "DELETE", path, version=seen, look=look)
        except Refused as refused:
            if refused.status != httpx.codes.PRECONDITION_FAILED:
                raise
            _show_conflict(client, path, {"deleted": True}, json=json)
            _fail_stale(seen, look)
    if json:
        show_json(answer if answer is not None else {"id": before["id"], "deleted": True})
    else:
        say(f"Deleted: {label_of(before)}.")
        note(f"Take it back: cash undo{books.option}")


def change_transaction(
    client: Client,
    books: Ledger,
    before: Mapping[str, Any],
    wanted: Mapping[str, Any],
    *,
    version: int | None = None,
    json: bool = False,
) -> Any:
    """Change a transaction and return how it stands then; where it was changed meanwhile, show both and fail.

    Args:
        client: who asks.
        books: the ledger it is in.
        before: the transaction as it was seen.
        wanted: what to change, by the API's names.
        version: the version that was seen; that of ``before`` where absent.
        json: show the conflict as JSON.
    """
    path = books.path(f"/transactions/{before['id']}")
    seen = version or before["version"]
    look = f"cash tx show{books.option} {before['id'][:SHORT]}"
    try:
        return write(client, "PATCH", path, body=wanted, version=seen, look=look)
    except Refused as refused:
        if refused.status != httpx.codes.PRECONDITION_FAILED:
            raise
        _show_conflict(client, path, wanted, json=json)
        _fail_stale(seen, look)


def show_change(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Print what a change did to a transaction; tell whether it did anything."""
    lines = differences(facts_of(before), facts_of(after))
    if not lines:
        say(f"It stood so already: {label_of(after)}.")
        return False
    say(f"Changed: {label_of(before)}.")
    show_differences(lines)
    return True


def _show_conflict(client: Client, path: str, wanted: Mapping[str, Any], *, json: bool) -> None:
    """Show what was asked beside how it stands."""
    stands = client.call("GET", path).body
    if json:
        show_json({"asked": wanted, "stands": stands})
        return
    facts = facts_of(stands)
    names = {"to_account": "To", "to_amount": "Arrived", "external_id": "External ID"}
    asked = {names.get(name, name.capitalize()): _as_text(value) for name, value in wanted.items()}
    show_table(
        ["", "As it stands", "As you asked"],
        [(name, facts.get(name, "—"), asked.get(name, "")) for name in dict.fromkeys((*facts, *asked))],
    )


def _as_text(value: object) -> str:
    match value:
        case None | [] | "":
            return "—"
        case True:
            return "yes"
        case list():
            return "\n".join(
                f"{each['amount']} {each['category']}" if isinstance(each, dict) else each for each in value
            )
        case _:
            return str(value)


def _fail_stale(seen: int, look: str) -> NoReturn:
    fail(
        f"nothing was done: it was changed since version {seen}; look at it with `{look}`, then repeat the command",
        ExitCode.REFUSED,
    )
