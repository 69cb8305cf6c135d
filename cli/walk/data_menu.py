"""The walk's data: accounts, balances, whether all is right, and taking it away."""

from collections.abc import Sequence
from pathlib import Path

from cli.books.accounts import read_accounts, show_accounts
from cli.books.balances import read_balances, show_balances
from cli.books.exports import export_transactions, format_of
from cli.operating import ledger_operations
from cli.people.personal_data import save_personal_data
from cli.terminal.whole_files import refuse_in_the_way
from cli.walk.menus import Menu, show_success
from cli.walk.questions import Back, ask, ask_yes, complain, tell
from cli.walk.stored_users import read_users
from cli.walk.verification import Folded, differences, read_journal, read_stored
from cli.walk.visit import Visit

_SHOWN = 20


def data_menu(visit: Visit) -> Menu:
    """Return the menu of what is held."""
    return Menu(
        "Select an option:",
        {
            "Accounts and categories": lambda: _show_accounts(visit),
            "Balances": lambda: show_balances(read_balances(visit.client, visit.books)),
            "Verify against the journal": lambda: _verify(visit),
            "Export transactions": lambda: _export(visit),
            "Everything held about me": lambda: _save_my_data(visit),
            "Back": None,
        },
    )


def _show_accounts(visit: Visit) -> None:
    accounts = read_accounts(visit.client, visit.books)["items"]
    if accounts:
        show_accounts(accounts)
    else:
        tell("No accounts yet; the first transaction opens them.")


def _verify(visit: Visit) -> None:
    """Hold transactions, balances and users as stored against the journals, and the books against their rules."""
    tell("Reading the journal and what is stored...")
    entries, found = _verify_books(visit)
    if obstacle := visit.find_obstacle():
        tell(f"Users and the rules of the books are not verified: {obstacle}.")
    else:
        users = read_users()
        found += _told(users.differences(), f"Stored users: {len(users.stored)}, those of the identity journal.")
        # What somebody has who recorded nothing yet is not in the ledger database.
        if entries:
            ledger_operations.verify(visit.books.id)
    if not found:
        show_success("Stored and journal agree")


def _verify_books(visit: Visit) -> tuple[int, int]:
    """Return how many entries the journal has, and how much differs."""
    stored = read_stored(visit.client, visit.books)
    if not stored.sequence:
        tell("Your books are empty; there is nothing to compare.")
        return 0, 0
    folded = Folded()
    for entry in read_journal(visit.client, visit.books, stored.sequence):
        folded.take(entry)
    return stored.sequence, _told(
        differences(stored, folded),
        f"Your journal comes to exactly what is stored. Entries: {stored.sequence:,}; transactions: "
        f"{len(stored.transactions):,}; balances: {len(stored.balances):,}.",
    )


def _told(differences: Sequence[str], all_is_right: str) -> int:
    """Say what differs, or that nothing does; return how much."""
    for sentence in differences[:_SHOWN]:
        complain(sentence)
    if len(differences) > _SHOWN:
        complain(f"and {len(differences) - _SHOWN} more")
    if not differences:
        tell(all_is_right)
    return len(differences)


def _export(visit: Visit) -> None:
    tell("The file's ending says the format: .csv, .json, .journal (hledger) or .beancount.")
    target, replace = _asked_file(visit, "csv")
    count = export_transactions(visit.client, visit.books, target, format_of(target), replace=replace)
    show_success(f"Transactions written to {target}: {count:,}")


def _save_my_data(visit: Visit) -> None:
    target, replace = _asked_file(visit, "zip")
    counts = save_personal_data(visit.client, target, replace=replace)
    show_success(f"Written to {target}: {', '.join(f'{noun} {count:,}' for noun, count in counts.items())}")
    tell("Whoever has the file can read all of it; keep it where only you can.")


def _asked_file(visit: Visit, suffix: str) -> tuple[Path, bool]:
    """Ask for a file to write, and whether one that is there may be replaced."""
    name = visit.client.remembered_session().username
    default = f"cash-flow-{name}-{visit.books.now():%Y-%m-%d}.{suffix}"
    target = Path(ask("Enter the file", default=default, check=_writable))
    replace = target.is_file()
    if replace and not ask_yes(f"{target} exists. Replace it?", default=False):
        raise Back
    return target, replace


def _writable(typed: str) -> str:
    path = Path(typed).expanduser()
    refuse_in_the_way(path, replace=True)
    return str(path)
