"""Commands of changes: who did what to a ledger, and taking it back."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any

import typer

from cli.books.ledger_choice import Ledger, LedgerOption, chosen_ledger
from cli.books.naming import find_whole, short
from cli.books.transaction_search import find_transaction
from cli.books.transaction_tables import differences, label_of, show_differences, utc
from cli.connection.client import Client, connect
from cli.connection.pages import Cursor, Everything, Limit, list_pages, read_pages
from cli.connection.servers import UrlOption
from cli.connection.writes import write
from cli.terminal.output import ExitCode, Failure, Json, fail, note, say, show_json, show_table

#: How many changes back `undo` and `redo` look for one to take back.
_SOUGHT = 500
#: What can be taken back; rates are entered again, members invited again, and an assertion is lifted.
_UNDOABLE = ("transaction.", "account.")


def register(app: typer.Typer) -> None:
    """Add these commands to ``cash``."""
    for name, command in (("undo", undo), ("redo", redo), ("changes", list_changes)):
        app.command(name)(command)


ChangeNumber = Annotated[
    int | None, typer.Argument(metavar="CHANGE", min=1, help="Its number in `cash changes`; your newest when left out.")
]


def undo(change: ChangeNumber = None, ledger: LedgerOption = None, url: UrlOption = None, json: Json = False) -> None:
    """Take a change back.

    Your newest one that stands, or any by its number; a later `cash redo` brings it back.

    Nothing is erased: what was, and that it was taken back, stay in the history.

    Examples:
        cash undo
        cash undo 57
    """
    with connect(url) as client:
        books = chosen_ledger(client, ledger)
        if change is None:
            change = find_undoable(client, books)
        if change is None:
            fail("you have nothing to undo; `cash changes` lists what happened", ExitCode.NOT_FOUND)
        made = take_back(client, books, change)
        if json:
            show_json(made)
        else:
            show_taken_back(client, books, made, f"Undone: change {change}")
            note(f"Take this back: cash redo {made['sequence']}{books.option}")


def redo(change: ChangeNumber = None, ledger: LedgerOption = None, url: UrlOption = None, json: Json = False) -> None:
    """Bring back what was undone.

    By your newest undo that nothing followed, or by the undo of that number.

    Examples:
        cash redo
    """
    with connect(url) as client:
        books = chosen_ledger(client, ledger)
        if change is None:
            mine = client.remembered_session().user_id
            change = _newest(client, books, lambda seen, item: _may_redo(seen, item, mine))
        if change is None:
            fail("there is nothing of yours to redo; `cash changes` lists what happened", ExitCode.NOT_FOUND)
        made = take_back(client, books, change)
        if json:
            show_json(made)
        else:
            show_taken_back(client, books, made, f"Redone: change {change}")
            note(f"Take this back: cash undo {made['sequence']}{books.option}")


def list_changes(
    mine: Annotated[bool, typer.Option("--mine", help="Only what you did.")] = False,
    subject: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Only what happened to this transaction, or to the account of this whole id."),
    ] = None,
    limit: Limit = 20,
    cursor: Cursor = None,
    everything: Everything = False,
    ledger: LedgerOption = None,
    url: UrlOption = None,
    json: Json = False,
) -> None:
    """List who changed what in a ledger, the newest first.

    And what of it was undone.

    Examples:
        cash changes
        cash changes --ledger Home --limit 50
    """
    with connect(url) as client:
        books = chosen_ledger(client, ledger)
        about = (find_whole(subject) or find_transaction(client, books, subject)["id"]) if subject else None
        wanted = {"by": "me" if mine else None, "subject": about}
        pages = list_pages(client, books.path("/changes"), None if everything else limit, cursor, wanted)
        items, next_cursor = read_pages(pages, cursor)
    if json:
        show_json({"items": items, "next_cursor": next_cursor})
    elif not items:
        say("Nothing happened to this ledger yet.")
    else:
        _show_changes(items)
        if next_cursor:
            note(f"There are more: cash changes{books.option} --cursor {next_cursor}")


def words_of(change: Mapping[str, Any]) -> str:
    """Return in words what a change did, as far as it says so itself."""
    detail = change.get("detail") or {}
    amount = f"{detail['amount']} {detail['currency']}" if "amount" in detail else "a transaction"
    about = " · ".join(filter(None, (detail.get("payee"), detail.get("description"))))
    name, role = detail.get("name", ""), detail.get("role", "")
    match change["type"]:
        case "transaction.recorded":
            new = f"recorded {detail.get('kind', '')}" if detail.get("revision", 1) == 1 else "changed to"
            words = f"{'restored' if change.get('undoes') else new} {amount} {about}"
        case "transaction.annotated":
            words = f"changed {amount} {about}"
        case "transaction.reversed":
            words = f"deleted {amount} {about}"
        case "account.opened":
            words = f"opened {detail.get('kind', 'account')} {name}"
        case "account.changed" if detail.get("merged_into"):
            words = f"merged {name}"
        case "account.changed":
            words = f"changed account {name}{' (closed)' if detail.get('closed') else ''}"
        case "ledger.opened":
            words = f"opened the ledger {name}"
        case "ledger.changed":
            words = f"changed the ledger {name}"
        case "rates.recorded":
            words = f"entered {len(detail.get('rates') or ())} exchange rates"
        case "balance.asserted":
            words = f"asserted a balance on {detail.get('asserted_on', 'a day')}"
        case "assertion.lifted":
            words = "lifted an assertion"
        case "member.invited":
            words = f"invited somebody as {role}"
        case "invitation.ended":
            words = f"{detail.get('ending', 'ended')} an invitation"
        case "member.joined":
            words = f"joined as {role}"
        case "member.changed":
            words = f"made a member {role}"
        case "member.removed":
            words = "removed a member"
        case other:
            words = other
    undoes = f" (takes back {change['undoes']})" if change.get("undoes") else ""
    undone = f" (undone by {change['undone_by']})" if change.get("undone_by") else ""
    return f"{' '.join(words.split())}{undoes}{undone}"


def show_value(value: object) -> str:
    """Return a value of a change for people: names for accounts, a dash for nothing."""
    match value:
        case None | "" | []:
            return "—"
        case bool():
            return "yes" if value else "no"
        case {"name": name}:
            return str(name)
        case {"amount": amount, "category": category}:
            return f"{amount} {show_value(category)}"
        case {"amount": amount, "currency": currency}:
            return f"{amount} {currency}"
        case list():
            return ", ".join(show_value(each) for each in value)
        case _:
            return str(value)


def _show_changes(items: Sequence[Mapping[str, Any]]) -> None:
    rows = [
        (
            item["sequence"],
            utc(item["at"])[: len("2026-03-31 18:30")],
            item.get("username") or short(item["user_id"]),
            words_of(item),
        )
        for item in items
    ]
    show_table(
        ["Change", "When (UTC)", "Who", "What"], rows, right=("Change",), whole=("When (UTC)",), spare=("When (UTC)",)
    )


class _Seen:
    """Changes read so far, from the newest back, and which of them were taken back by which."""

    def __init__(self) -> None:
        self.items: dict[int, Mapping[str, Any]] = {}
        self._taken_back_by: dict[int, int] = {}

    def add(self, item: Mapping[str, Any]) -> None:
        """Remember an older one."""
        self.items[item["sequence"]] = item
        if item.get("undoes"):
            self._taken_back_by.setdefault(item["undoes"], item["sequence"])

    def stands(self, sequence: int) -> bool:
        """Return whether it was not taken back, or what took it back was itself."""
        by = self._taken_back_by.get(sequence)
        return by is None or not self.stands(by)

    def is_undo(self, sequence: int) -> bool:
        """Return whether it takes back, rather than brings back."""
        item = self.items.get(sequence)
        taken_back = item.get("undoes") if item else None
        return taken_back is not None and not self.is_undo(taken_back)


def _may_undo(seen: _Seen, item: Mapping[str, Any], user_id: str) -> bool:
    return (
        item["user_id"] == user_id
        and not item.get("undoes")
        and str(item["type"]).startswith(_UNDOABLE)
        and seen.stands(item["sequence"])
    )


def _may_redo(seen: _Seen, item: Mapping[str, Any], user_id: str) -> bool:
    sequence = item["sequence"]
    return bool(
        item["user_id"] == user_id and seen.is_undo(sequence) and seen.stands(sequence) and item.get("undoable")
    )


def _newest(client: Client, books: Ledger, fits: Callable[[_Seen, Mapping[str, Any]], bool]) -> int | None:
    """Find the newest change that fits among those of all members, since anybody may have taken one back."""
    seen = _Seen()
    for page in list_pages(client, books.path("/changes"), _SOUGHT):
        for item in page["items"]:
            seen.add(item)
        # What a change takes back is older: only with the page does it show whether it brings something back.
        for item in page["items"]:
            if fits(seen, item):
                return int(item["sequence"])
    return None


def find_undoable(client: Client, books: Ledger) -> int | None:
    """Find the number of somebody's own newest change that can be taken back."""
    mine = client.remembered_session().user_id
    return _newest(client, books, lambda seen, item: _may_undo(seen, item, mine))


