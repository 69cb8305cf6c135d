"""How transactions look: a table of many, one whole, and what is otherwise between two states of one."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from shutil import get_terminal_size
from typing import Any

from cli.books.naming import short
from cli.terminal.output import show_record, show_table
from contracts.transactions import TransactionKind, TransactionStatus

#: Fewer columns (of letters) than this have no room for accounts and ids beside what they belong to.
_NARROW = 64


def show_transactions(items: Sequence[Mapping[str, Any]], *, title: str | None = None) -> None:
    """Print transactions as a table; expenses with a minus. A narrow terminal gets fewer columns."""
    cells: dict[str, list[object]] = {
        "Date": [item["date"] for item in items],
        "Category": [purpose_of(item) for item in items],
        "Description": [_words_of(item) for item in items],
        "Account": [name_of(item["account"]) for item in items],
        "Status": ["" if item.get("status") == TransactionStatus.PENDING else item.get("status") for item in items],
        "Amount": [signed_amount(item) for item in items],
        "ID": [short(item["id"]) for item in items],
    }
    if not any(cells["Status"]):
        del cells["Status"]
    if get_terminal_size().columns < _NARROW:
        del cells["Account"], cells["ID"]
    rows = zip(*cells.values(), strict=True)
    show_table(list(cells), rows, title=title, right=("Amount",), whole=("Date", "ID"), spare=("Status", "Description"))


def signed_amount(item: Mapping[str, Any]) -> str:
    """Return a transaction's amount as the account sees it: ``-24.47 EUR`` for an expense."""
    owed = item["kind"] == TransactionKind.OPENING and item["postings"][0]["source"]["id"] == item["account"]["id"]
    sign = "-" if owed or item["kind"] == TransactionKind.EXPENSE else ""
    return f"{sign}{item['amount']} {item['currency']}"


def purpose_of(item: Mapping[str, Any]) -> str:
    """Return what a transaction was for: its category, its categories, or the account it went to."""
    if item.get("to_account"):
        arrived = f" {item['to_amount']} {item['to_currency']}" if item.get("to_amount") else ""
        return f"→ {name_of(item['to_account'])}{arrived}"
    if item.get("splits"):
        return ", ".join(dict.fromkeys(name_of(split["category"]) for split in item["splits"]))
    return name_of(item.get("category"))


def label_of(item: Mapping[str, Any]) -> str:
    """Return a transaction in a few words."""
    words = " · ".join(filter(None, (item.get("payee"), item["description"])))
    about = filter(None, (signed_amount(item), purpose_of(item), f"({words})" if words else "", f"of {item['date']}"))
    return " ".join(about)


def facts_of(item: Mapping[str, Any]) -> dict[str, str]:
    """Return what people may change about a transaction, as text; what it has not is left out."""
    splits = [f"{split['amount']} {name_of(split['category'])}" for split in item.get("splits") or ()]
    facts = {
        "Date": item["date"],
        "Kind": item["kind"],
        "Amount": f"{item['amount']} {item['currency']}",
        "Account": name_of(item["account"]),
        "To": name_of(item.get("to_account")),
        "Arrived": f"{item['to_amount']} {item['to_currency']}" if item.get("to_amount") else "",
        "Rate": item.get("rate"),
        "Category": "" if splits else name_of(item.get("category")),
        "Splits": "\n".join(splits),
        "Payee": item.get("payee"),
        "Description": item["description"],
        "Tags": ", ".join(item.get("tags") or ()),
        "Note": item.get("note"),
        "Status": item.get("status"),
        "External ID": item.get("external_id"),
    }
    return {name: str(fact) for name, fact in facts.items() if fact}


def whole_of(item: Mapping[str, Any]) -> dict[str, object]:
    """Return everything about a transaction, as a record to show."""
    postings = [
        f"{posting['source']['name']} → {posting['destination']['name']}  {posting['amount']} {posting['currency']}"
        for posting in item["postings"]
    ]
    return {
        **facts_of(item),
        "Amount": signed_amount(item),
        "Postings": "\n".join(postings),
        "Deleted": "yes, as it was before" if item.get("deleted") else None,
        "Recorded at": utc(item["recorded_at"]),
        "Version": item["version"],
        "ID": item["id"],
    }


def differences(before: Mapping[str, str], after: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Return what is otherwise between two sets of facts: name, before, after; a dash for nothing."""
    names = dict.fromkeys((*before, *after))
    return [
        (name, before.get(name, "—"), after.get(name, "—")) for name in names if before.get(name) != after.get(name)
    ]


def show_differences(lines: Iterable[tuple[str, str, str]]) -> None:
    """Print what is otherwise: name, before, after."""
    show_record({name: f"{in_a_line(before)} → {in_a_line(after)}" for name, before, after in lines})


def in_a_line(text: str) -> str:
    """Return several lines as one."""
    return " / ".join(text.splitlines())


def utc(moment: str) -> str:
    """Return a moment of the API for people."""
    return f"{datetime.fromisoformat(moment).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def name_of(account: Mapping[str, Any] | None) -> str:
    """Return the name of an account or category, nothing where there is none."""
    return str(account["name"]) if account else ""


def _words_of(item: Mapping[str, Any]) -> str:
    tags = " ".join(f"#{tag}" for tag in item.get("tags") or ())
    return " ".join(filter(None, (" · ".join(filter(None, (item.get("payee"), item["description"]))), tags)))
