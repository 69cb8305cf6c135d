"""Commands of accounts and categories: what they hold, and opening, renaming, closing, merging, arranging them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any

import typer

from cli.books.amounts import Money, checked_signed_amount
from cli.books.ledger_choice import Ledger, LedgerOption, chosen_ledger
from cli.books.naming import find_whole, pick, short
from cli.completion import account_names
from cli.connection.client import Client, connect
from cli.connection.pages import Cursor, Everything, Limit, list_pages, read_pages
from cli.connection.servers import UrlOption
from cli.connection.writes import write
from cli.terminal.days import read_day
from cli.terminal.output import ExitCode, Json, fail, note, say, show_json, show_table
from contracts.accounts import CATEGORY_KINDS, MONEY_KINDS, POSITION_MAX, AccountKind

AccountName = Annotated[
    str,
    typer.Argument(
        metavar="NAME", autocompletion=account_names, help="Its name, or its id as `cash accounts` shows it."
    ),
]
Group = Annotated[str | None, typer.Option("--group", help="A heading to list it under.")]
Position = Annotated[
    int | None, typer.Option("--position", min=0, max=POSITION_MAX, help="Smaller numbers are listed first.")
]


def register(app: typer.Typer) -> None:
    """Add these commands to ``cash``."""
    app.command("accounts")(list_accounts)
    group = typer.Typer(help="Open an account or category, and change it.")
    commands: dict[str, Callable[..., None]] = {
        "open": open_account,
        "rename": rename,
        "close": close,
        "reopen": reopen,
        "merge": merge,
        "arrange": arrange,
        "register": show_register,
    }
    for name, command in commands.items():
        group.command(name)(command)
    app.add_typer(group, name="account")


def list_accounts(
    closed: Annotated[bool, typer.Option("--closed", help="The closed ones too.")] = False,
    ledger: LedgerOption = None,
    url: UrlOption = None,
    json: Json = False,
) -> None:
    """List accounts and categories with their balances.

    Examples:
        cash accounts
        cash accounts --closed --output csv
    """
    with connect(url) as client:
        books = chosen_ledger(client, ledger)
        accounts = read_accounts(client, books, closed=closed)
        if json:
            show_json(accounts)
        elif not accounts["items"]:
            say(f"No accounts yet; the first transaction opens them: cash tx add{books.option} 24.47 Groceries")
        else:
            show_accounts(accounts["items"])
            _tell_broken(client, books)


def open_account(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name; no other of the ledger may have it.")],
    kind: Annotated[
        AccountKind,
        typer.Option(help="asset: money you have; liability: money you owe; expense and income are categories."),
    ] = AccountKind.ASSET,
    currency: Annotated[str | None, typer.Option(help="ISO 4217 code; the ledger's when left out.")] = None,
    opening_balance: Annotated[
        str | None, typer.Option(metavar="AMOUNT", help="What is in it already; below zero is owed: -120.50.")
    ] = None,
    day: Annotated[
        str | None, typer.Option("--date", metavar="DAY", help="Day of the opening balance; today when left out.")
    ] = None,
    group: Group = None,
    position: Position = None,
    ledger: LedgerOption = None,
    url: UrlOption = None,
    json: Json = False,
) -> None:
    """Open an account or a category.

    Categories are also opened by the first transaction that names them.

    Examples:
        cash account open Visa --kind liability --opening-balance -120.50
        cash account open Savings --group Bank
    """
    balance = checked_signed_amount(opening_balance) if opening_balance is not None else None
    if day and balance is None:
        fail("--date is the day of an --opening-balance; say both or neither", ExitCode.USAGE)
    with connect(url) as client:
        books = chosen_ledger(client, ledger)
        wanted: dict[str, object] = {
            "name": name,
            "kind": kind,
            "currency": currency.upper() if currency else None,
            "opening_balance": balance,
            "date": read_day(day, books.now()) if day else None,
            "group": group,
            "position": position,
        }
        body = {key: value for key, value in wanted.items() if value is not None}
        look = f"cash accounts{books.option}"
        opened = write(client, "POST", books.path("/accounts"), body=body, look=look)
    if json:
        show_json(opened)
    else:
        held = ", ".join(str(Money.read(balance)) for balance in opened["balances"])
        say(f"Opened {opened['kind']} {opened['name']}{f' with {held}' if held else ''}.")


def rename(
    name: AccountName,
    new_name: Annotated[str, typer.Argument(metavar="NEW_NAME", help="What it is called from now on.")],
    ledger: LedgerOption = None,
    url: UrlOption = None,
    json: Json = False,
) -> None:
    """Give an account or category another name.

    Everything recorded with it follows.

    Examples:
        cash account rename "Eating out" Restaurants
    """
    _change(name, {"name": new_name}, "Renamed {before} to {after}.", ledger=ledger, url=url, json=json)


def close(name: AccountName, ledger: LedgerOption = None, url: UrlOption = None, json: Json = False) -> None:
    """Close an account or category.

    It takes nothing more, and its history stays.

    Examples:
        cash account close Visa
    """
    _change(name, {"closed": True}, "Closed {after}.", ledger=ledger, url=url, json=json)


def reopen(name: AccountName, ledger: LedgerOption = None, url: UrlOption = None, json: Json = False) -> None:
    """Open a closed account or category again.

    Examples:
        cash account reopen Visa
    """
    _change(name, {"closed": False}, "Reopened {after}.", ledger=ledger, url=url, json=json)


def merge(
    name: Annotated[str, typer.Argument(metavar="FROM", help="The category that goes: its name or id.")],
    into: Annotated[str, typer.Argument(metavar="INTO", help="The category that stands for it from now on.")],
    ledger: LedgerOption = None,
    url: UrlOption = None,
    json: Json = False,
) -> None:
    """Let one category stand for another.

    With everything recorded in both; `cash undo` takes them apart again.

    Examples:
        cash account merge Restaurants "Eating out"
    """
    _change(name, {}, "Merged {before} into {into}.", into=into, ledger=ledger, url=url, json=json)


def arrange(
    name: AccountName,
    group: Annotated[str | None, typer.Option(help="A heading to list it under; '' for none.")] = None,
    position: Annotated[
        int | None, typer.Option(min=-1, max=POSITION_MAX, help="Smaller numbers are listed first; -1 for none.")
    ] = None,
    ledger: LedgerOption = None,
    url: UrlOption = None,
    json: Json = False,
) -> None:
    """Say where in the list an account or category stands.

    Examples:
        cash account arrange Savings --group Bank --position 1
    """
    wanted: dict[str, object] = {}
    if group is not None:
        wanted["group"] = group or None
    if position is not None:
        wanted["position"] = position if position >= 0 else None
    if not wanted:
        fail("say where it stands: --group, --position or both", ExitCode.USAGE)
    _change(name, wanted, "Arranged {after}.", ledger=ledger, url=url, json=json)


def show_register(
    name: AccountName,
    limit: Limit = 20,
    cursor: Cursor = None,
    everything: Everything = False,
    ledger: LedgerOption = None,
    url: UrlOption = None,
    json: Json = False,
) -> None:
    """Show what came into an account and went out of it.

    The newest first, and what it held after each.

    Examples:
        cash account register Cash
        cash account register Cash --all --output csv
    """
    with connect(url) as client:
        books = chosen_ledger(client, ledger)
        account = find_account(client, books, name)
        path = books.path(f"/accounts/{account['id']}/register")
        lines, next_cursor = read_pages(list_pages(client, path, None if everything else limit, cursor), cursor)
    if json:
        show_json({"account": account, "items": lines, "next_cursor": next_cursor})
    elif not lines:
        say(f"Nothing was recorded with {account['name']} yet.")
    else:
        # As in the list of categories, what one took has a minus.
        turned = account["kind"] in CATEGORY_KINDS
        rows = [
            (
                line["date"],
                ", ".join(other["name"] for other in line["accounts"]),
                " · ".join(filter(None, (line.get("payee"), line["description"]))),
                Money.read(line, turned=turned),
                Money.read({**line, "amount": line["balance"]}, turned=turned),
                short(line["transaction_id"]),
            )
            for line in lines
        ]
        columns = ["Date", "Other account", "Description", "Amount", "Balance", "ID"]
        show_table(
            columns,
            rows,
            title=account["name"],
            right=("Amount", "Balance"),
            whole=("Date", "ID"),
            spare=("ID", "Description"),
        )
        if next_cursor:
            note(f"There are more: repeat it with --cursor {next_cursor}")


def find_account(client: Client, books: Ledger, typed: str) -> Any:
    """Find an account or category, open or closed, by name, id or the beginning of it; refuses when there is none.

    One that was merged into another is found by its whole id only.
    """
    if whole := find_whole(typed):
        return client.call("GET", books.path(f"/accounts/{whole}")).body
    accounts = read_accounts(client, books, closed=True)["items"]
    return pick(accounts, typed, noun="account", look=f"cash accounts{books.option} --closed")


def show_accounts(accounts: Sequence[Mapping[str, Any]]) -> None:
    """Print balances as tables: what accounts hold, what categories brought in or took, what else the books need."""
    money = [account for account in accounts if account["kind"] in MONEY_KINDS]
    categories = [account for account in accounts if account["kind"] in CATEGORY_KINDS]
    equity = [account for account in accounts if account["kind"] == AccountKind.EQUITY]
    tables = [
        ("Account", "Balance", list(_balances(money))),
        # What a category took came out of an account: people read its sign the other way round than the books.
        ("Category", "In or out", sorted(_balances(categories, turned=True), key=_order_of_category)),
        ("Equity", "Balance", list(_balances(equity))),
    ]
    shown = [table for table in tables if table[-1]]
    for number, (noun, amounts, lines) in enumerate(shown):
        if number:
            say("")
        _show_grouped(noun, amounts, lines)


def _balances(accounts: Sequence[Mapping[str, Any]], *, turned: bool = False) -> Iterator[tuple[Any, Money | None]]:
    """Yield each account with each of its balances, and an empty one once with none."""
    for account in accounts:
        for balance in account["balances"] or (None,):
            yield account, Money.read(balance, turned=turned) if balance else None


def _order_of_category(line: tuple[Any, Money | None]) -> tuple[str, Decimal]:
    account, money = line
    return account.get("group") or "", -money.amount if money else Decimal(0)


def _show_grouped(noun: str, amounts: str, lines: Sequence[tuple[Any, Money | None]]) -> None:
    columns = ["Group", noun, amounts, "ID"]
    rows = [(account.get("group"), _called(account), money, short(account["id"])) for account, money in lines]
    grouped = any(row[0] for row in rows)
    show_table(
        columns if grouped else columns[1:],
        [row if grouped else row[1:] for row in rows],
        right=(amounts,),
        whole=("ID",),
        spare=("ID",),
    )


def _called(account: Mapping[str, Any]) -> str:
    return f"{account['name']} (closed)" if account.get("closed") else str(account["name"])


def read_accounts(client: Client, books: Ledger, *, closed: bool = False) -> Any:
    """Return accounts and categories with what they hold."""
    parameters = {"closed": "true"} if closed else None
    return client.call("GET", books.path("/accounts"), parameters=parameters).body


def _tell_broken(client: Client, books: Ledger) -> None:
    """Say so where a statement agreed with the books once and does not any more."""
    broken = client.call("GET", books.path("/assertions"), parameters={"broken": "true", "limit": 1}).body["items"]
    for assertion in broken:
        note(
            f"{assertion['account']['name']} agreed with its statement of {assertion['date']} and does not any more: "
            f"cash assertions{books.option} --broken"
        )


def _change(
    name: str,
    wanted: Mapping[str, object],
    done: str,
    *,
    into: str | None = None,
    ledger: str | None,
    url: str | None,
    json: bool,
) -> None:
    with connect(url) as client:
        books = chosen_ledger(client, ledger)
        before = find_account(client, books, name)
        target = find_account(client, books, into) if into is not None else None
        if target:
            wanted = {"merge_into": target["id"]}
        path = books.path(f"/accounts/{before['id']}")
        look = f"cash accounts{books.option}"
        after = write(client, "PATCH", path, body=wanted, version=before["version"], look=look)
    if json:
        show_json(after)
    else:
        names = {"before": before["name"], "after": after["name"], "into": target["name"] if target else ""}
        say(done.format(**names))
