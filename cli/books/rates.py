"""Commands of exchange rates: enter one, take it away, list them, import a file of them."""

import csv
import hashlib
import sys
from collections.abc import Iterator, Sequence
from datetime import date
from json import dumps
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.books.amounts import checked_rate, is_amount
from cli.books.ledger_choice import Ledger, LedgerOption, chosen_ledger
from cli.connection.client import Client, connect
from cli.connection.pages import Cursor, Everything, Limit, list_pages, read_pages
from cli.connection.servers import UrlOption
from cli.connection.writes import write
from cli.terminal.days import read_calendar_day
from cli.terminal.output import ExitCode, Json, fail, note, say, show_json, show_table
from contracts.money import UnknownCurrency, exponent_of
from contracts.rates import RATES_MAX

_COLUMNS = ("date", "currency", "quote", "rate")

Currency = Annotated[str, typer.Argument(metavar="CURRENCY", help="ISO 4217 code of what is worth something.")]
Quote = Annotated[str, typer.Argument(metavar="QUOTE", help="ISO 4217 code of what it is worth it in.")]
Day = Annotated[
    str | None, typer.Option("--date", metavar="DAY", help="From when on: 2026-03-31, yesterday; today when left out.")
]


def register(app: typer.Typer) -> None:
    """Add these commands to ``cash``."""
    group = typer.Typer(help="Enter the exchange rates that convert amounts.")
    group.command("add")(add)
    group.command("remove")(remove)
    group.command("list")(list_rates)
    group.command("import")(import_rates)
    app.add_typer(group, name="rates")


def add(
    currency: Currency,
    quote: Quote,
    rate: Annotated[str, typer.Argument(metavar="RATE", help="Units of QUOTE for one of CURRENCY: 0.92.")],
    day: Day = None,
    ledger: LedgerOption = None,
    url: UrlOption = None,
    json: Json = False,
) -> None:
    """Enter what one unit of a currency is worth from a day on.

    Until the next rate of the pair.

    Examples:
        cash rates add USD EUR 0.9224 --date 2026-11-02
    """
    _record(currency, quote, checked_rate(rate), day, ledger=ledger, url=url, json=json)


def remove(
    currency: Currency,
    quote: Quote,
    day: Day = None,
    ledger: LedgerOption = None,
    url: UrlOption = None,
    json: Json = False,
) -> None:
    """Take the rate of a day away again.

    The one before it is in force until the next.

    Examples:
        cash rates remove USD EUR --date 2026-11-02
    """
    _record(currency, quote, None, day, ledger=ledger, url=url, json=json)


def list_rates(
    currency: Annotated[str | None, typer.Option(metavar="CURRENCY", help="Only of this currency.")] = None,
    quote: Annotated[str | None, typer.Option(metavar="QUOTE", help="Only in this currency.")] = None,
    limit: Limit = 20,
    cursor: Cursor = None,
    everything: Everything = False,
    ledger: LedgerOption = None,
    url: UrlOption = None,
    json: Json = False,
) -> None:
    """List the rates that were entered.

    The newest day of each pair first.

    Examples:
        cash rates list
    """
    wanted = {"currency": currency.upper() if currency else None, "quote": quote.upper() if quote else None}
    with connect(url) as client:
        books = chosen_ledger(client, ledger)
        pages = list_pages(client, books.path("/rates"), None if everything else limit, cursor, wanted)
        items, next_cursor = read_pages(pages, cursor)
    if json:
        show_json({"items": items, "next_cursor": next_cursor})
    elif not items:
        say(f"No rates were entered; enter one: cash rates add{books.option} USD EUR 0.92")
    else:
        rows = [(item["date"], item["currency"], item["rate"], item["quote"]) for item in items]
        show_table(["From", "One", "Is worth", "Of"], rows, right=("Is worth",), whole=("From",))
        if next_cursor:
            note(f"There are more: repeat it with --cursor {next_cursor}")


def import_rates(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="CSV with a header: date,currency,quote,rate; - for stdin.")
    ],
    ledger: LedgerOption = None,
    url: UrlOption = None,
    json: Json = False,
) -> None:
    """Enter rates from a CSV file.

    When any line is wrong each is named and nothing is sent.

    It may be repeated: the same rates are entered once, and a day's rate is replaced by the newer one.

    Examples:
        cash rates import rates.csv
    """
    rates, wrong = read_rates(_lines_of(file))
    for number, sentence in wrong:
        note(f"line {number}: {sentence}")
    if wrong:
        fail(f"nothing was sent: correct the {len(wrong)} line{'s' * (len(wrong) > 1)} named above", ExitCode.USAGE)
    if not rates:
        fail(f"there is no rate in {file}", ExitCode.USAGE)
    with connect(url) as client:
        books = chosen_ledger(client, ledger)
        for begin in range(0, len(rates), RATES_MAX):
            _send(client, books, rates[begin : begin + RATES_MAX])
    if json:
        show_json({"entered": len(rates)})
    else:
        days = sorted(rate["date"] for rate in rates)
        say(f"Entered {len(rates)} rates from {days[0]} to {days[-1]}.")


