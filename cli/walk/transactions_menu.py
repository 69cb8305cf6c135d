"""The walk's transactions: create, view, edit, take back."""

from collections.abc import Callable, Mapping
from typing import Any
from uuid import uuid4

from cli.books.amounts import checked_amount, read_amount
from cli.books.changes import find_undoable, show_taken_back, take_back
from cli.books.naming import short
from cli.books.transaction_edits import change_transaction, show_change
from cli.books.transaction_entry import submit_transaction
from cli.books.transaction_search import find_transaction
from cli.books.transaction_tables import label_of, name_of, purpose_of, signed_amount, whole_of
from cli.connection.client import Refused, Unanswered
from cli.connection.pages import list_pages, read_pages
from cli.terminal.days import read_day
from cli.terminal.output import show_record, show_table
from cli.walk.menus import Menu, show_success
from cli.walk.questions import ask, ask_for, ask_one_of, ask_yes, complain, tell
from cli.walk.visit import Visit
from contracts.text import NAME_LENGTH_MAX

_PAGE = 10


def transactions_menu(visit: Visit) -> Menu:
    """Return the menu of transactions."""
    return Menu(
        "Select transaction type:",
        {
            "Create Transaction": lambda: _create(visit),
            "View all transactions": lambda: _view_all(visit),
            "View transaction by ID": lambda: _view_one(visit),
            "Edit transaction": lambda: _edit(visit),
            "Undo": lambda: _undo(visit),
            "Back": None,
        },
    )


def _create(visit: Visit) -> None:
    tell("Creating transaction...")
    typed: dict[str, str] = {}
    while True:
        _ask_fields(visit, typed)
        try:
            recorded = _submitted(visit, typed)
        except Refused as refused:
            complain(str(refused))
            if not ask_yes("Change it and try again?", default=True):
                return
        else:
            if recorded is not None:
                show_success("Transaction created successfully")
                _show([recorded])
            return


def _ask_fields(visit: Visit, typed: dict[str, str]) -> None:
    """Ask for what makes a transaction; what was typed before is proposed."""
    typed["amount"] = ask("Enter the amount", default=typed.get("amount"), check=_amount)
    typed["category"] = ask("Enter the category", default=typed.get("category"), check=_category)
    typed["description"] = ask("Enter the description", default=typed.get("description"), optional=True)
    now = f"{visit.books.now():%Y-%m-%dT%H:%M}"
    day = ask("Enter the date", default=typed.get("date") or now, check=_day(visit))
    # Now is the moment it arrives, not the minute the question was asked in.
    typed["date"] = "" if day == _day(visit)(now) else day


def _submitted(visit: Visit, typed: Mapping[str, str]) -> Any:
    """Record it, and return it as recorded; ``None`` where that is not known, which was said then.

    As often as it is sent again, it is recorded once.
    """
    key = str(uuid4())
    amount = read_amount(typed["amount"])
    wanted = {name: value or None for name, value in typed.items()}
    wanted |= {"amount": amount.amount, "currency": amount.currency}
    while True:
        try:
            answer = submit_transaction(visit.client, visit.books, wanted, key=key)
        except Unanswered as unanswered:
            complain(f"{unanswered}; whether it was recorded is not known")
            if not ask_yes("Send it again? It is recorded once.", default=True):
                return None
        else:
            if answer.pending:
                tell(f"Accepted; it will be recorded soon, as {answer.body['transaction_id']}.")
                return None
            return answer.body


def _view_all(visit: Visit) -> None:
    """Show page after page, forth and back."""
    begins: list[str | None] = [None]
    while True:
        items, following = read_pages(list_pages(visit.client, visit.books.path("/transactions"), _PAGE, begins[-1]))
        if not items:
            tell("No transactions yet; create one.")
            return
        _show(items, title="Transactions")
        ways = {"n": "next", "p": "previous", "b": "back"}
        if not following:
            del ways["n"]
        if len(begins) == 1:
            del ways["p"]
        if len(ways) == 1:
            return
        words = ", ".join(f"{letter} = {word}" for letter, word in ways.items())
        match ask_one_of(f"Page {len(begins)}: {words}", list(ways), default="n" if following else "b"):
            case "n":
                begins.append(following)
            case "p":
                begins.pop()
            case _:
                return


def _show(items: list[Any], *, title: str | None = None) -> None:
    rows = [
        (signed_amount(item), purpose_of(item), item["description"], item["date"], short(item["id"])) for item in items
    ]
    columns = ("Amount", "Category", "Description", "Date", "ID")
    whole, spare = ("Date", "ID"), ("Description", "Date")
    show_table(columns, rows, title=title, right=("Amount",), whole=whole, spare=spare)


def _view_one(visit: Visit) -> None:
    show_record(whole_of(_asked_transaction(visit)))


def _edit(visit: Visit) -> None:
    before = _asked_transaction(visit)
    tell(f"{label_of(before)}. Nothing typed leaves a thing as it is.")
    category = "" if before.get("splits") or before.get("to_account") else name_of(before.get("category"))
    checks: dict[str, tuple[str, Callable[[str], str]]] = {
        "amount": (before["amount"], _other_amount),
        "category": (category, _category),
        "description": (before["description"], str),
        "date": (before["date"], _day(visit)),
    }
    wanted = {}
    for name, (stands, check) in checks.items():
        if name != "category" or category:
            typed = ask(f"Enter the {name}", default=stands, check=check, optional=True)
            if typed != stands:
                wanted[name] = typed
    if not wanted:
        tell("Nothing was changed.")
        return
    after = change_transaction(visit.client, visit.books, before, wanted)
    if show_change(before, after):
        show_success("Transaction changed successfully")


def _undo(visit: Visit) -> None:
    number = find_undoable(visit.client, visit.books)
    if number is None:
        tell("You have nothing to undo.")
        return
    made = take_back(visit.client, visit.books, number)
    show_taken_back(visit.client, visit.books, made, f"Undone: change {number}")


def _asked_transaction(visit: Visit) -> Any:
    return ask_for("Enter the transaction ID", lambda typed: find_transaction(visit.client, visit.books, typed))


def _amount(typed: str) -> str:
    """Return a typed amount with its currency, if one was typed."""
    _check_sign(typed)
    read = read_amount(typed)
    return f"{read.amount} {read.currency}" if read.currency else read.amount


def _other_amount(typed: str) -> str:
    _check_sign(typed)
    return checked_amount(typed)


def _check_sign(typed: str) -> None:
    # Here everything is an expense, so there is no option to turn the sign by, which the usual sentence tells of.
    if typed.lstrip()[:1] in ("-", "−", "+") or not typed.strip(" 0.,"):
        raise ValueError(f"'{typed}' is not above zero: type the amount without a sign")


def _category(typed: str) -> str:
    if len(typed) > NAME_LENGTH_MAX:
        raise ValueError(f"a category has at most {NAME_LENGTH_MAX} characters, and these are {len(typed)}")
    return typed


def _day(visit: Visit) -> Callable[[str], str]:
    return lambda typed: read_day(typed, visit.books.now())
