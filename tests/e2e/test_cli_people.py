"""The people's commands against the running system, as a shell would run them."""

import json
import re
import time
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

import pytest

from cli.terminal.output import ExitCode
from infra.local.stack import LocalStack
from tests.builders.terminal import PASSWORD, WITHIN_S, Terminal, a_terminal, register, sign_in

pytestmark = pytest.mark.stack


@pytest.fixture
def terminal(stack: LocalStack, tmp_path: Path) -> Terminal:
    return a_terminal(stack, tmp_path / "config")


@pytest.fixture
def signed_in(terminal: Terminal) -> Terminal:
    """A terminal where a fresh user is signed in."""
    return sign_in(terminal)


@pytest.fixture(scope="module")
def empty_handed(stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> Terminal:
    """A terminal where a user is signed in who never gets anything recorded."""
    return sign_in(a_terminal(stack, tmp_path_factory.mktemp("config")))


def test_a_person_registers_signs_in_records_and_reads_it_back(terminal: Terminal) -> None:
    username = register(terminal)
    assert "Signed in" in terminal.cash("login", username, lines=f"{PASSWORD}\n").out

    recorded = terminal.cash("tx", "add", "24.47", "things", "stuff", "--date", "2024-09-19", "--json").json
    listed = terminal.cash("tx", "list", "--json").json
    shown = terminal.cash("tx", "show", recorded["id"][:8], "--json").json
    who = terminal.cash("whoami", "--json").json

    assert listed == {"items": [recorded], "next_cursor": None}
    assert shown == recorded
    assert (recorded["amount"], recorded["currency"], recorded["date"]) == ("24.47", "EUR", "2024-09-19")
    assert (who["username"], who["time_zone"]) == (username, "Europe/Berlin")
    table = terminal.cash("tx", "list").out
    assert re.search(r"2024-09-19\s+things\s+stuff\s+Cash\s+-24\.47 EUR", table)
    assert re.search(r"Cash\s+-24\.47 EUR", terminal.cash("accounts").out)


def test_the_same_key_records_once(signed_in: Terminal) -> None:
    first = signed_in.cash("tx", "add", "5", "Food", "--key", "once", "--json").json
    second = signed_in.cash("tx", "add", "5", "Food", "--key", "once")
    other = signed_in.cash("tx", "add", "6", "Food", "--key", "once")

    assert "recorded before, nothing was added" in second.out
    assert other.code == ExitCode.REFUSED
    assert "amount" in other.err
    assert [item["id"] for item in signed_in.cash("tx", "list", "--json").json["items"]] == [first["id"]]


def test_what_is_only_accepted_can_be_looked_at_later(signed_in: Terminal) -> None:
    accepted = signed_in.cash("tx", "add", "5", "Food", "--no-wait", "--json").json

    until = time.monotonic() + WITHIN_S
    while (ended := signed_in.cash("tx", "show", accepted["transaction_id"])).code == ExitCode.NOT_FOUND:
        assert time.monotonic() < until
    assert ended.code == ExitCode.OK


def test_lists_go_on_where_they_ended(signed_in: Terminal) -> None:
    for number in range(1, 4):
        assert signed_in.cash("tx", "add", str(number), "Food", "--date", f"2026-01-0{number}").code == ExitCode.OK

    page = signed_in.cash("tx", "list", "--limit", "2", "--json").json
    rest = signed_in.cash("tx", "list", "--cursor", page["next_cursor"], "--json").json
    everything = signed_in.cash("tx", "list", "--all", "--limit", "1", "--json").json
    assert [item["amount"] for item in page["items"]] == ["3.00", "2.00"]
    assert [item["amount"] for item in rest["items"]] == ["1.00"]
    assert everything["items"] == page["items"] + rest["items"]
    assert f"--cursor {page['next_cursor']}" in signed_in.cash("tx", "list", "--limit", "2").err


def test_money_is_moved_split_tagged_and_found(signed_in: Terminal) -> None:
    signed_in.cash("account", "open", "Savings")
    moved = signed_in.cash("tx", "transfer", "50", "--to", "savings", "--date", "2026-01-01", "--json").json
    shared = ("--split", "12.30 Household", "--split", "Eating out", "--tag", "trip", "--payee", "Rewe")
    split = signed_in.cash("tx", "add", "42.30", *shared, "Big shop", "--date", "2026-01-02", "--json").json
    refund = signed_in.cash("tx", "add", "2.30", "Household", "--refund", "--note", "one too many", "--json").json

    assert (moved["kind"], moved["to_account"]["name"]) == ("transfer", "Savings")
    parts = [(part["amount"], part["category"]["name"]) for part in split["splits"]]
    assert parts == [("12.30", "Household"), ("30.00", "Eating out")]

    def found(*words: str) -> list[str]:
        listed = signed_in.cash("tx", "list", *words, "--json")
        assert listed.code == ExitCode.OK, listed.err
        return [item["id"] for item in listed.json["items"]]

    assert found("category:Eating out", "amount:>40") == [split["id"]]
    assert found("tag:trip OR kind:transfer", "--sort", "date") == [moved["id"], split["id"]]
    assert found("-tag:trip", "date:2026-01") == [moved["id"]]
    assert found("many", "--filter", "NOT kind:expense") == [refund["id"]]
    assert signed_in.cash("tx", "list", "amount:>x").err.startswith("amount:>x\n")
    assert "→ Savings" in signed_in.cash("tx", "list").out
    totals = signed_in.cash("totals", "--period", "all", "--json").json["items"]
    assert re.search(r"Eating out\s+-30\.00\s+EUR", signed_in.cash("totals", "tag:trip", "--from", "2026-01-01").out)
    assert {line["name"]: line["amount"] for line in totals} == {"Household": "10.00", "Eating out": "30.00"}


def test_what_is_changed_can_be_taken_back_and_brought_back(signed_in: Terminal) -> None:
    recorded = signed_in.cash("tx", "add", "24.47", "Food", "milk", "--json").json
    short = recorded["id"][:8]

    def amount() -> str:
        return str(signed_in.cash("tx", "show", recorded["id"], "--json").json["amount"])

    edited = signed_in.cash("tx", "edit", short, "--amount", "25", "--tag", "trip", "--note", "two")
    assert re.search(r"Amount\s+24\.47 EUR → 25\.00 EUR\s+Tags\s+— → trip\s+Note\s+— → two", edited.out), edited.out
    stale = signed_in.cash("tx", "edit", short, "--amount", "26", "--version", str(recorded["version"]))
    assert stale.code == ExitCode.REFUSED
    assert re.search(r"Amount\s+25\.00 EUR\s+26", stale.out)

    undone = signed_in.cash("undo")
    assert re.search(r"Amount\s+25\.00.*→ 24\.47", undone.out), undone
    assert amount() == "24.47"
    assert "Redone" in signed_in.cash("redo").out
    assert amount() == "25.00"
    signed_in.cash("undo")
    gone = signed_in.cash("undo")
    assert "which is deleted now" in gone.out, gone
    assert signed_in.cash("undo").code == ExitCode.NOT_FOUND
    assert signed_in.cash("tx", "list", "--json").json["items"] == []
    assert signed_in.cash("redo").code == signed_in.cash("redo").code == ExitCode.OK
    assert amount() == "25.00"
    assert signed_in.cash("redo").code == ExitCode.NOT_FOUND
    history = signed_in.cash("tx", "history", recorded["id"])
    assert re.search(r"Amount: 24\.47.* → 25\.00", history.out), history
    assert len(signed_in.cash("tx", "history", short, "--json").json["items"]) == 8
    assert signed_in.cash("tx", "delete", short).out.startswith("Deleted: -25.00 EUR Food (milk)")
    assert "deleted 25.00 EUR milk" in signed_in.cash("changes").out


def test_accounts_are_opened_arranged_and_merged(signed_in: Terminal) -> None:
    opened = ("Visa", "--kind", "liability", "--opening-balance", "-120.50", "--date", "2026-01-01")
    assert signed_in.cash("account", "open", *opened).out == "Opened liability Visa with -120.50 EUR.\n"
    for category in ("Food", "Groceries"):
        signed_in.cash("tx", "add", "10", category, "--account", "visa", "--date", "2026-01-02")

    assert signed_in.cash("account", "merge", "groceries", "food").out == "Merged Groceries into Food.\n"
    assert re.search(r"Food\s+-20\.00 EUR", signed_in.cash("accounts").out)
    assert "Undone" in signed_in.cash("undo").out
    assert re.search(r"Food\s+-10\.00 EUR", signed_in.cash("accounts").out)
    assert signed_in.cash("account", "rename", "Visa", "Card").code == ExitCode.OK
    assert signed_in.cash("account", "arrange", "card", "--group", "Owed", "--position", "1").code == ExitCode.OK
    assert re.search(r"Owed\s+Card\s+-140\.50 EUR", signed_in.cash("accounts").out)
    assert signed_in.cash("account", "close", "card").code == ExitCode.REFUSED
    register = signed_in.cash("account", "register", "Card", "--json").json["items"]
    assert [line["balance"] for line in register] == ["-140.50", "-130.50", "-120.50"]
    assert re.search(r"Card\s+-120\.50 EUR", signed_in.cash("balance", "card", "--on", "2026-01-01").out)
    assert signed_in.cash("balance", "--known-at", "today").code == ExitCode.REFUSED


def test_statements_are_held_against_the_books(signed_in: Terminal) -> None:
    recorded = signed_in.cash("tx", "add", "10", "Food", "--date", "2026-01-02", "--json").json
    differs = signed_in.cash("reconcile", "Cash", "-9.50", "--date", "2026-01-31")
    holds = signed_in.cash("reconcile", "Cash", "-10", "--date", "2026-01-31", "--json").json

    assert "the books have -10.00 EUR in Cash on 2026-01-31, 0.50 EUR less than the statement" in differs.out
    assert recorded["id"][:8] in differs.out
    assert holds["holds"] is True
    assert signed_in.cash("tx", "show", recorded["id"], "--json").json["status"] == "reconciled"
    refused = signed_in.cash("tx", "edit", recorded["id"], "--amount", "11")
    assert (refused.code, refused.err.count("\n")) == (ExitCode.REFUSED, 1)
    signed_in.cash("tx", "add", "1", "Food", "--date", "2026-01-30")
    assert "agreed with its statement of 2026-01-31 and does not any more" in signed_in.cash("accounts").err
    assert "holds no more" in signed_in.cash("assertions", "cash", "--broken").out
    assert signed_in.cash("assertion", "lift", holds["id"][:8]).code == ExitCode.OK
    assert signed_in.cash("tx", "edit", recorded["id"], "--amount", "11").code == ExitCode.OK


def test_net_worth_is_converted_by_the_rates_somebody_entered(signed_in: Terminal, tmp_path: Path) -> None:
    signed_in.cash("account", "open", "Dollars", "--currency", "USD", "--opening-balance", "100")
    signed_in.cash("account", "open", "Yen", "--currency", "JPY", "--opening-balance", "5000")
    exchanged = signed_in.cash("tx", "transfer", "50", "--from", "Dollars", "--to", "Cash", "--rate", "0.9", "--json")
    rates = tmp_path / "rates.csv"
    rates.write_text("date,currency,quote,rate\n2025-01-01,USD,EUR,0.8\n2026-01-01,USD,EUR,0.92\n")

    assert (exchanged.json["kind"], exchanged.json["to_amount"]) == ("exchange", "45.00")
    for _ in range(2):
        assert "Entered 2 rates" in signed_in.cash("rates", "import", str(rates)).out
    assert len(signed_in.cash("rates", "list", "--json").json["items"]) == 2
    worth = signed_in.cash("net-worth")
    assert re.search(r"50\.00 USD\s+1 USD = 0\.92 EUR \(2026-01-01\)\s+46\.00 EUR", worth.out), worth
    assert re.search(r"Total\s+91\.00 EUR", worth.out)
    assert "for want of a rate: 5000 JPY" in worth.err
    assert signed_in.cash("rates", "add", "JPY", "EUR", "0.006", "--date", "2026-01-01").code == ExitCode.OK
    assert re.search(r"Total\s+121\.00 EUR", signed_in.cash("net-worth").out)


def test_a_household_shares_a_ledger(signed_in: Terminal, stack: LocalStack, tmp_path: Path) -> None:
    ben = a_terminal(stack, tmp_path / "ben")
    username = register(ben)
    ben.cash("login", username, lines=f"{PASSWORD}\n")
    home = {"CASH_LEDGER": "our home"}

    assert signed_in.cash("ledger", "create", "Our home").code == ExitCode.OK
    known = signed_in.cash("ledger", "invite", f"{username}@example.org", "--role", "viewer", **home)
    unknown = signed_in.cash("ledger", "invite", f"x{username}@example.org", "--role", "viewer", **home)
    assert known.code == unknown.code == ExitCode.OK
    assert re.sub(r"[0-9a-f]{8}\b|until .*? UTC", "", known.out) == re.sub(
        r"[0-9a-f]{8}\b|until .*? UTC", "", unknown.out
    )
    assert ben.cash("tx", "list", **home).code == ExitCode.NOT_FOUND
    assert "Our home" in ben.cash("ledger", "invitations").out
    assert "You are viewer of Our home now" in ben.cash("ledger", "accept", "our home").out

    signed_in.cash("tx", "add", "10", "Food", "--ledger", "Our home")
    assert len(ben.cash("tx", "list", "--json", **home).json["items"]) == 1
    assert ben.cash("tx", "add", "5", "Food", **home).code == ExitCode.REFUSED
    assert signed_in.cash("ledger", "role", username, "editor", **home).code == ExitCode.OK
    assert ben.cash("tx", "add", "5", "Food", **home).code == ExitCode.OK
    assert ben.cash("undo", **home).code == ExitCode.OK
    assert username in signed_in.cash("changes", **home).out
    assert signed_in.cash("tx", "list", "--json").json["items"] == []
    assert signed_in.cash("ledger", "leave", "--yes", **home).code == ExitCode.REFUSED
    assert signed_in.cash("ledger", "hand-over", username, "--yes", **home).code == ExitCode.OK
    assert ben.cash("ledger", "members", "--json", **home).json["items"][0]["role"] == "editor"
    assert signed_in.cash("ledger", "leave", "--yes", **home).code == ExitCode.OK
    assert signed_in.cash("tx", "list", **home).code == ExitCode.NOT_FOUND


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("tx", "add", "24.475", "Food"), ExitCode.REFUSED, "EUR has at most 2 decimals"),
        (("tx", "add", "5", "Food", "--account", "Bank"), ExitCode.REFUSED, "no such account"),
        (("tx", "add", "5", "Food", "--currency", "ZZZ"), ExitCode.REFUSED, "currency"),
        (("tx", "add", "5", " "), ExitCode.REFUSED, "category"),
        (("tx", "add", "5", "x" * 10_000), ExitCode.REFUSED, "category"),
        (("tx", "add", "5", "a\x1b[31mred"), ExitCode.REFUSED, "category"),
        (("tx", "add", "9" * 400, "Food"), ExitCode.REFUSED, "amount"),
        (("tx", "add", "5", "Food", "--date", "1200-01-01"), ExitCode.REFUSED, "1900"),
        (("tx", "add", "5", "Food", "--key", "\t"), ExitCode.USAGE, "a --key is"),
        (("tx", "list", "--cursor", "nonsense"), ExitCode.REFUSED, "cursor"),
        (("tx", "show", str(uuid4())), ExitCode.NOT_FOUND, "no such transaction"),
        (("tx", "show", "0123abcd"), ExitCode.NOT_FOUND, "none of your newest"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, tuple) else "",
)
def test_what_the_system_refuses_is_one_sentence(
    empty_handed: Terminal, words: tuple[str, ...], code: int, said: str
) -> None:
    ended = empty_handed.cash(*words)

    assert ended.code == code, ended.err
    assert ended.out == ""
    assert ended.err.startswith("error: ")
    assert ended.err.count("\n") == 1
    assert said in ended.err
    assert empty_handed.cash("tx", "list", "--json").json["items"] == []


