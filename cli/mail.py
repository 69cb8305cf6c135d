"""The command that shows what the mailbox of development caught."""

from datetime import datetime
from typing import Annotated, Any

import httpx
import typer

from cli.output import ExitCode, Json, fail, say, show_json, show_record, show_table
from cli.servers import Server, find_mailbox

_SHOWN = 20


def register(app: typer.Typer) -> None:
    """Add this command to ``cash``."""
    app.command("mail", rich_help_panel="Try it out")(show_mails)


def show_mails(
    mail: Annotated[str | None, typer.Argument(metavar="NUMBER", help="Which one to read; 1 is the newest.")] = None,
    json: Json = False,
) -> None:
    """List the mails the local mailbox caught, newest first, or read one.

    The local stack sends no mail to anybody. CASH_MAILBOX_URL names the mailbox of another development system.
    """
    mails = list_mails(find_mailbox())
    if mail is None:
        _show_list(mails, json=json)
        return
    found = _find(mails, mail)
    if json:
        show_json(found)
        return
    show_record({name: found[name.lower()] for name in ("From", "To", "Subject")} | {"Received": _local(found)})
    say("\n" + "\n".join(found["text"].rstrip().splitlines()))


def list_mails(mailbox: Server, *, to: str | None = None) -> list[Any]:
    """Return the newest mails, newest first, of one recipient where given."""
    try:
        response = httpx.get(
            f"{mailbox.url}/messages", params={"to": to} if to else None, timeout=5.0, trust_env=mailbox.proxied
        )
        response.raise_for_status()
        mails: list[Any] = response.json()
    except httpx.TransportError:
        raise mailbox.unreachable() from None
    except (httpx.HTTPStatusError, ValueError):
        fail(f"{mailbox.url} does not answer like a mailbox; check CASH_MAILBOX_URL")
    return mails


def _show_list(mails: list[Any], *, json: bool) -> None:
    if json:
        show_json(mails)
    elif not mails:
        say("No mail yet; `cash register` has one sent.")
    else:
        rows = [
            (number, _local(mail), mail["to"], mail["subject"]) for number, mail in enumerate(mails[:_SHOWN], start=1)
        ]
        show_table(("No.", "Received", "To", "Subject"), rows, right=("No.",))
        say("Read one: cash mail 1")


def _find(mails: list[Any], wanted: str) -> Any:
    found = next((mail for number, mail in enumerate(mails, start=1) if wanted in (str(number), mail["id"])), None)
    return found or fail(f"there is no mail '{wanted}'; `cash mail` lists them", ExitCode.NOT_FOUND)


def _local(mail: Any) -> str:
    return f"{datetime.fromisoformat(mail['received_at']).astimezone():%Y-%m-%d %H:%M:%S}"
