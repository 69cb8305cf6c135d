"""The command that adds up: by category, payee, tag or account, over months, quarters, years or all."""

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any

import typer

from cli.books.amounts import Money
from cli.books.filters import FilterOption, FilterWord, FilterWords, joined, pointing
from cli.books.ledger_choice import LedgerOption, chosen_ledger
from cli.connection.client import connect
from cli.connection.servers import UrlOption
from cli.terminal.days import read_calendar_day
from cli.terminal.output import Json, fits, say, show_json, show_table


class By(StrEnum):
    """What is added up."""

    CATEGORY = "category"
    PAYEE = "payee"
    TAG = "tag"
    ACCOUNT = "account"


class Period(StrEnum):
    """Over what it is added up."""

    MONTH = "month"
    QUARTER = "quarter"
    YEAR = "year"
    ALL = "all"


_ALL_DAYS = "All days"
#: How many months back a table begins when nobody says.
_MONTHS_BACK = {Period.MONTH: 5, Period.QUARTER: 9}


def register(app: typer.Typer) -> None:
    """Add this command to ``cash``."""
    app.command("totals", cls=FilterWords)(show_totals)


def show_totals(
    words: FilterWord = None,
    by: Annotated[By, typer.Option(help="What to add up.")] = By.CATEGORY,
    begin: Annotated[
        str | None,
        typer.Option("--from", metavar="DAY", help="First day; six months or four quarters back when left out."),
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", metavar="DAY", help="Last day, included; none when left out.")
    ] = None,
    period: Annotated[Period, typer.Option(help="Over what.")] = Period.MONTH,
    expression: FilterOption = None,
    ledger: LedgerOption = None,
    url: UrlOption = None,
    json: Json = False,
) -> None:
    """Add up what came in and what went out.

    Of all transactions, or of those that a filter finds.

    Periods are columns where the terminal is wide enough, else lines below each other.

    Examples:
        cash totals --by category --period month
        cash totals --by tag date:2026-11
    """
    asked = joined(words, expression)
    with connect(url) as client, pointing(asked):
        books = chosen_ledger(client, ledger)
        now = books.now()
        first = read_calendar_day(begin, now) if begin else None if end else first_day(period, now.date())
        wanted = {
            "by": by.value,
            "period": period.value,
            "from": first,
            "to": read_calendar_day(end, now) if end else None,
            "filter": asked,
        }
        parameters = {name: value for name, value in wanted.items() if value is not None}
        totals = client.call("GET", books.path("/totals"), parameters=parameters).body
    if json:
        show_json(totals)
    elif not totals["items"]:
        say("Nothing was recorded then that fits.")
    else:
        _show_totals(totals["items"], by, period)


def first_day(period: Period, today: date) -> str | None:
    """Return the day with which a table begins when nobody says; ``None`` for the first there is."""
    back = _MONTHS_BACK.get(period)
    if back is None:
        return None
    month = today.year * 12 + today.month - 1
    if period is Period.QUARTER:
        month -= month % 3
    month -= back
    return date(month // 12, month % 12 + 1, 1).isoformat()


def _show_totals(items: Sequence[Mapping[str, Any]], by: By, period: Period) -> None:
    periods = sorted({item["period"] or _ALL_DAYS for item in items})
    sums: dict[tuple[str, str], dict[str, Decimal]] = {}
    for item in items:
        line = sums.setdefault((item["currency"], item["name"] or f"(no {by})"), {})
        # What a category took came out of an account: people read its sign the other way round than the books.
        money = Money.read(item, turned=by is not By.ACCOUNT)
        each = item["period"] or _ALL_DAYS
        line[each] = line.get(each, Decimal(0)) + money.amount
    # What came in stands first, what took most last: as in `cash accounts`.
    lines = sorted(sums.items(), key=lambda line: (line[0][0], -sum(line[1].values())))
    if by in (By.CATEGORY, By.PAYEE):
        lines = _with_sums(lines)
    name = by.capitalize()
    wide: dict[str, list[str]] = {name: [title for (_, title), _ in lines]}
    for each in periods:
        wide[each] = [_shown(line.get(each)) for _, line in lines]
    if len(periods) > 1:
        wide["Total"] = [_shown(sum(line.values(), Decimal(0))) for _, line in lines]
    wide[""] = [currency for (currency, _), _ in lines]
    if fits(wide):
        show_table(list(wide), zip(*wide.values(), strict=True), right=[*periods, "Total"], whole=[""])
        return
    rows = [
        (each, title, f"{line[each]:f} {currency}")
        for each in periods
        for (currency, title), line in lines
        if each in line
    ]
    show_table([period.capitalize(), name, "Amount"], rows, right=("Amount",), whole=(period.capitalize(),))


_Line = tuple[tuple[str, str], dict[str, Decimal]]


def _with_sums(lines: Sequence[_Line]) -> list[_Line]:
    """Return the lines of each currency with their sum below them."""
    with_sums: list[_Line] = []
    for currency in dict.fromkeys(key[0] for key, _ in lines):
        own = [line for line in lines if line[0][0] == currency]
        total: dict[str, Decimal] = {}
        for _, line in own:
            for period, amount in line.items():
                total[period] = total.get(period, Decimal(0)) + amount
        with_sums += [*own, ((currency, "Total"), total)] if len(own) > 1 else own
    return with_sums


def _shown(amount: Decimal | None) -> str:
    return "" if amount is None else f"{amount:f}"