def test_an_expired_token_is_renewed_without_a_word(signed_in: Terminal) -> None:
    file = Path(signed_in.environment["CASH_CONFIG_HOME"]) / "credentials.json"
    before = file.read_text()
    file.write_text(re.sub(r'"access_expires_at": "[^"]+"', '"access_expires_at": "2020-01-01T00:00:00Z"', before))

    ended = signed_in.cash("whoami")
    assert (ended.code, ended.err) == (ExitCode.OK, "")
    renewed = json.loads(file.read_text())
    assert renewed != json.loads(before)
    assert file.stat().st_mode & 0o777 == 0o600


def test_after_signing_out_the_session_is_over_on_the_server_too(signed_in: Terminal, tmp_path: Path) -> None:
    config = Path(signed_in.environment["CASH_CONFIG_HOME"])
    stolen = tmp_path / "stolen"
    stolen.mkdir()
    (stolen / "credentials.json").write_bytes((config / "credentials.json").read_bytes())
    (stolen / "credentials.json").chmod(0o600)

    assert signed_in.cash("logout").code == ExitCode.OK
    assert signed_in.cash("whoami").code == ExitCode.NOT_SIGNED_IN
    until = time.monotonic() + 5.5
    while (ended := signed_in.cash("whoami", CASH_CONFIG_HOME=str(stolen))).code == ExitCode.OK:
        assert time.monotonic() < until
    assert ended.code == ExitCode.NOT_SIGNED_IN
    assert "sign in again" in ended.err


