"""A ledger's transactions as plain text that other programs keep books in: beancount and hledger.

Both get two legs for each posting, those of one account and currency in one transaction added up, so every balance
there is the one here. Names are written with the letters that each of them takes.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from contracts.accounts import AccountKind
from contracts.transactions import TransactionStatus

#: An account is open in beancount from its first day on; no transaction is older (contracts.text).
FIRST_DAY = "1900-01-01"
_BEANCOUNT_ROOTS: Mapping[str, str] = {
    AccountKind.ASSET: "Assets",
    AccountKind.LIABILITY: "Liabilities",
    AccountKind.INCOME: "Income",
    AccountKind.EXPENSE: "Expenses",
    AccountKind.EQUITY: "Equity",
}
#: The root, and the letter of its ``type:`` tag.
_HLEDGER_ROOTS: Mapping[str, tuple[str, str]] = {
    AccountKind.ASSET: ("assets", "A"),
    AccountKind.LIABILITY: ("liabilities", "L"),
    AccountKind.INCOME: ("income", "R"),
    AccountKind.EXPENSE: ("expenses", "X"),
    AccountKind.EQUITY: ("equity", "E"),
}

Accounts = Callable[[str], Mapping[str, Any]]
"""Finds an account, as the API answers it, by its id."""


class Names:
    """What accounts are called in another program: as ``spell`` says, with a part of the id where that was taken."""

    def __init__(self, spell: Callable[[str, str], str]) -> None:
        self._spell = spell
        self._names: dict[str, str] = {}

    def of(self, account: Mapping[str, Any]) -> str:
        """Return what an account is called, always the same."""
        identifier = str(account["id"])
        if identifier not in self._names:
            spelled = self._spell(account["kind"], account["name"])
            taken = {name.casefold() for name in self._names.values()}
            proposals = (spelled, f"{spelled}-{identifier[:8]}", f"{spelled}-{identifier}")
            self._names[identifier] = next(each for each in proposals if each.casefold() not in taken)
        return self._names[identifier]

    def knows(self, account_id: str) -> bool:
        """Return whether an account was named before."""
        return account_id in self._names


def beancount_name(kind: str, name: str) -> str:
    """Return an account's name with the letters that beancount takes: ``Expenses:Eating-out``."""
    normal = unicodedata.normalize("NFC", name)
    readable = "".join(
        letter if unicodedata.category(letter)[0] == "L" or letter.isdecimal() else "-" for letter in normal
    )
    words = re.sub("-+", "-", readable).strip("-")
    words = words[:1].upper() + words[1:]
    # It begins with a capital letter or a digit; scripts without capitals get one.
    if not words or unicodedata.category(words[0]) not in ("Lu", "Nd"):
        words = f"X-{words}".rstrip("-")
    return f"{_BEANCOUNT_ROOTS[kind]}:{words}"


def beancount_text(text: str) -> str:
    """Return a text as beancount reads it, in quotation marks."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def beancount_lines(
    ledger: Mapping[str, Any], accounts: Accounts, transactions: Iterable[Mapping[str, Any]]
) -> Iterator[str]:
    """Yield the lines of a beancount file; each account is opened before the first transaction that names it."""
    names = Names(beancount_name)
    yield f'option "title" {beancount_text(ledger["name"])}'
    yield f'option "operating_currency" "{ledger["base_currency"]}"'
    for transaction in transactions:
        legs = list(_legs(transaction))
        for account in _new(legs, accounts, names):
            yield ""
            yield f"{FIRST_DAY} open {names.of(account)} {account['currency'] or ''}".rstrip()
            yield f"  name: {beancount_text(account['name'])}"
        tags = transaction["tags"]
        marks = "".join(f" #{tag}" for tag in tags if _is_beancount_tag(tag))
        payee = f"{beancount_text(transaction['payee'])} " if transaction["payee"] else ""
        yield ""
        yield f"{transaction['date']} {_flag(transaction)} {payee}{beancount_text(transaction['description'])}{marks}"
        yield f"  id: {beancount_text(transaction['id'])}"
        others = {
            "tags": ", ".join(tag for tag in tags if not _is_beancount_tag(tag)),
            "note": transaction["note"],
            "external-id": transaction["external_id"],
            "rate": transaction.get("rate"),
        }
        yield from (f"  {key}: {beancount_text(value)}" for key, value in others.items() if value)
        yield from (
            f"  {names.of(accounts(identifier))}  {amount:f} {currency}" for identifier, currency, amount in legs
        )


def hledger_name(kind: str, name: str) -> str:
    """Return an account's name as hledger reads it: ``expenses:Eating out``; a colon would make two accounts of it."""
    words = " ".join(name.replace(":", "-").replace(";", ",").split())
    return f"{_HLEDGER_ROOTS[kind][0]}:{words}"


