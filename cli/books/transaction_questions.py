"""``cash tx add`` without words: it asks for them, one after the other."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from cli.books.accounts import read_accounts
from cli.books.amounts import TypedAmount, read_amount
from cli.books.ledger_choice import Ledger
from cli.books.naming import pick
from cli.connection.client import Client
from cli.terminal.days import read_day
from cli.terminal.output import Failure, aside
from cli.terminal.prompts import agree, ask
from contracts.accounts import CATEGORY_KINDS, MONEY_KINDS
from contracts.text import name_key

#: So many categories are shown; the Tab key knows them all.
_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Answers:
    """What was answered; ``None`` where Enter left it to the ledger."""

    amount: TypedAmount
    category: str
    description: str | None
    day: str | None
    account: str | None


def ask_transaction(client: Client, books: Ledger, *, day: str | None, account: str | None) -> Answers:
    """Ask for a transaction, but not for what options said already; a bad answer is asked again with the reason."""
    there = read_accounts(client, books, closed=False)["items"]
    categories = [each["name"] for each in there if each["kind"] in CATEGORY_KINDS]
    amount = read_amount(ask("Amount", check=_checked_amount))
    category = _ask_category(categories)
    description = ask("Description", optional=True)
    if day is None:
        typed = ask(
            "Date", default="now", check=lambda typed: typed if typed == "now" else read_day(typed, books.now())
        )
        day = None if typed == "now" else typed
    if account is None:
        account = _ask_account(client, books, [each for each in there if each["kind"] in MONEY_KINDS])
    return Answers(amount, category, description or None, day, account)


def _checked_amount(typed: str) -> str:
    read_amount(typed)
    return typed


def _ask_category(known: Sequence[str]) -> str:
    if known:
        more = ", …" if len(known) > _SHOWN else ""
        aside(f"Categories: {', '.join(known[:_SHOWN])}{more} (the Tab key completes them)")
    while True:
        typed = ask("Category", suggestions=known)
        keys = {name_key(name): name for name in known}
        if name_key(typed) in keys or not known:
            return keys.get(name_key(typed), typed)
        near = get_close_matches(name_key(typed), keys, n=1)
        hint = f" (or did you mean {keys[near[0]]}?)" if near else ""
        if agree(f"There is no category '{typed}' yet{hint}. Open it?"):
            return typed


def _ask_account(client: Client, books: Ledger, known: Sequence[Any]) -> str | None:
    if len(known) < 2:
        return None
    names = [str(each["name"]) for each in known]
    ledgers = client.call("GET", "/ledgers").body["items"]
    default = next((each["default_account"] for each in ledgers if each["id"] == books.id), None)

    def check(typed: str) -> str:
        try:
            return str(pick(known, typed, noun="account", look=f"cash accounts{books.option}")["name"])
        except Failure as failure:
            raise ValueError(str(failure)) from None

    return ask("Account", default=default["name"] if default else names[0], check=check, suggestions=names)