def test_a_wrong_password_says_no_more_than_that(terminal: Terminal) -> None:
    username = register(terminal)
    wrong = terminal.cash("login", lines=f"{username}\nnot the password\n")
    nobody = terminal.cash("login", lines="nobody-of-this-name\nnot the password\n")

    assert wrong.code == nobody.code == ExitCode.NOT_SIGNED_IN
    assert wrong.err == nobody.err


def test_a_new_code_makes_the_earlier_one_worthless(terminal: Terminal) -> None:
    username = f"u{uuid4().hex[:12]}"
    email = f"{username}@example.org"
    terminal.cash("register", lines=f"{email}\nJPY\nAsia/Tokyo\n")
    first = terminal.newest_code(email)
    assert terminal.cash("verify", "--resend").code == ExitCode.OK
    second = terminal.newest_code(email, not_one_of=frozenset({first}))

    early = terminal.cash("verify", lines=f"{first}\n{username}\n{PASSWORD}\n")
    weak = terminal.cash("verify", lines=f"{second}\n{username}\npassword\n")
    # The same lines once more, corrected: the code is proven already and is no name.
    done = terminal.cash("verify", lines=f"{second}\n{username}\n{PASSWORD}\n")
    assert (early.code, early.err.count("\n")) == (ExitCode.REFUSED, 1)
    assert weak.code == ExitCode.REFUSED
    assert "password" in weak.err
    assert done.code == ExitCode.OK, done.err
    assert terminal.cash("verify").code == ExitCode.FAILED