def read_rates(lines: Iterator[str]) -> tuple[list[dict[str, str]], list[tuple[int, str]]]:
    """Read rates from lines of CSV; return them, and what is wrong by the number of its line."""
    wrong: list[tuple[int, str]] = []
    rates: dict[tuple[str, ...], dict[str, str]] = {}
    first: dict[tuple[str, ...], int] = {}
    reader = csv.reader(lines, strict=True, skipinitialspace=True)
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        if sorted(header) != sorted(_COLUMNS):
            return [], [(1, f"the header is {','.join(_COLUMNS)}, in any order, with commas")]
        for row in reader:
            if not "".join(row).strip():
                continue
            rate = dict(zip(header, (cell.strip() for cell in row), strict=False))
            if sentence := _find_fault(row, rate):
                wrong.append((reader.line_num, sentence))
                continue
            rate |= {"currency": rate["currency"].upper(), "quote": rate["quote"].upper()}
            key = (rate["date"], rate["currency"], rate["quote"])
            if rates.setdefault(key, rate)["rate"] != rate["rate"]:
                wrong.append((reader.line_num, f"line {first[key]} has another rate for the same day"))
            first.setdefault(key, reader.line_num)
    except csv.Error as error:
        wrong.append((reader.line_num, f"not readable as CSV ({error})"))
    return list(rates.values()), wrong


def _find_fault(row: Sequence[str], rate: dict[str, str]) -> str | None:
    if len(row) != len(_COLUMNS):
        return f"there are {len(row)} values instead of {len(_COLUMNS)}"
    try:
        if len(rate["date"]) != len("2026-03-31"):
            raise ValueError
        date.fromisoformat(rate["date"])
    except ValueError:
        return f"'{rate['date']}' is not a day like 2026-03-31"
    for name in ("currency", "quote"):
        try:
            exponent_of(rate[name].upper())
        except UnknownCurrency:
            return f"'{rate[name]}' is not a currency of ISO 4217"
    if rate["currency"].upper() == rate["quote"].upper():
        return "the two currencies are the same"
    if not is_amount(rate["rate"]) or not rate["rate"].strip("0."):
        return f"'{rate['rate']}' is not a rate: digits above zero, with a point, as in 1.0842"
    return None


def _lines_of(file: str) -> Iterator[str]:
    try:
        # A byte-order mark, as spreadsheets write it, is no part of the header.
        text = sys.stdin.read() if file == "-" else Path(file).read_text("utf-8-sig")
    except OSError as error:
        fail(f"{file} cannot be read ({error.strerror})")
    except UnicodeDecodeError:
        fail(f"{file} is not text in UTF-8; save it as such and try again", ExitCode.USAGE)
    return iter(text.splitlines(keepends=True))


def _record(
    currency: str, quote: str, rate: str | None, day: str | None, *, ledger: str | None, url: str | None, json: bool
) -> None:
    with connect(url) as client:
        books = chosen_ledger(client, ledger)
        wanted = {
            "currency": currency.upper(),
            "quote": quote.upper(),
            "date": read_calendar_day(day or "today", books.now()),
            "rate": rate,
        }
        look = f"cash rates list{books.option}"
        entered = write(client, "POST", books.path("/rates"), body={"rates": [wanted]}, look=look)
    if json:
        show_json(entered)
    elif rate is None:
        say(f"There is no rate of {wanted['currency']} in {wanted['quote']} of {wanted['date']} any more.")
    else:
        say(f"From {wanted['date']} on, 1 {wanted['currency']} is {rate} {wanted['quote']}.")


def _send(client: Client, books: Ledger, rates: list[dict[str, str]]) -> Any:
    # The content names the request: an import that was interrupted is repeated without entering anything twice.
    key = f"rates-{hashlib.sha256(dumps(rates, sort_keys=True).encode()).hexdigest()}"
    look = f"cash rates list{books.option}"
    return write(client, "POST", books.path("/rates"), body={"rates": rates}, key=key, look=look)
