"""Commands of invitations: ask somebody into a ledger, and answer those who ask you."""

from typing import Annotated, Any

import typer

from cli.books.ledger_choice import LedgerOption, chosen_ledger
from cli.books.naming import find_whole, pick, short
from cli.books.transaction_tables import utc
from cli.connection.client import Client, connect
from cli.connection.servers import UrlOption
from cli.connection.writes import write
from cli.terminal.output import ExitCode, Json, fail, note, say, show_json, show_table
from contracts.members import Role

_LOOK = "cash ledger invitations"

OwnInvitation = Annotated[
    str, typer.Argument(metavar="INVITATION", help="The ledger's name, or an id as `cash ledger invitations` shows it.")
]


def register(group: typer.Typer) -> None:
    """Add these commands to ``cash ledger``."""
    group.command("invite")(invite)
    group.command("invitations")(list_invitations)
    group.command("accept")(accept)
    group.command("decline")(decline)
    group.command("withdraw")(withdraw)


def invite(
    email: Annotated[str, typer.Argument(metavar="EMAIL", help="The address they registered with.")],
    role: Annotated[Role, typer.Option(help="editor, or viewer who only reads.")] = Role.EDITOR,
    ledger: LedgerOption = None,
    url: UrlOption = None,
    json: Json = False,
) -> None:
    """Invite a registered person into a ledger.

    Whether the address is anybody's is told to nobody.

    Examples:
        cash ledger invite bob@example.org --ledger Home --role editor
    """
    if role is Role.OWNER:
        fail("invite as editor or viewer; hand the ledger over when they have joined", ExitCode.USAGE)
    with connect(url) as client:
        books = chosen_ledger(client, ledger)
        look = f"{_LOOK} --sent{books.option}"
        invited = write(client, "POST", books.path("/invitations"), body={"email": email, "role": role}, look=look)
    if json:
        show_json(invited)
    else:
        say(f"Invited as {role} until {utc(invited['expires_at'])}, if somebody is registered with that address.")
        note(f"They accept with: cash ledger accept {short(invited['id'])}")


def list_invitations(
    sent: Annotated[bool, typer.Option("--sent", help="Those of a ledger of yours, instead of those for you.")] = False,
    ledger: LedgerOption = None,
    url: UrlOption = None,
    json: Json = False,
) -> None:
    """List the ledgers you are invited into.

    With --sent, whom you invited into one.

    Examples:
        cash ledger invitations
    """
    with connect(url) as client:
        path = chosen_ledger(client, ledger).path("/invitations") if sent else "/invitations"
        invitations = client.call("GET", path).body
    items = invitations["items"]
    if json:
        show_json(invitations)
    elif not items:
        say("Nobody was invited into this ledger yet." if sent else "You have no open invitation.")
    elif sent:
        lines = [(utc(item["invited_at"]), item["role"], item["status"], short(item["id"])) for item in items]
        show_table(["Invited at", "As", "State", "ID"], lines, whole=("Invited at", "ID"), spare=("Invited at",))
    else:
        rows = [
            (item["ledger_name"], item["role"], item["invited_by"], utc(item["expires_at"]), short(item["id"]))
            for item in items
        ]
        columns = ["Ledger", "As", "By", "Open until", "ID"]
        show_table(columns, rows, whole=("As", "Open until", "ID"), spare=("Open until",))


def accept(invitation: OwnInvitation, url: UrlOption = None, json: Json = False) -> None:
    """Accept an invitation.

    You are a member of that ledger then.

    Examples:
        cash ledger accept 3f2a91bc
    """
    with connect(url) as client:
        found = _find_own(client, invitation)
        joined = _answer(client, found, "accept")
    if json:
        show_json(joined)
    else:
        say(f"You are {found['role']} of {found['ledger_name']} now: cash tx list --ledger {short(found['ledger_id'])}")


def decline(invitation: OwnInvitation, url: UrlOption = None, json: Json = False) -> None:
    """Decline an invitation.

    Examples:
        cash ledger decline 3f2a91bc
    """
    with connect(url) as client:
        found = _find_own(client, invitation)
        _answer(client, found, "decline")
    if json:
        show_json({"id": found["id"], "declined": True})
    else:
        say(f"Declined the invitation into {found['ledger_name']}.")


def withdraw(
    invitation: Annotated[str, typer.Argument(metavar="ID", help="As `cash ledger invitations --sent` shows it.")],
    ledger: LedgerOption = None,
    url: UrlOption = None,
    json: Json = False,
) -> None:
    """Take an invitation back that nobody has accepted yet.

    Examples:
        cash ledger withdraw 3f2a91bc
    """
    with connect(url) as client:
        books = chosen_ledger(client, ledger)
        look = f"{_LOOK} --sent{books.option}"
        identifier = find_whole(invitation)
        if identifier is None:
            sent = client.call("GET", books.path("/invitations")).body["items"]
            identifier = pick(sent, invitation, noun="invitation", look=look)["id"]
        write(client, "DELETE", books.path(f"/invitations/{identifier}"), look=look)
    if json:
        show_json({"id": identifier, "withdrawn": True})
    else:
        say("Withdrawn; it cannot be accepted any more.")


def _find_own(client: Client, typed: str) -> Any:
    invitations = client.call("GET", "/invitations").body["items"]
    return pick(invitations, typed, noun="invitation for you", look=_LOOK, name="ledger_name")


def _answer(client: Client, invitation: Any, answer: str) -> Any:
    path = f"/ledgers/{invitation['ledger_id']}/invitations/{invitation['id']}/{answer}"
    return write(client, "POST", path, body={}, look="cash ledger list")
