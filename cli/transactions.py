"""Commands of transactions: record one, list them, look at one."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from shutil import get_terminal_size
from typing import Annotated, Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import typer
from rich.text import Text
from typer.core import TyperCommand

from cli.client import Answer, Client, Unanswered, connect
from cli.output import ExitCode, Json, fail, note, say, show_json, show_record, show_table
from cli.servers import UrlOption
from contracts.text import IDEMPOTENCY_KEY_LENGTH_MAX, IDEMPOTENCY_KEY_PATTERN
from contracts.transactions import TransactionKind

_PAGE = 100
#: How many letters of an id tables show, and how far back `show` looks for them.
_SHORT = 8
_SHORT_SOUGHT = 1000
#: Fewer columns (of letters) than this have no room for accounts and ids beside what they belong to.
_NARROW = 64


class _MinusIsNoOption(TyperCommand):
    """Explains a negative amount, which would otherwise be taken for an unknown option."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the command line."""
        for word in args:
            if word == "--":
                break
            if re.match(r"-[0-9.,]", word):
                fail(_not_positive(word), ExitCode.USAGE)
        return super().parse_args(ctx, args)


def register(app: typer.Typer) -> None:
    """Add these commands to ``cash``."""
    group = typer.Typer(help="Record transactions and read them back.", no_args_is_help=True)
    group.command("add", cls=_MinusIsNoOption)(add)
    group.command("list")(list_newest)
    group.command("show")(show)
    app.add_typer(group, name="tx", rich_help_panel="Your money")


def add(
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", help="Above zero, with a point: 24.47.")],
    category: Annotated[str, typer.Argument(metavar="CATEGORY", help="A category's name; a new name opens one.")],
    description: Annotated[str | None, typer.Argument(metavar="DESCRIPTION", help="What it was about.")] = None,
    day: Annotated[
        str | None,
        typer.Option("--date", metavar="DAY", help="2026-03-31, today or yesterday; now when left out."),
    ] = None,
    income: Annotated[bool, typer.Option("--income", help="Money that came in; an expense otherwise.")] = False,
    account: Annotated[str | None, typer.Option(help="Account it came from or went to; the default one.")] = None,
    currency: Annotated[str | None, typer.Option(help="ISO 4217 code; the account's own when left out.")] = None,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Return once it is accepted, not yet recorded.")] = False,
    key: Annotated[
        str | None,
        typer.Option(help="Idempotency key: however often a command is repeated with it, it is recorded once."),
    ] = None,
    url: UrlOption = None,
    json: Json = False,
) -> None:
    """Record an expense, or with --income an income, and show it as recorded.

    Lost answers are asked for again by the command itself, without recording anything twice. If the outcome stays
    unknown it says so, with the --key to repeat it under.
    """
    with connect(url) as client:
        zone = ZoneInfo(client.remembered_session().time_zone)
        wanted = {
            "amount": checked_amount(amount),
            "category": category,
            "kind": TransactionKind.INCOME if income else None,
            "description": description,
            "date": read_day(day, datetime.now(zone)) if day else None,
            "account": account,
            "currency": currency.upper() if currency else None,
        }
        key = _checked_key(key or str(uuid4()))
        try:
            answer = submit_transaction(client, wanted, key=key, wait=not no_wait)
        except Unanswered as unanswered:
            raise Unanswered(
                f"{unanswered}; whether it was recorded is not known: repeat the command with --key {key}, "
                "it is recorded once",
                unanswered.code,
            ) from None
        _show_outcome(answer, key=key, waited=not no_wait, json=json)


