"""Commands of a ledger's members: who they are, what each may do, and how they go."""

from typing import Annotated, Any

import typer

from cli.books.ledger_choice import Ledger, LedgerOption, chosen_ledger
from cli.books.naming import pick, short
from cli.books.transaction_tables import utc
from cli.connection.client import Client, connect
from cli.connection.servers import UrlOption
from cli.connection.writes import write
from cli.terminal.output import ExitCode, Json, fail, say, show_json, show_table
from cli.terminal.prompts import confirm
from contracts.members import Role

UserName = Annotated[str, typer.Argument(metavar="USER", help="A member's username, or id.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask first.")]


def register(group: typer.Typer) -> None:
    """Add these commands to ``cash ledger``."""
    group.command("members")(list_members)
    group.command("role")(give_role)
    group.command("remove")(remove)
    group.command("leave")(leave)
    group.command("hand-over")(hand_over)


def list_members(ledger: LedgerOption = None, url: UrlOption = None, json: Json = False) -> None:
    """List who belongs to a ledger, and as what.

    Examples:
        cash ledger members --ledger Home
    """
    with connect(url) as client:
        members = client.call("GET", chosen_ledger(client, ledger).path("/members")).body
    if json:
        show_json(members)
    elif not members["items"]:
        say("Your personal ledger opens with your first transaction: cash tx add 24.47 Groceries")
    else:
        rows = [
            (member["username"], member["role"], utc(member["joined_at"]), short(member["user_id"]))
            for member in members["items"]
        ]
        show_table(["Member", "Role", "Since", "ID"], rows, whole=("Role", "Since", "ID"), spare=("ID", "Since"))


def give_role(
    user: UserName,
    role: Annotated[Role, typer.Argument(metavar="ROLE", help="editor, or viewer who only reads.")],
    ledger: LedgerOption = None,
    url: UrlOption = None,
    json: Json = False,
) -> None:
    """Let a member change the books, or only read them.

    Examples:
        cash ledger role bob viewer --ledger Home
    """
    if role is Role.OWNER:
        fail("a ledger has one owner; hand it over with `cash ledger hand-over USER`", ExitCode.USAGE)
    with connect(url) as client:
        books = chosen_ledger(client, ledger)
        member = _find_member(client, books, user)
        changed = _give(client, books, member, role)
    if json:
        show_json(changed)
    else:
        say(f"{member['username']} is {role} now.")


def remove(user: UserName, ledger: LedgerOption = None, url: UrlOption = None, json: Json = False) -> None:
    """Remove a member.

    Within seconds nothing of the ledger is shown to them any more.

    Examples:
        cash ledger remove bob --ledger Home
    """
    with connect(url) as client:
        books = chosen_ledger(client, ledger)
        member = _find_member(client, books, user)
        _remove(client, books, member["user_id"])
    if json:
        show_json({"user_id": member["user_id"], "removed": True})
    else:
        say(f"{member['username']} is no member any more.")


def leave(yes: Yes = False, ledger: LedgerOption = None, url: UrlOption = None, json: Json = False) -> None:
    """Leave a ledger.

    Only its owner can let you in again.

    Examples:
        cash ledger leave --ledger Home
    """
    with connect(url) as client:
        books = chosen_ledger(client, ledger)
        if not yes and not confirm(f"Leave the ledger {books.name}?"):
            fail("you are a member still; nothing was done")
        mine = client.remembered_session().user_id
        _remove(client, books, mine)
    if json:
        show_json({"user_id": mine, "removed": True})
    else:
        say(f"You left the ledger {books.name}.")


def hand_over(
    user: UserName, yes: Yes = False, ledger: LedgerOption = None, url: UrlOption = None, json: Json = False
) -> None:
    """Make another member the owner.

    You stay as editor, and only they can give it back.

    Examples:
        cash ledger hand-over bob --ledger Home
    """
    with connect(url) as client:
        books = chosen_ledger(client, ledger)
        member = _find_member(client, books, user)
        if not yes and not confirm(f"Make {member['username']} the owner of {books.name}?"):
            fail("the ledger is yours still; nothing was done")
        changed = _give(client, books, member, Role.OWNER)
    if json:
        show_json(changed)
    else:
        say(f"{member['username']} owns the ledger {books.name} now; you are editor.")


def _find_member(client: Client, books: Ledger, typed: str) -> Any:
    members = client.call("GET", books.path("/members")).body["items"]
    look = f"cash ledger members{books.option}"
    return pick(members, typed, noun="member", look=look, key="user_id", name="username")


def _give(client: Client, books: Ledger, member: Any, role: Role) -> Any:
    path = books.path(f"/members/{member['user_id']}")
    return write(client, "PATCH", path, body={"role": role}, look=f"cash ledger members{books.option}")


def _remove(client: Client, books: Ledger, user_id: str) -> None:
    look = f"cash ledger members{books.option}"
    write(client, "DELETE", books.path(f"/members/{user_id}"), look=look)
