"""Which ledger a command acts on: the personal one, or another that somebody is a member of."""

import os
from dataclasses import dataclass
from datetime import datetime
from shlex import quote
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from cli import preferences
from cli.books.naming import pick
from cli.completion import ledger_names
from cli.connection.client import Client
from cli.connection.credentials import Session
from cli.connection.servers import Server
from contracts.ledgers import PERSONAL_LEDGER_NAME
from contracts.text import name_key

LedgerOption = Annotated[
    str | None,
    typer.Option(
        "--ledger",
        metavar="LEDGER",
        autocompletion=ledger_names,
        help="Name or id. Without it: CASH_LEDGER, else the profile's, else your personal one.",
    ),
]


@dataclass(frozen=True, slots=True)
class Ledger:
    """The ledger a command acts on; ``option`` is what to add to a proposed command so that it does so too."""

    id: str
    name: str
    base_currency: str
    time_zone: str
    option: str = ""

    def path(self, rest: str = "") -> str:
        """Return a path of the API below this ledger."""
        return f"/ledgers/{self.id}{rest}"

    def now(self) -> datetime:
        """Return the current moment in the ledger's zone."""
        return datetime.now(ZoneInfo(self.time_zone))


def chosen_ledger(client: Client, named: str | None) -> Ledger:
    """Return the ledger that ``--ledger``, CASH_LEDGER or the profile names, the personal one where none does."""
    session = client.remembered_session()
    wanted = (_said_for(client.server) if named is None else named).strip()
    if not wanted or wanted == session.ledger_id:
        return personal_ledger(session)
    ledgers = client.call("GET", "/ledgers").body["items"]
    if not any(ledger["id"] == session.ledger_id for ledger in ledgers) and name_key(wanted) == name_key(
        PERSONAL_LEDGER_NAME
    ):
        # It opens with the first thing that is asked of it.
        return personal_ledger(session)
    found = pick(ledgers, wanted, noun="ledger", look="cash ledger list")
    option = f" --ledger {quote(named)}" if named else ""
    return Ledger(found["id"], found["name"], found["base_currency"], found["time_zone"], option)


def _said_for(server: Server) -> str:
    # A profile's ledger is one of its own server; at another one it means nothing.
    if preferences.chosen_profile().url not in (None, server.url):
        return os.environ.get("CASH_LEDGER", "")
    return preferences.said("ledger") or ""


def personal_ledger(session: Session) -> Ledger:
    """Return the ledger that somebody has without asking."""
    return Ledger(session.ledger_id, PERSONAL_LEDGER_NAME, session.base_currency, session.time_zone)
