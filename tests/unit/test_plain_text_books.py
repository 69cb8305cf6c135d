"""Exports that other programs keep books in: whatever people write, they read it and find the same balances."""

import csv
import os
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from beancount.core.data import Open, Transaction
from beancount.ops.summarize import balance_by_account
from hypothesis import given, settings
from hypothesis import strategies as st

from cli.books.plain_text_books import Names, beancount_lines, beancount_name, hledger_lines, hledger_name
from contracts.accounts import AccountKind
from tests.builders.api import a_transaction
from tests.builders.beancount import load

LEDGER = {"id": "l", "name": 'Ours; "all" of it \\', "base_currency": "EUR", "time_zone": "Europe/Berlin"}
KINDS = list(AccountKind)


def accounts_called(*names: str) -> dict[str, dict[str, Any]]:
    """Return accounts by their ids, of each kind in turn."""
    return {
        str(UUID(int=number + 1)): {
            "id": str(UUID(int=number + 1)),
            "name": name,
            "kind": KINDS[number % len(KINDS)],
            "currency": "EUR" if KINDS[number % len(KINDS)] in (AccountKind.ASSET, AccountKind.LIABILITY) else None,
        }
        for number, name in enumerate(names)
    }


def moved(source: Mapping[str, Any], destination: Mapping[str, Any], amount: str, currency: str = "EUR") -> Any:
    named = {
        side: {"id": it["id"], "name": it["name"]} for side, it in (("source", source), ("destination", destination))
    }
    return {**named, "amount": amount, "currency": currency}


def balances_of(transactions: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], Decimal]:
    sums: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for transaction in transactions:
        for posting in transaction["postings"]:
            sums[posting["source"]["id"], posting["currency"]] -= Decimal(posting["amount"])
            sums[posting["destination"]["id"], posting["currency"]] += Decimal(posting["amount"])
    return {key: amount for key, amount in sums.items() if amount}


def by_beancount(text: str) -> tuple[dict[tuple[str, str], Decimal], list[Transaction]]:
    """Return the balances that beancount finds, by our accounts' order, and its transactions."""
    directives, errors = load(text)
    assert errors == []
    opened = [entry.account for entry in directives if isinstance(entry, Open)]
    assert len(opened) == len(set(opened))
    found, _ = balance_by_account(directives)
    balances = {
        (account, position.units.currency): position.units.number
        for account, inventory in found.items()
        for position in inventory
        if position.units.number
    }
    return balances, [entry for entry in directives if isinstance(entry, Transaction)]


a_line = st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=30)
a_name = a_line.filter(lambda name: name.strip() != "")


@given(
    names=st.lists(a_name, min_size=2, max_size=6),
    described=a_line,
    payee=st.none() | a_line,
    tags=st.lists(a_name, max_size=3),
    note=st.none() | st.text(st.characters(exclude_categories=("Cc", "Cs"), include_characters="\n"), max_size=60),
    amounts=st.lists(st.integers(1, 10**15), min_size=1, max_size=4),
)
@settings(max_examples=60)
def test_whatever_people_write_beancount_reads_it_and_finds_the_same_balances(
    names: list[str], described: str, payee: str | None, tags: list[str], note: str | None, amounts: list[int]
) -> None:
    accounts = accounts_called(*names)
    source, *others = accounts.values()
    postings = [
        moved(source, others[number % len(others)], str(Decimal(minor) / 100)) for number, minor in enumerate(amounts)
    ]
    transaction = a_transaction(
        postings=postings, description=described, payee=payee, tags=tags, note=note, external_id=described or None
    )

    text = "\n".join(beancount_lines(LEDGER, accounts.__getitem__, [transaction, transaction]))
    found, read = by_beancount(text + "\n")

    spelled = Names(beancount_name)
    used = dict.fromkeys(each[side]["id"] for each in postings for side in ("destination", "source"))
    called = {identifier: spelled.of(accounts[identifier]) for identifier in used}
    wanted = balances_of([transaction, transaction])
    assert found == {(called[account_id], currency): amount for (account_id, currency), amount in wanted.items()}
    assert [each.narration for each in read] == [described, described]
    assert [each.payee for each in read] == [payee or None] * 2
    for each in read:
        assert set(each.tags) | set(each.meta.get("tags", "").split(", ")) - {""} <= {
            *tags,
            *", ".join(tags).split(", "),
        }
        assert (each.meta.get("note") or None) == (note or None)


@pytest.mark.parametrize(
    ("name", "beancount", "hledger"),
    [
        ("Groceries", "Expenses:Groceries", "expenses:Groceries"),
        ("eating out", "Expenses:Eating-out", "expenses:eating out"),
        ("Café & Bar: late", "Expenses:Café-Bar-late", "expenses:Café & Bar- late"),
        ("食費", "Expenses:X-食費", "expenses:食費"),
        ("1 Mio", "Expenses:1-Mio", "expenses:1 Mio"),
        ("🍕🍕🍕", "Expenses:X", "expenses:🍕🍕🍕"),
        ("a;b  \u00a0 c", "Expenses:A-b-c", "expenses:a,b c"),
    ],
)
def test_a_name_keeps_what_the_other_program_takes_of_it(name: str, beancount: str, hledger: str) -> None:
    assert beancount_name(AccountKind.EXPENSE, name) == beancount
    assert hledger_name(AccountKind.EXPENSE, name) == hledger