def list_newest(
    limit: Annotated[int, typer.Option(min=1, help="How many.")] = 20,
    cursor: Annotated[str | None, typer.Option(help="Go on where an earlier list ended.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All of them, whatever --limit says.")] = False,
    url: UrlOption = None,
    json: Json = False,
) -> None:
    """List transactions, the newest day first."""
    with connect(url) as client:
        items: list[Any] = []
        next_cursor = cursor
        for page in list_pages(client, None if everything else limit, cursor):
            items += page["items"]
            next_cursor = page["next_cursor"]
    if json:
        show_json({"items": items, "next_cursor": next_cursor})
    elif not items:
        say("No transactions yet; record one: cash tx add 24.47 Groceries")
    else:
        show_transactions(items)
        if next_cursor:
            note(f"There are more: cash tx list --cursor {next_cursor}")


def show(
    transaction: Annotated[str, typer.Argument(metavar="ID", help="Whole, or the beginning that the list shows.")],
    url: UrlOption = None,
    json: Json = False,
) -> None:
    """Show one transaction whole."""
    with connect(url) as client:
        found = _find(client, transaction.strip().lower())
    if json:
        show_json(found)
    else:
        show_record(_whole(found))


def submit_transaction(
    client: Client, wanted: Mapping[str, object], *, key: str | None = None, wait: bool = True
) -> Answer:
    """Send a transaction to the personal ledger; what is ``None`` is left out."""
    body = {name: value for name, value in wanted.items() if value is not None}
    return client.call("POST", "/transactions", body=body, key=key, wait=wait)


def list_pages(client: Client, limit: int | None, cursor: str | None = None) -> Iterator[Any]:
    """Yield pages of the newest transactions until ``limit`` is reached, or all where it is ``None``."""
    left = limit
    while left is None or left > 0:
        parameters: dict[str, str | int] = {"limit": min(_PAGE, left or _PAGE)}
        if cursor:
            parameters["cursor"] = cursor
        page = client.call("GET", "/transactions", parameters=parameters).body
        yield page
        cursor = page["next_cursor"]
        left = None if left is None else left - len(page["items"])
        if not cursor or not page["items"]:
            return


def show_transactions(items: Sequence[Mapping[str, Any]], *, title: str | None = None) -> None:
    """Print transactions as a table; expenses with a minus. A narrow terminal gets fewer columns."""
    cells = {
        "Date": [item["date"] for item in items],
        "Category": [item["category"]["name"] for item in items],
        "Description": [item["description"] for item in items],
        "Account": [item["account"]["name"] for item in items],
        "Amount": [signed_amount(item) for item in items],
        "ID": [Text(item["id"][:_SHORT], style="dim") for item in items],
    }
    if get_terminal_size().columns < _NARROW:
        del cells["Account"], cells["ID"]
    show_table(list(cells), zip(*cells.values(), strict=True), title=title, right=("Amount",), whole=("Date", "ID"))


def signed_amount(item: Mapping[str, Any]) -> str:
    """Return a transaction's amount as the account sees it: ``-24.47 EUR`` for an expense."""
    sign = "-" if item["kind"] == TransactionKind.EXPENSE else ""
    return f"{sign}{item['amount']} {item['currency']}"


def checked_amount(typed: str) -> str:
    """Return a typed amount; refuses what is not plain digits with a point, saying how to write it."""
    text = typed.strip()
    if text.startswith(("-", "−", "+")) or re.fullmatch(r"0+(\.0+)?", text):
        fail(_not_positive(typed), ExitCode.USAGE)
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        proposal = _proposed(text)
        hint = f"; if you mean {proposal}, type that" if proposal else ""
        fail(
            f"'{typed}' is not an amount: type digits, with a point before decimals, as in 24.47{hint}", ExitCode.USAGE
        )
    return text


def read_day(typed: str, now: datetime) -> str:
    """Return the day somebody typed as the API wants it.

    Args:
        typed: ``2026-03-31``, ``today``, ``yesterday``, or a moment such as ``2026-03-31T18:30``, which is in the
            zone of ``now`` where it says no offset.
        now: the current moment in the ledger's zone.
    """
    text = typed.strip().lower()
    if text in ("today", "yesterday"):
        return (now.date() - timedelta(days=text == "yesterday")).isoformat()
    try:
        if len(text) <= len("2026-03-31"):
            return date.fromisoformat(text).isoformat()
        moment = datetime.fromisoformat(text.upper())
    except ValueError:
        fail(f"'{typed}' is not a day; type it as {now.date().isoformat()}, or today, or yesterday", ExitCode.USAGE)
    return (moment if moment.tzinfo else moment.replace(tzinfo=now.tzinfo)).isoformat()


