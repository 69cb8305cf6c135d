"""What people can ask about themselves, on the running system, as a shell would run it."""

import csv
import json
import re
import time
import zipfile
from decimal import Decimal
from pathlib import Path

import pytest
from beancount.ops.summarize import balance_by_account

from cli.terminal.output import ExitCode
from infra.local.stack import LocalStack
from tests.builders.beancount import load
from tests.builders.terminal import PASSWORD, WITHIN_S, Terminal, a_terminal, register, sign_in

pytestmark = pytest.mark.stack

NEW = "another battery, correct"


@pytest.fixture(scope="module")
def lived(stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> Terminal:
    """A terminal where somebody is signed in who has recorded something of each kind."""
    terminal = sign_in(a_terminal(stack, tmp_path_factory.mktemp("config")))
    day = ("--date", "2026-01-02")
    for words in (
        ("account", "open", "Savings", "--opening-balance", "100"),
        ("account", "open", "Dollars", "--currency", "USD"),
        (
            "tx",
            "add",
            "42.30",
            "--split",
            "12.30 Household",
            "--split",
            "Eating out",
            "Big; shop",
            "--tag",
            "trip",
            *day,
        ),
        ("tx", "add", "2846", "Salary", "--income", "--payee", "Rossi | Co", *day),
        ("tx", "transfer", "50", "--to", "Savings", *day),
        ("tx", "transfer", "10", "--to", "Dollars", "--to-amount", "11.20", *day),
        ("tx", "add", "5", "Mistaken", *day),
        ("undo",),
        ("account", "open", "eating OUT 2", "--kind", "expense"),
    ):
        assert terminal.cash(*words).code == ExitCode.OK, words
    for refused in ("tx add 1.234 Food", "tx transfer 5 --to Nowhere"):
        assert terminal.cash(*refused.split()).code == ExitCode.REFUSED
    return terminal


def test_somebody_sees_where_they_are_signed_in_and_changes_the_password(stack: LocalStack, tmp_path: Path) -> None:
    laptop = a_terminal(stack, tmp_path / "laptop")
    username = register(laptop)
    phone, tablet = (a_terminal(stack, tmp_path / name) for name in ("phone", "tablet"))
    for device in (laptop, phone, tablet):
        assert device.cash("login", username, lines=f"{PASSWORD}\n").code == ExitCode.OK
    assert laptop.cash("sessions").out.count("this one") == 1
    (other, *_) = [item for item in phone.cash("sessions", "--json").json["items"] if not item["current"]]
    assert phone.cash("session", "end", other["id"][:8]).code == ExitCode.OK
    assert len(laptop.cash("sessions", "--json").json["items"]) == 2

    wrong = laptop.cash("password", lines=f"not the password\n{NEW}\n")
    changed = laptop.cash("password", lines=f"{PASSWORD}\n{NEW}\n")

    assert (wrong.code, "not your current password" in wrong.err) == (ExitCode.REFUSED, True)
    assert changed.code == ExitCode.OK, changed.err
    assert not {PASSWORD, NEW} & set(re.split("\n", wrong.out + wrong.err + changed.out + changed.err))
    assert len(laptop.cash("sessions", "--json").json["items"]) == 1
    until = time.monotonic() + WITHIN_S
    while phone.cash("whoami").code == ExitCode.OK:
        assert time.monotonic() < until
    assert phone.cash("login", username, lines=f"{PASSWORD}\n").code == ExitCode.NOT_SIGNED_IN
    assert phone.cash("login", username, lines=f"{NEW}\n").code == ExitCode.OK
    assert laptop.cash("session", "end", "--others").out == "Ended 1 other session.\n"
    while "password was changed" not in laptop.cash("mail", "--to", f"{username}@example.org").out:
        assert time.monotonic() < until


def test_the_password_is_asked_again_at_a_terminal(stack: LocalStack, tmp_path: Path) -> None:
    terminal = sign_in(a_terminal(stack, tmp_path / "config"))

    with terminal.screen("password") as screen:
        for question, typed in (
            ("Current password of .*: ", "not the password"),
            ("New password: ", "short"),
            ("8 to 256.*\nNew password: ", NEW),
            ("New password again: ", "something else"),
            ("not equal.*\nNew password: ", NEW),
            ("New password again: ", NEW),
            ("not your current password.*\nCurrent password of .*: ", PASSWORD),
        ):
            screen.wait_for(question)
            screen.type(typed)
        shown = screen.wait_for_end()

    assert "all others have ended" in shown
    assert not [secret for secret in (PASSWORD, NEW, "something else") if secret in shown]


def test_what_was_asked_is_listed_with_what_became_of_it(lived: Terminal) -> None:
    refused = lived.cash("operations", "--state", "refused", "--json").json["items"]
    everything = lived.cash("operations", "--all", "--json").json["items"]

    assert [(item["noun"], item["code"]) for item in refused] == [
        ("transaction", "account_not_found"),
        ("transaction", "amount_too_precise"),
    ]
    assert [item["noun"] for item in everything[2:5]] == ["account", "undo", "transaction"]
    assert [item for item in everything if item["status"] == "refused"] == refused
    pages = [lived.cash("operations", "--limit", "4", "--json").json]
    while pages[-1]["next_cursor"]:
        pages.append(lived.cash("operations", "--limit", "4", "--cursor", pages[-1]["next_cursor"], "--json").json)
    assert [item for page in pages for item in page["items"]] == everything
    shown = lived.cash("operation", "show", refused[0]["id"][:8], "--json").json
    assert shown["request"] == {"amount": "5", "to_account": "Nowhere"}
    assert "EUR has at most 2 decimals" in lived.cash("operation", "show", refused[1]["id"]).out
    assert lived.cash("operations", "--ledger", "personal", "--state", "failed", "--json").json["items"] == []


def test_an_export_has_the_balances_of_the_books(lived: Terminal, tmp_path: Path) -> None:
    file = tmp_path / "books.beancount"
    assert lived.cash("export", str(file)).err == f"5 transactions written to {file}.\n"

    directives, errors = load(file.read_text("utf-8"))
    found, _ = balance_by_account(directives)
    accounts = lived.cash("accounts", "--json").json["items"]

    assert errors == []
    by_name = {account.rpartition(":")[2]: inventory for account, inventory in found.items()}
    held = {
        (account["name"], balance["currency"]): Decimal(balance["amount"])
        for account in accounts
        for balance in account["balances"]
        if Decimal(balance["amount"])
    }
    assert held == {
        (name.replace("-", " "), position.units.currency): position.units.number
        for name, inventory in by_name.items()
        for position in inventory
        if position.units.number
    }
    written = lived.cash("export", "-", "category:Eating out").out.splitlines()
    rows = list(csv.DictReader(written))
    assert [(row["destination"], row["amount"], row["description"]) for row in rows] == [
        ("Household", "12.30", "Big; shop"),
        ("Eating out", "30.00", "Big; shop"),
    ]
    assert len(lived.cash("export", "--format", "json").json["transactions"]) == 5


def test_a_copy_of_ones_data_has_everything_but_secrets(lived: Terminal, tmp_path: Path) -> None:
    file = tmp_path / "mine.zip"
    counts = lived.cash("my-data", str(file), "--json").json

    with zipfile.ZipFile(file) as archive:
        assert archive.testzip() is None
        texts = {name.rpartition("/")[2]: archive.read(name).decode() for name in archive.namelist()}
    who = lived.cash("whoami", "--json").json
    person = json.loads(texts["person.json"])
    assert (person["user"]["username"], person["user"]["email"]) == (who["username"], f"{who['username']}@example.org")
    assert [mail["subject"] for mail in person["mails"]] == ["Your cash-flow code"]
    assert [registration["became_user"] for registration in person["registrations"]] == [True]
    assert len(json.loads(texts["transactions.json"])) == counts["transactions"] == 5
    # What was taken back is no transaction any more, but something that happened.
    assert "Mistaken" in texts["accounts.json"]
    assert '"type": "transaction.reversed"' in texts["changes.json"]
    assert len(json.loads(texts["operations.json"])) == counts["operations"]
    assert not re.search("argon2|refresh_hash|password_hash|eyJ", "".join(texts.values()))