def test_a_code_whose_answer_was_lost_is_asked_for_again(terminal: Terminal) -> None:
    username = f"u{uuid4().hex[:12]}"
    email = f"{username}@example.org"
    terminal.cash("register", email, lines="EUR\n\n")
    code = terminal.newest_code(email)
    terminal.cash("verify", lines=f"{code}\n{username}\n")
    file = Path(terminal.environment["CASH_CONFIG_HOME"]) / "credentials.json"
    assert code in file.read_text()
    file.write_text(file.read_text().replace(f'"{code}"', "null"))

    wrong = terminal.cash("verify", lines=f"{code[1:]}{code[0]}\n{username}\n{PASSWORD}\n")
    right = terminal.cash("verify", lines=f"{code}\n{username}\n{PASSWORD}\n")
    assert wrong.code == ExitCode.REFUSED
    assert "not the code of the newest mail; tries left: 4" in wrong.err
    assert right.code == ExitCode.OK, right.err


def test_a_registration_that_is_wrong_is_refused_at_once(terminal: Terminal) -> None:
    assert terminal.cash("register", "ann@nowhere", lines="\n\n").code == ExitCode.REFUSED
    assert terminal.cash("register", lines="").code == ExitCode.USAGE


def test_secrets_typed_at_a_terminal_are_not_shown(terminal: Terminal) -> None:
    username = f"u{uuid4().hex[:12]}"
    email = f"{username}@example.org"
    type_in(terminal, "register", [("E-mail: ", email), ("Base currency", ""), (r"Time zone \[Europe/Berlin\]: ", "")])
    seen = type_in(
        terminal,
        "verify",
        [
            ("Code from the mail", "AAAAAA"),
            (r"tries left: 4\.\s+Code from the mail", terminal.newest_code(email)),
            ("Username: ", username),
            ("Password: ", PASSWORD),
            ("Password again: ", "another one"),
            (r"were not equal; type it again\.\s+Password: ", PASSWORD),
            ("Password again: ", PASSWORD),
        ],
    )

    assert "is yours. Next: cash login" in seen
    assert PASSWORD not in seen


def type_in(terminal: Terminal, command: str, answers: Sequence[tuple[str, str]]) -> str:
    """Run a command at a terminal, type each answer when its question (a pattern) is asked; return what was shown."""
    with terminal.screen(command) as screen:
        for question, answer in answers:
            screen.wait_for(question)
            screen.type(answer)
        shown = screen.wait_for_end()
        assert screen.process.returncode == ExitCode.OK, shown
    return shown