def _checked_key(key: str) -> str:
    if not re.fullmatch(IDEMPOTENCY_KEY_PATTERN, key):
        longest = IDEMPOTENCY_KEY_LENGTH_MAX
        fail(
            f"a --key is 1 to {longest} ASCII letters, digits and signs; leave it out to get a fresh one",
            ExitCode.USAGE,
        )
    return key


def _show_outcome(answer: Answer, *, key: str, waited: bool, json: bool) -> None:
    if json:
        show_json(answer.body)
    if answer.pending:
        if waited:
            later = f"see it later with `cash tx show {answer.body['transaction_id']}`"
            fail(f"accepted, but not recorded within the time we wait; {later}", ExitCode.PENDING)
        if not json:
            say(f"Accepted. Next: cash tx show {answer.body['transaction_id']}")
    elif not json:
        replayed = answer.replayed
        say("This was recorded before, nothing was added:" if replayed else "Recorded:")
        show_transactions([answer.body])


def _find(client: Client, wanted: str) -> Any:
    try:
        whole = UUID(wanted)
    except ValueError:
        return _find_beginning(client, wanted)
    return client.call("GET", f"/transactions/{whole}").body


def _find_beginning(client: Client, wanted: str) -> Any:
    if not re.fullmatch(rf"[0-9a-f-]{{{_SHORT},35}}", wanted):
        fail(f"'{wanted}' is not the id of a transaction; `cash tx list` shows them in its last column", ExitCode.USAGE)
    found = [
        item
        for page in list_pages(client, _SHORT_SOUGHT)
        for item in page["items"]
        if str(item["id"]).startswith(wanted)
    ]
    if len(found) > 1:
        fail(f"{len(found)} ids begin with '{wanted}'; type more of it (--json shows whole ids)", ExitCode.USAGE)
    if not found:
        fail(
            f"none of your newest {_SHORT_SOUGHT} transactions begins with '{wanted}'; `cash tx list` shows them, "
            "and older ones are found by their whole id",
            ExitCode.NOT_FOUND,
        )
    return found[0]


def _whole(item: Mapping[str, Any]) -> dict[str, object]:
    postings = [
        f"{posting['source']['name']} → {posting['destination']['name']}  {posting['amount']} {posting['currency']}"
        for posting in item["postings"]
    ]
    return {
        "Date": item["date"],
        "Amount": signed_amount(item),
        "Kind": item["kind"],
        "Category": item["category"]["name"],
        "Account": item["account"]["name"],
        "Description": item["description"] or None,
        "Postings": "\n".join(postings),
        "Recorded at": f"{datetime.fromisoformat(item['recorded_at']).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC",
        "Revision": item["revision"],
        "ID": item["id"],
    }


def _not_positive(typed: str) -> str:
    return f"'{typed}' is not above zero: type the amount without a sign, and add --income for money that came in"


def _proposed(text: str) -> str | None:
    """Return what somebody probably meant who wrote ``24,47``, ``1.234,56``, ``1,234.56``, ``€ 12`` or ``.5``."""
    written = re.fullmatch(r"[^0-9.,]*([0-9.,' ]*[0-9])[^0-9]*", text)
    if not written:
        return None
    digits = re.sub(r"[' ]", "", written[1])
    decimals = re.search(r"[.,]([0-9]{1,2})$", digits)
    units = re.sub(r"[.,]", "", digits[: decimals.start()] if decimals else digits)
    return f"{units or '0'}.{decimals[1]}" if decimals else units
