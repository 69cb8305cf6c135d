"""Commands of ledgers: list those you belong to, open another one, rename it; and the group of all such commands."""

from typing import Annotated

import typer

from cli.books import invitations, members
from cli.books.ledger_choice import LedgerOption, chosen_ledger
from cli.books.naming import short
from cli.connection.client import connect
from cli.connection.servers import UrlOption
from cli.connection.writes import write
from cli.operating import ledger_operations
from cli.terminal.output import ExitCode, Json, fail, say, show_json, show_table


def register(app: typer.Typer) -> None:
    """Add these commands to ``cash``."""
    group = typer.Typer(help="Share books: ledgers, their members, invitations.")
    group.command("list")(list_ledgers)
    group.command("create")(create)
    group.command("rename")(rename)
    members.register(group)
    invitations.register(group)
    ledger_operations.register(group)
    app.add_typer(group, name="ledger")


def list_ledgers(url: UrlOption = None, json: Json = False) -> None:
    """List the ledgers you are a member of.

    --ledger takes their names and ids.

    Examples:
        cash ledger list
    """
    with connect(url) as client:
        ledgers = client.call("GET", "/ledgers").body
    if json:
        show_json(ledgers)
    elif not ledgers["items"]:
        say("Your personal ledger opens with your first transaction: cash tx add 24.47 Groceries")
    else:
        rows = [
            (item["name"], item["role"], item["base_currency"], item["time_zone"], short(item["id"]))
            for item in ledgers["items"]
        ]
        columns = ["Ledger", "You are", "Currency", "Time zone", "ID"]
        show_table(columns, rows, whole=("You are", "Currency", "ID"), spare=("Time zone",))


def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is called.")],
    currency: Annotated[
        str | None, typer.Option(metavar="CURRENCY", help="Its base currency; your home currency when left out.")
    ] = None,
    time_zone: Annotated[
        str | None, typer.Option(metavar="ZONE", help="IANA name such as Europe/Berlin; your own when left out.")
    ] = None,
    url: UrlOption = None,
    json: Json = False,
) -> None:
    """Open another ledger, whose owner you are.

    Examples:
        cash ledger create Home --currency EUR
    """
    wanted = {"name": name, "base_currency": currency.upper() if currency else None, "time_zone": time_zone}
    body = {key: value for key, value in wanted.items() if value is not None}
    with connect(url) as client:
        opened = write(client, "POST", "/ledgers", body=body, look="cash ledger list")
    if json:
        show_json(opened)
    else:
        say(f"Opened the ledger {opened['name']}; name it with --ledger, or in CASH_LEDGER.")


def rename(
    new_name: Annotated[
        str | None, typer.Argument(metavar="NEW_NAME", help="What it is called from now on; as it is when left out.")
    ] = None,
    default_account: Annotated[
        str | None,
        typer.Option(metavar="ACCOUNT", help="Where money comes from and goes to when nobody names an account."),
    ] = None,
    ledger: LedgerOption = None,
    url: UrlOption = None,
    json: Json = False,
) -> None:
    """Give a ledger another name, or another default account.

    Examples:
        cash ledger rename "Our house" --ledger Home
        cash ledger rename --default-account Bank --ledger Home
    """
    wanted = {"name": new_name, "default_account": default_account}
    body = {key: value for key, value in wanted.items() if value is not None}
    if not body:
        fail("say what to change: a new name, --default-account, or both", ExitCode.USAGE)
    with connect(url) as client:
        books = chosen_ledger(client, ledger)
        changed = write(client, "PATCH", books.path(), body=body, look="cash ledger list")
    if json:
        show_json(changed)
    else:
        say(f"The ledger is called {changed['name']}; its default account is {changed['default_account']['name']}.")