def hledger_lines(
    ledger: Mapping[str, Any], accounts: Accounts, transactions: Iterable[Mapping[str, Any]]
) -> Iterator[str]:
    """Yield the lines of an hledger journal; each account is declared before the first transaction that names it."""
    names = Names(hledger_name)
    yield f"; {_in_a_line(ledger['name'])}, {ledger['base_currency']}"
    yield "decimal-mark ."
    for transaction in transactions:
        legs = list(_legs(transaction))
        for account in _new(legs, accounts, names):
            yield ""
            yield f"account {names.of(account)}  ; type: {_HLEDGER_ROOTS[account['kind']][1]}"
        # From a semicolon on it would be a comment, the first | ends the payee, and what stands in ( ) first is a code.
        payee = f"{_in_a_line(transaction['payee']).replace('|', '/')} | " if transaction["payee"] else ""
        words = f"{payee}{_in_a_line(transaction['description'])}".replace(";", ",")
        code = "() " if words.startswith("(") else ""
        yield ""
        yield f"{transaction['date']} {_flag(transaction)} {code}{words}".rstrip()
        yield f"    ; id:{transaction['id']}"
        if transaction["external_id"]:
            yield f"    ; external-id:{_in_a_line(transaction['external_id'])}"
        if transaction.get("rate"):
            yield f"    ; rate:{transaction['rate']}"
        yield from (f"    ; {_hledger_tag(tag)}:" for tag in transaction["tags"])
        yield from (f"    ; {line}" for line in (transaction["note"] or "").splitlines() if line.strip())
        yield from (
            f"    {names.of(accounts(identifier))}  {amount:f} {currency}" for identifier, currency, amount in legs
        )


def _legs(transaction: Mapping[str, Any]) -> Iterator[tuple[str, str, Decimal]]:
    """Yield account, currency and what came in (below zero: went out), in the order they were first named."""
    sums: dict[tuple[str, str], Decimal] = {}
    for posting in transaction["postings"]:
        amount = Decimal(posting["amount"])
        for side, signed in (("destination", amount), ("source", -amount)):
            leg = posting[side]["id"], posting["currency"]
            sums[leg] = sums.get(leg, Decimal()) + signed
    yield from ((*leg, amount) for leg, amount in sums.items())


def _new(legs: Iterable[tuple[str, str, Decimal]], accounts: Accounts, names: Names) -> Iterator[Mapping[str, Any]]:
    for identifier in dict.fromkeys(leg[0] for leg in legs):
        if not names.knows(identifier):
            yield accounts(identifier)


def _flag(transaction: Mapping[str, Any]) -> str:
    return "!" if transaction["status"] == TransactionStatus.PENDING else "*"


def _is_beancount_tag(tag: str) -> bool:
    return re.fullmatch(r"[A-Za-z0-9/_.-]+", tag) is not None


def _hledger_tag(tag: str) -> str:
    return re.sub(r"[\s:,;]+", "-", tag)


def _in_a_line(text: str) -> str:
    return " ".join(text.split())