def test_two_names_that_would_be_spelled_alike_stay_two_accounts() -> None:
    names = Names(beancount_name)
    pizza, sushi = accounts_called("🍕", "🍣").values()
    sushi["kind"] = pizza["kind"]

    assert names.of(pizza) == names.of(pizza) == "Assets:X"
    assert names.of(sushi) == f"Assets:X-{sushi['id'][:8]}"


CASH, CARD, SALARY, FOOD, OPENING, YEN = accounts_called("Cash", "Card", "Salary", "Food", "Exchange", "Yen").values()
YEN["currency"] = "JPY"
ACCOUNTS = {account["id"]: account for account in (CASH, CARD, SALARY, FOOD, OPENING, YEN)}
BOOKS: Sequence[Mapping[str, Any]] = [
    a_transaction(kind="income", postings=[moved(SALARY, CASH, "2846.00")], date="1900-01-01", status="cleared"),
    a_transaction(
        postings=[moved(CASH, FOOD, "12.30"), moved(CASH, FOOD, "30.00")],
        payee="Rossi | Co; Ltd",
        description='(pizza) * ! ; "x" \\',
        tags=["Holiday", "two words: x"],
        note="a note\n  ; with lines\n",
        external_id="bank-7",
    ),
    a_transaction(
        kind="exchange",
        rate="160.4",
        postings=[moved(CASH, OPENING, "100.00"), moved(OPENING, YEN, "16040", "JPY")],
        date="2200-12-31",
    ),
    a_transaction(kind="transfer", postings=[moved(CASH, CARD, "0.01")], description=""),
]


def test_beancount_gets_splits_exchanges_and_marks() -> None:
    text = "\n".join(beancount_lines(LEDGER, ACCOUNTS.__getitem__, BOOKS)) + "\n"

    found, read = by_beancount(text)

    assert found["Assets:Cash", "EUR"] == Decimal("2703.69")
    assert (found["Assets:Yen", "JPY"], found["Equity:Exchange", "JPY"]) == (Decimal(16040), Decimal(-16040))
    assert [each.flag for each in read] == ["*", "!", "!", "!"]
    shop = next(each for each in read if each.payee)
    assert [str(each.units) for each in shop.postings] == ["42.30 EUR", "-42.30 EUR"]
    assert (set(shop.tags), shop.meta["tags"]) == ({"Holiday"}, "two words: x")
    assert shop.meta["external-id"] == "bank-7"


def test_hledger_gets_the_same() -> None:
    lines = list(hledger_lines(LEDGER, ACCOUNTS.__getitem__, BOOKS))
    entry = lines.index('2026-03-31 ! Rossi / Co, Ltd | (pizza) * ! , "x" \\')

    assert lines[:2] == ['; Ours; "all" of it \\, EUR', "decimal-mark ."]
    assert lines[entry + 1 : entry + 9] == [
        f"    ; id:{BOOKS[1]['id']}",
        "    ; external-id:bank-7",
        "    ; Holiday:",
        "    ; two-words-x:",
        "    ; a note",
        "    ;   ; with lines",
        "    expenses:Food  42.30 EUR",
        "    assets:Cash  -42.30 EUR",
    ]
    assert lines.count("account assets:Cash  ; type: A") == 1


ODD = (
    "🍕", "two  spaces", "(x)", "a:b", ";c", "[d]", "1.000,00 EUR", '"e"', "-f", "食費", "a  ", "@ 5 USD", "= 3", "#1",
)  # fmt: skip
ODD_ACCOUNTS = accounts_called(*ODD)


@pytest.mark.skipif(shutil.which("hledger") is None, reason="hledger is not installed")
@pytest.mark.parametrize(
    ("transactions", "accounts"),
    [
        (BOOKS, ACCOUNTS),
        (
            [
                a_transaction(
                    postings=[moved(ODD_ACCOUNTS[str(UUID(int=1))], account, "1234.50")],
                    **dict.fromkeys(("description", "payee", "note", "external_id"), account["name"]),
                    tags=[account["name"]],
                )
                for account in list(ODD_ACCOUNTS.values())[1:]
            ],
            ODD_ACCOUNTS,
        ),
    ],
)
def test_hledger_reads_it_and_finds_the_same_balances(
    tmp_path: Path, transactions: Sequence[Mapping[str, Any]], accounts: Mapping[str, Any]
) -> None:
    journal = tmp_path / "books.journal"
    journal.write_text("\n".join(hledger_lines(LEDGER, accounts.__getitem__, transactions)) + "\n", "utf-8")

    told = subprocess.run(
        ["hledger", "-f", str(journal), "balance", "--flat", "--empty", "--no-total", "--output-format", "csv"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
    )

    found = dict(row for row in csv.reader(told.stdout.splitlines()))
    spelled = Names(hledger_name)
    for (account_id, currency), amount in balances_of(transactions).items():
        assert f"{amount:f} {currency}" in found[spelled.of(accounts[account_id])]
