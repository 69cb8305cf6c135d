"""Commands that say what there is: balances now, on a day, as they were known then; and net worth."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any

import typer

from cli.books.accounts import find_account, show_accounts
from cli.books.amounts import Money
from cli.books.ledger_choice import Ledger, LedgerOption, chosen_ledger
from cli.completion import account_names
from cli.connection.client import Client, connect
from cli.connection.servers import UrlOption
from cli.terminal.days import read_calendar_day, read_moment
from cli.terminal.output import Json, note, say, show_json, show_table

On = Annotated[
    str | None, typer.Option("--on", metavar="DAY", help="At the end of this day: 2026-03-31, today or yesterday.")
]


def register(app: typer.Typer) -> None:
    """Add these commands to ``cash``."""
    app.command("balance")(show_balance)
    app.command("net-worth")(show_net_worth)


def show_balance(
    account: Annotated[
        str | None,
        typer.Argument(
            metavar="ACCOUNT", autocompletion=account_names, help="An account or category; all of them when left out."
        ),
    ] = None,
    on: On = None,
    known_at: Annotated[
        str | None,
        typer.Option(metavar="MOMENT", help="As the ledger knew it then: 2026-03-31T18:00, or a day for its end."),
    ] = None,
    ledger: LedgerOption = None,
    url: UrlOption = None,
    json: Json = False,
) -> None:
    """Show what accounts hold: now, on a day, as known then.

    What was recorded or corrected later does not show in --known-at; what was booked later does not show in --on.

    Examples:
        cash balance
        cash balance Cash --on 2026-10-31 --known-at 2026-11-05
    """
    with connect(url) as client:
        books = chosen_ledger(client, ledger)
        now = books.now()
        wanted = {
            "on": read_calendar_day(on, now) if on else None,
            "known_at": read_moment(known_at, now) if known_at else None,
            "account": find_account(client, books, account)["id"] if account else None,
        }
        parameters = {name: value for name, value in wanted.items() if value is not None}
        balances = read_balances(client, books, parameters)
    if json:
        show_json(balances)
    else:
        show_balances(balances, "Nothing was recorded by then." if parameters else "Nothing was recorded yet.")


def show_net_worth(
    on: On = None,
    currency: Annotated[
        str | None, typer.Option("--in", metavar="CURRENCY", help="ISO 4217 code; the ledger's when left out.")
    ] = None,
    ledger: LedgerOption = None,
    url: UrlOption = None,
    json: Json = False,
) -> None:
    """Show what you have less what you owe.

    By currency and in one, by the rates you entered.

    Nothing is guessed: an amount without a rate stays as it is and is named.

    Examples:
        cash net-worth
        cash net-worth --in USD
    """
    with connect(url) as client:
        books = chosen_ledger(client, ledger)
        wanted = {
            "on": read_calendar_day(on, books.now()) if on else None,
            "currency": currency.upper() if currency else None,
        }
        parameters = {name: value for name, value in wanted.items() if value is not None}
        worth = client.call("GET", books.path("/net-worth"), parameters=parameters).body
    if json:
        show_json(worth)
    else:
        _show_net_worth(worth)


def read_balances(client: Client, books: Ledger, parameters: Mapping[str, str] | None = None) -> Any:
    """Return what accounts hold, by the API's ``parameters``."""
    return client.call("GET", books.path("/balances"), parameters=parameters).body


def show_balances(balances: Mapping[str, Any], without: str = "Nothing was recorded yet.") -> None:
    """Print balances, or a sentence where there are none."""
    if balances["items"]:
        show_accounts(_by_account(balances["items"]))
    else:
        say(without)


def _by_account(lines: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return accounts with all their balances, in the order in which they were answered."""
    accounts: dict[str, dict[str, Any]] = {}
    for line in lines:
        account = accounts.setdefault(line["account"]["id"], {**line["account"], "balances": []})
        account["balances"].append(line)
    return list(accounts.values())


def _show_net_worth(worth: Mapping[str, Any]) -> None:
    into = worth["currency"]
    # A rate is shown as it was entered, be it from the other side.
    converted = {rate["quote"] if rate["inverted"] else rate["currency"]: rate for rate in worth["rates"]}
    rows: list[tuple[object, object, object]] = []
    for total in worth["totals"]:
        currency = total["currency"]
        if currency == into:
            rows.append((Money.read(total), "", Money.read(total)))
        elif rate := converted.get(currency):
            rows.append((Money.read(total), _rate_of(rate), Money(Decimal(rate["converted"]), into)))
        else:
            rows.append((Money.read(total), "no rate", ""))
    if not rows:
        say("There is nothing: no account holds or owes anything.")
        return
    amounts = ("Amount", f"In {into}")
    if worth["total"]:
        rows.append(("Total", "", Money.read(worth["total"])))
    show_table([amounts[0], "Rate", amounts[1]], rows, right=amounts, spare=("Rate",))
    if worth["unconverted"]:
        left = ", ".join(str(Money.read(amount)) for amount in worth["unconverted"])
        currency = worth["unconverted"][0]["currency"]
        note(f"Not in the total for want of a rate: {left}; enter one: cash rates add {currency} {into} RATE")


def _rate_of(rate: Mapping[str, Any]) -> str:
    return f"1 {rate['currency']} = {rate['rate']} {rate['quote']} ({rate['date']})"
