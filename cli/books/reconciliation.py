"""Commands that hold the books against a bank's statement: assert a balance, see what differs, lift an assertion."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from cli.books.accounts import find_account
from cli.books.amounts import MinusIsAmount, Money, checked_signed_amount
from cli.books.ledger_choice import Ledger, LedgerOption, chosen_ledger
from cli.books.naming import find_whole, is_beginning, short, that_begin
from cli.books.transaction_tables import utc
from cli.connection.client import Client, connect
from cli.connection.pages import Cursor, Everything, Limit, list_pages, read_pages
from cli.connection.servers import UrlOption
from cli.connection.writes import write
from cli.terminal.days import read_calendar_day
from cli.terminal.output import ExitCode, Json, fail, note, say, show_json, show_record, show_table

#: How far back the beginning of an assertion's id is looked for.
_SOUGHT = 1000
#: How many uncleared rows `reconcile` shows; `assertion show` shows all it is told.
_UNCLEARED_AT_ONCE = 20

AssertionId = Annotated[str, typer.Argument(metavar="ID", help="Whole, or the beginning that `cash assertions` shows.")]


def register(app: typer.Typer) -> None:
    """Add these commands to ``cash``."""
    app.command("reconcile", cls=MinusIsAmount)(reconcile)
    app.command("assertions")(list_assertions)
    group = typer.Typer(help="Look at an asserted balance, or lift it.")
    group.command("show")(show)
    group.command("lift")(lift)
    app.add_typer(group, name="assertion")


def reconcile(
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="An account's name or id.")],
    balance: Annotated[
        str, typer.Argument(metavar="BALANCE", help="What the statement says it holds; below zero is owed: -120.50.")
    ],
    day: Annotated[
        str | None, typer.Option("--date", metavar="DAY", help="The statement's day; today when left out.")
    ] = None,
    ledger: LedgerOption = None,
    url: UrlOption = None,
    json: Json = False,
) -> None:
    """Hold an account against its statement.

    Asserts what it held at the end of a day, as the statement says.

    Where the books agree its transactions until then are reconciled: their money changes no more until the assertion is
    lifted. Where they do not, the difference is shown, with what the bank may not have yet.

    Examples:
        cash reconcile Cash 4337.97
        cash reconcile Visa -120.50 --date 2026-10-31
    """
    stated = checked_signed_amount(balance)
    with connect(url) as client:
        books = chosen_ledger(client, ledger)
        body = {
            "account": find_account(client, books, account)["id"],
            "balance": stated,
            "date": read_calendar_day(day or "today", books.now()),
        }
        asserted = write(client, "POST", books.path("/assertions"), body=body, look=f"cash assertions{books.option}")
    if json:
        show_json(asserted)
    else:
        _show_outcome(asserted, books)


def list_assertions(
    account: Annotated[str | None, typer.Argument(metavar="ACCOUNT", help="Only of this account.")] = None,
    lifted: Annotated[bool, typer.Option("--lifted", help="The lifted ones too.")] = False,
    broken: Annotated[bool, typer.Option("--broken", help="Only those that held once and do not any more.")] = False,
    limit: Limit = 20,
    cursor: Cursor = None,
    everything: Everything = False,
    ledger: LedgerOption = None,
    url: UrlOption = None,
    json: Json = False,
) -> None:
    """List asserted balances, and whether they hold.

    The newest day first.

    Examples:
        cash assertions
        cash assertions --broken
    """
    with connect(url) as client:
        books = chosen_ledger(client, ledger)
        wanted = {
            "account": find_account(client, books, account)["id"] if account else None,
            "lifted": "true" if lifted else None,
            "broken": "true" if broken else None,
        }
        pages = list_pages(client, books.path("/assertions"), None if everything else limit, cursor, wanted)
        items, next_cursor = read_pages(pages, cursor)
    if json:
        show_json({"items": items, "next_cursor": next_cursor})
    elif broken and not items:
        say("Every balance that agreed once does so still.")
    elif not items:
        say(f"No balance was asserted; hold one against the books: cash reconcile{books.option} ACCOUNT BALANCE")
    else:
        rows = [
            (
                item["date"],
                item["account"]["name"],
                _money(item, "stated"),
                _money(item, "balance"),
                _state_of(item),
                short(item["id"]),
            )
            for item in items
        ]
        show_table(
            ["Date", "Account", "Statement", "Books", "State", "ID"],
            rows,
            right=("Statement", "Books"),
            whole=("Date", "ID"),
            spare=("Books", "ID"),
        )
        if next_cursor:
            note(f"There are more: repeat it with --cursor {next_cursor}")


def show(assertion: AssertionId, ledger: LedgerOption = None, url: UrlOption = None, json: Json = False) -> None:
    """Show whether an asserted balance holds, and the difference.

    And what the bank may not have yet.

    Examples:
        cash assertion show 3f2a91bc
    """
    with connect(url) as client:
        books = chosen_ledger(client, ledger)
        found = client.call("GET", books.path(f"/assertions/{_find_id(client, books, assertion)}")).body
    if json:
        show_json(found)
        return
    show_record(
        {
            "Account": found["account"]["name"],
            "Date": found["date"],
            "Statement": _money(found, "stated"),
            "Books": _money(found, "balance"),
            "State": _state_of(found),
            "Recorded at": utc(found["recorded_at"]),
            "ID": found["id"],
        }
    )
    if not found["holds"]:
        _show_uncleared(found)


def lift(assertion: AssertionId, ledger: LedgerOption = None, url: UrlOption = None, json: Json = False) -> None:
    """Lift an asserted balance.

    The money of what it had reconciled may be changed again.

    Examples:
        cash assertion lift 3f2a91bc
    """
    with connect(url) as client:
        books = chosen_ledger(client, ledger)
        identifier = _find_id(client, books, assertion)
        look = f"cash assertions{books.option} --lifted"
        lifted = write(client, "DELETE", books.path(f"/assertions/{identifier}"), look=look)
    if json:
        show_json(lifted if lifted is not None else {"id": identifier, "lifted": True})
    else:
        say("Lifted; what it had reconciled may be changed again.")


def _show_outcome(asserted: Mapping[str, Any], books: Ledger) -> None:
    name, day = asserted["account"]["name"], asserted["date"]
    if asserted["holds"]:
        say(f"It holds: {name} has {_money(asserted, 'stated')} on {day}; what was booked until then is reconciled.")
        return
    difference = Money.read({"amount": asserted["difference"], "currency": asserted["currency"]})
    more = "more" if difference.amount > 0 else "less"
    say(
        f"It differs: the books have {_money(asserted, 'balance')} in {name} on {day}, "
        f"{Money(abs(difference.amount), difference.currency)} {more} than the statement."
    )
    _show_uncleared(asserted, most=_UNCLEARED_AT_ONCE)
    note(f"When it is corrected: cash assertion show{books.option} {short(asserted['id'])}")


def _show_uncleared(asserted: Mapping[str, Any], *, most: int | None = None) -> None:
    uncleared = asserted["uncleared"]
    if not uncleared:
        say("Everything until then is marked as cleared: something is missing, doubled, or has another amount.")
        return
    rows = [
        (
            line["date"],
            " · ".join(filter(None, (line.get("payee"), line["description"]))),
            Money.read(line),
            short(line["transaction_id"]),
        )
        for line in uncleared[:most]
    ]
    say("")
    show_table(
        ["Date", "Description", "Amount", "ID"],
        rows,
        title="Not cleared yet",
        right=("Amount",),
        whole=("Date", "ID"),
    )
    if asserted.get("uncleared_more") or len(rows) < len(uncleared):
        note("There are more; clear the ones that the statement has: cash tx edit ID --status cleared")


def _find_id(client: Client, books: Ledger, typed: str) -> str:
    if whole := find_whole(typed):
        return whole
    look = f"cash assertions{books.option}"
    if not is_beginning(typed):
        fail(f"'{typed}' is not the id of an assertion; `{look}` shows them in its last column", ExitCode.USAGE)
    pages = list_pages(client, books.path("/assertions"), _SOUGHT, parameters={"lifted": "true"})
    found = that_begin(read_pages(pages)[0], typed)
    if not found:
        fail(f"there is no assertion whose id begins with '{typed}'; `{look}` shows them", ExitCode.NOT_FOUND)
    return str(found[0]["id"])


def _money(assertion: Mapping[str, Any], field: str) -> Money:
    return Money.read({"amount": assertion[field], "currency": assertion["currency"]})


def _state_of(assertion: Mapping[str, Any]) -> str:
    if assertion.get("lifted_at"):
        return "lifted"
    if assertion["holds"]:
        return "holds"
    return "holds no more" if assertion.get("held") else "differs"