def take_back(client: Client, books: Ledger, number: int) -> Any:
    """Take a change back, or bring back what it took; return the change that does so."""
    look = f"cash changes{books.option}"
    return write(client, "POST", books.path(f"/changes/{number}/undo"), body={}, look=look)


def show_taken_back(client: Client, books: Ledger, made: Mapping[str, Any], done: str) -> None:
    """Print what was ``done``, to which thing, and what is otherwise now."""
    try:
        label, lines = _effect(client, books, made)
    except Failure:
        # It is done, whether it can be described or not.
        label, lines = "", []
    say(f"{done}{label and f', {label}'}.")
    if lines:
        show_differences(lines)


def _effect(client: Client, books: Ledger, made: Mapping[str, Any]) -> tuple[str, list[tuple[str, str, str]]]:
    """Return what the thing is called whose change was taken back, and what is otherwise now."""
    if str(made["type"]).startswith("transaction."):
        versions = client.call("GET", books.path(f"/transactions/{made['subject_id']}/history")).body["items"]
        version = next(item for item in reversed(versions) if item["version"] == made["sequence"])
        label = label_of(version["state"])
        if made["type"] == "transaction.reversed":
            return f"{label}, which is deleted now", []
        return label, changed_lines(version)
    states = [_facts_of_account(detail) for detail in _states_of(client, books, made["subject_id"])]
    label = f"account {states[0]['Name']}"
    return label, differences(states[1], states[0]) if len(states) > 1 else []


def changed_lines(version: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return what a version of a transaction changed: field, before, after."""
    return [
        (field.replace("_", " ").capitalize(), show_value(before), show_value(after))
        for field, (before, after) in (version.get("changed") or {}).items()
    ]


def _facts_of_account(detail: Mapping[str, Any]) -> dict[str, str]:
    facts = {
        "Name": detail["name"],
        "Closed": bool(detail.get("closed")),
        "Group": detail.get("group"),
        "Position": detail.get("position"),
        "Merged": bool(detail.get("merged_into")),
    }
    return {name: show_value(fact) for name, fact in facts.items()}


def _states_of(client: Client, books: Ledger, account_id: str) -> Iterator[Mapping[str, Any]]:
    """Yield how an account stood after its two newest changes."""
    for page in list_pages(client, books.path("/changes"), 2, parameters={"subject": account_id}):
        for item in page["items"]:
            yield item["detail"]
