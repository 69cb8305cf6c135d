"""The command that shows what accounts hold and what categories took and gave."""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

import typer

from cli.client import connect
from cli.output import Json, say, show_json, show_table
from cli.servers import UrlOption
from contracts.accounts import CATEGORY_KINDS


def register(app: typer.Typer) -> None:
    """Add this command to ``cash``."""
    app.command("accounts", rich_help_panel="Your money")(list_accounts)


def list_accounts(url: UrlOption = None, json: Json = False) -> None:
    """List accounts and categories with their balances."""
    with connect(url) as client:
        accounts = client.call("GET", "/accounts").body
    if json:
        show_json(accounts)
    elif not accounts["items"]:
        say("No accounts yet; the first transaction opens them: cash tx add 24.47 Groceries")
    else:
        show_accounts(accounts["items"])


def show_accounts(accounts: Sequence[Mapping[str, Any]]) -> None:
    """Print balances as two tables: what accounts hold, and what categories brought in or took."""
    rows = [(account["name"], _money(balance)) for account, balance in _balances(accounts, categories=False)]
    show_table(("Account", "Balance"), rows, right=("Balance",))
    say("")
    # What a category took came out of an account: people read its sign the other way round than the books.
    categories = sorted(_balances(accounts, categories=True), key=lambda each: Decimal(each[1]["amount"]))
    rows = [(account["name"], _money(balance, turned=True)) for account, balance in categories]
    show_table(("Category", "In or out"), rows, right=("In or out",))


def _balances(accounts: Sequence[Mapping[str, Any]], *, categories: bool) -> Iterator[tuple[Any, Any]]:
    for account in accounts:
        if (account["kind"] in CATEGORY_KINDS) == categories:
            for balance in account["balances"]:
                yield account, balance


def _money(balance: Mapping[str, Any], *, turned: bool = False) -> str:
    amount = str(balance["amount"])
    if turned:
        amount = amount.removeprefix("-") if amount.startswith("-") else f"-{amount}"
    return f"{amount} {balance['currency']}"
