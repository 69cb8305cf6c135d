"""Which ledger a command acts on: the personal one, or another that somebody is a member of."""

import os
from dataclasses import dataclass
from datetime import datetime
from shlex import quote
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from cli.client import Client
from cli.credentials import Session
from cli.naming import pick
from contracts.ledgers import PERSONAL_LEDGER_NAME
from contracts.text import name_key

LedgerOption = Annotated[
    str | None,
    typer.Option(
        "--ledger", metavar="LEDGER", help="Name or id of a ledger. Without it: CASH_LEDGER, else your personal one."
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
    """Return the ledger that ``--ledger`` or CASH_LEDGER names, the personal one where neither does."""
    session = client.remembered_session()
    wanted = (os.environ.get("CASH_LEDGER", "") if named is None else named).strip()
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


def personal_ledger(session: Session) -> Ledger:
    """Return the ledger that somebody has without asking."""
    return Ledger(session.ledger_id, PERSONAL_LEDGER_NAME, session.base_currency, session.time_zone)
