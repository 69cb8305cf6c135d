"""The command that writes transactions to a file, in a form that other programs read."""

import csv
import io
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.books.filters import FilterOption, FilterWord, FilterWords, is_term, joined, pointing
from cli.books.ledger_choice import Ledger, LedgerOption, chosen_ledger
from cli.books.plain_text_books import Accounts, beancount_lines, hledger_lines
from cli.connection.client import Client, connect
from cli.connection.pages import list_pages
from cli.connection.servers import UrlOption
from cli.terminal.output import note, telling_progress
from cli.terminal.whole_files import refuse_in_the_way, whole_file

Transactions = Iterable[Mapping[str, Any]]


class Format(StrEnum):
    """In what form transactions are written."""

    CSV = "csv"
    JSON = "json"
    HLEDGER = "hledger"
    BEANCOUNT = "beancount"


#: What a file's name says about its format.
_SUFFIXES: Mapping[str, Format] = {
    ".csv": Format.CSV,
    ".json": Format.JSON,
    ".journal": Format.HLEDGER,
    ".hledger": Format.HLEDGER,
    ".beancount": Format.BEANCOUNT,
    ".bean": Format.BEANCOUNT,
}


def register(app: typer.Typer) -> None:
    """Add this command to ``cash``."""
    app.command("export", cls=FilterWords)(export)


def export(
    file: Annotated[
        str | None, typer.Argument(metavar="FILE", help="Where to; standard output when left out, or -.")
    ] = None,
    words: FilterWord = None,
    expression: FilterOption = None,
    form: Annotated[
        Format | None,
        typer.Option(
            "--format", metavar="FORMAT", help="csv, json, hledger or beancount; what FILE ends in when left out."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
    ledger: LedgerOption = None,
    url: UrlOption = None,
) -> None:
    """Write transactions to a file: CSV, JSON, hledger, beancount.

    All of a ledger's, or those that fit a filter as in `cash tx list`, the oldest day first. The file gets its name
    when all of it is written, and is readable by you only. CSV has a line for each posting, with the id of its
    transaction; from hledger and beancount files those programs make the same balances as `cash accounts`.

    Examples:
        cash export 2026.csv date:2026-01-01..2026-12-31
        cash export household.beancount --ledger Home
        cash export --format hledger category:Groceries
    """
    if file is not None and is_term(file):
        words, file = [file, *(words or ())], None
    target = None if file in (None, "-") else Path(file)
    if target is not None:
        refuse_in_the_way(target, replace=force)
    chosen = form or format_of(target)
    wanted = joined(words, expression)
    with connect(url) as client, pointing(wanted):
        books = chosen_ledger(client, ledger)
        count = export_transactions(client, books, target, chosen, wanted, replace=force)
    note(f"{_counted(count)} written{f' to {target}' if target else ''}.")


def format_of(target: Path | None) -> Format:
    """Return the format that a file's name says; CSV where it says none."""
    return (_SUFFIXES.get(target.suffix.lower()) if target else None) or Format.CSV


def export_transactions(
    client: Client,
    books: Ledger,
    target: Path | None,
    form: Format,
    wanted: str | None = None,
    *,
    replace: bool = False,
) -> int:
    """Write the transactions that a filter means, all without one, to a file or to stdout; return how many."""
    # Where they scroll by themselves, a line below them would only be in the way.
    with telling_progress("asking for transactions", shown=target is not None or not sys.stdout.isatty()) as tell:
        counted = _Counted(_transactions(client, books, wanted), tell)
        text = _lines(form, books, _accounts(client, books), counted)
        if target is None:
            for line in text:
                sys.stdout.write(f"{line}\n")
        else:
            with whole_file(target, replace=replace) as file:
                file.writelines(f"{line}\n".encode() for line in text)
    return counted.count


class _Counted:
    """Transactions on their way, counted."""

    def __init__(self, transactions: Transactions, tell: Callable[[str], None]) -> None:
        self._transactions = transactions
        self._tell = tell
        self.count = 0

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        for transaction in self._transactions:
            yield transaction
            self.count += 1
            if self.count % 100 == 0:
                self._tell(f"{_counted(self.count)} written")


def _transactions(client: Client, books: Ledger, wanted: str | None) -> Iterator[Mapping[str, Any]]:
    for page in list_pages(client, books.path("/transactions"), None, None, {"filter": wanted, "sort": "date"}):
        yield from page["items"]


def _accounts(client: Client, books: Ledger) -> Accounts:
    """Return what finds a ledger's accounts: all are asked for at first, and one that is new since then by its id."""
    listed = client.call("GET", books.path("/accounts"), parameters={"closed": "true"}).body["items"]
    known: dict[str, Mapping[str, Any]] = {account["id"]: account for account in listed}

    def find(account_id: str) -> Mapping[str, Any]:
        if account_id not in known:
            known[account_id] = client.call("GET", books.path(f"/accounts/{account_id}")).body
        return known[account_id]

    return find


def _lines(form: Format, books: Ledger, accounts: Accounts, transactions: Transactions) -> Iterator[str]:
    ledger = {"id": books.id, "name": books.name, "base_currency": books.base_currency, "time_zone": books.time_zone}
    match form:
        case Format.CSV:
            return _csv_lines(transactions)
        case Format.JSON:
            return _json_lines(ledger, transactions)
        case Format.HLEDGER:
            return hledger_lines(ledger, accounts, transactions)
        case Format.BEANCOUNT:
            return beancount_lines(ledger, accounts, transactions)


#: Of a posting; of its transaction the same stands on each of its lines.
_COLUMNS = (
    "transaction", "posting", "date", "kind", "source", "destination", "amount", "currency", "payee", "description",
    "tags", "note", "status", "rate", "external_id", "booked_at", "recorded_at",
)  # fmt: skip


def _csv_lines(transactions: Transactions) -> Iterator[str]:
    """Yield a line for each posting (RFC 4180); the tags are a list of the same kind within their cell."""
    yield _csv_line(_COLUMNS)
    for item in transactions:
        for number, posting in enumerate(item["postings"], start=1):
            yield _csv_line(
                (
                    item["id"], number, item["date"], item["kind"], posting["source"]["name"],
                    posting["destination"]["name"], posting["amount"], posting["currency"], item["payee"],
                    item["description"], _csv_line(item["tags"]), item["note"], item["status"], item.get("rate"),
                    item["external_id"], item["booked_at"], item["recorded_at"],
                )
            )  # fmt: skip


def _csv_line(cells: Iterable[object]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(cells)
    return line.getvalue()


def _json_lines(ledger: Mapping[str, Any], transactions: Transactions) -> Iterator[str]:
    """Yield one JSON document, a transaction a line, as the API answers them."""
    yield f'{{"ledger": {json.dumps(ledger, ensure_ascii=False)}, "transactions": ['
    before = None
    for item in transactions:
        if before is not None:
            yield f"{before},"
        before = json.dumps(item, ensure_ascii=False)
    if before is not None:
        yield before
    yield "]}"


def _counted(count: int) -> str:
    return f"{count:,} {'transaction' if count == 1 else 'transactions'}"
