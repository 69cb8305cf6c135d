"""The command that shows what the mailbox of development caught."""

from datetime import datetime
from typing import Annotated, Any

import typer

from cli.connection.servers import find_mailbox
from cli.development.mailbox import list_mails, read_mail
from cli.terminal.output import ExitCode, Json, fail, say, show_json, show_record, show_table

_SHOWN = 20


def register(app: typer.Typer) -> None:
    """Add this command to ``cash``."""
    app.command("mail")(show_mails)


def show_mails(
    mail: Annotated[str | None, typer.Argument(metavar="NUMBER", help="Which one to read; 1 is the newest.")] = None,
    to: Annotated[str | None, typer.Option("--to", metavar="EMAIL", help="Only those to this address.")] = None,
    json: Json = False,
) -> None:
    """List the mails the local mailbox caught, or read one.

    The newest is the first. The local stack sends no mail to anybody. CASH_MAILBOX_URL names the mailbox of another
    development system: Mailpit, or what has its API.

    Examples:
        cash mail
    """
    mailbox = find_mailbox()
    mails = list_mails(mailbox, to=to)
    if mail is None:
        _show_list(mails, to, json=json)
        return
    found = read_mail(mailbox, _find(mails, mail)["id"])
    if json:
        show_json(found)
        return
    show_record({name: found[name.lower()] for name in ("From", "To", "Subject")} | {"Received": _local(found)})
    say("\n" + "\n".join(found["text"].rstrip().splitlines()))


def _show_list(mails: list[Any], to: str | None, *, json: bool) -> None:
    if json:
        show_json(mails)
    elif not mails:
        say(f"No mail {f'to {to} ' if to else ''}yet; `cash register` has one sent.")
    else:
        rows = [
            (number, _local(mail), mail["to"], mail["subject"]) for number, mail in enumerate(mails[:_SHOWN], start=1)
        ]
        show_table(("No.", "Received", "To", "Subject"), rows, right=("No.",))
        say(f"Read one: cash mail {f'--to {to} ' if to else ''}1")


def _find(mails: list[Any], wanted: str) -> Any:
    found = next((mail for number, mail in enumerate(mails, start=1) if wanted in (str(number), mail["id"])), None)
    return found or fail(f"there is no mail '{wanted}'; `cash mail` lists them", ExitCode.NOT_FOUND)


def _local(mail: Any) -> str:
    return f"{datetime.fromisoformat(mail['received_at']).astimezone():%Y-%m-%d %H:%M:%S}"
