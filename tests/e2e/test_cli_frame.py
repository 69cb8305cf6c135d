"""The command line at a real terminal, with the real system behind it."""

import re
import sys
from pathlib import Path

import pytest

from cli.terminal.output import ExitCode
from infra.local.stack import LocalStack
from tests.builders.terminal import Terminal, a_terminal, sign_in
from tests.captures.screens import CapturedScreen

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def ann(stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> Terminal:
    """A terminal where somebody is signed in who has two accounts and a category."""
    terminal = sign_in(a_terminal(stack, tmp_path_factory.mktemp("config")))
    assert terminal.cash("tx", "add", "5", "Groceries").code == ExitCode.OK
    assert terminal.cash("account", "open", "Savings").code == ExitCode.OK
    return terminal


def at_a_screen(terminal: Terminal, *words: str, width: int = 80, **more: str) -> CapturedScreen:
    return CapturedScreen(["cash", *words], width=width, environment={**terminal.environment, **more})


def test_a_transaction_is_recorded_by_answers_and_bad_ones_are_asked_again(ann: Terminal) -> None:
    with at_a_screen(ann, "tx", "add", width=120) as screen:
        for question, answer in (
            ("Amount: ", "1,234"),
            (r"two ways; type 1234 or 1\.234\.\s+Amount: ", "1.234,50 €"),
            ("Category: ", "Grocerys"),
            (r"did you mean Groceries\?\)\. Open it\? \[y/N\]: ", "n"),
            ("Category: ", "Gro\t"),
            ("Description: ", ""),
            (r"Date \[now\]: ", "31.12.2025"),
            (r"is not a day;[^:]*Date \[now\]: ", "yesterday"),
            (r"Account \[Cash\]: ", "Piggy bank"),
            (r"there is no account 'Piggy bank';[^:]*Account \[Cash\]: ", "savings"),
        ):
            screen.wait_for(question)
            screen.enter(answer)
        assert screen.wait_for_end() == ExitCode.OK
        assert re.search(r"Recorded:\s+Date.*Groceries\s+Savings\s+-1234\.50 EUR", screen.text(), re.DOTALL)

    (newest,) = ann.cash("tx", "list", "amount:1234.50", "--json").json["items"]
    assert (newest["amount"], newest["account"]["name"], newest["description"]) == ("1234.50", "Savings", "")


def test_leaving_in_the_middle_of_the_answers_records_nothing(ann: Terminal) -> None:
    before = ann.cash("tx", "list", "--json").json
    with at_a_screen(ann, "tx", "add") as screen:
        screen.wait_for("Amount: ")
        screen.enter("5")
        screen.wait_for("Category: ")
        screen.press("ctrl-c")
        assert screen.wait_for_end() == ExitCode.INTERRUPTED
        assert "interrupted; nothing more was done" in screen.text()

    assert ann.cash("tx", "list", "--json").json == before


def test_away_from_a_terminal_nothing_is_asked(ann: Terminal) -> None:
    ended = ann.cash("tx", "add", lines="5\nFood\n")

    assert ended.code == ExitCode.USAGE
    assert "Missing argument 'AMOUNT'" in ended.err


def test_the_trace_that_is_told_is_the_one_of_the_answer(ann: Terminal) -> None:
    ended = ann.cash("-v", "tx", "add", "5", "Groceries", "--account", "Nowhere")

    assert ended.code == ExitCode.REFUSED
    asked, *_ = ended.err.splitlines()
    assert re.fullmatch(r"POST /api/v1/ledgers/\S+/transactions · 422 · \d+ ms · trace [0-9a-f]{32}", asked)


@pytest.mark.parametrize("width", [40, 80, 140])
def test_every_screen_keeps_within_the_terminal(ann: Terminal, width: int) -> None:
    """What is longer than a line would be broken by the terminal in the middle of a word."""
    for words in (("tx", "list"), ("accounts",), ("changes",), ("balance",), ("tx", "add", "--help")):
        shown = ann.cash(*words, COLUMNS=str(width)).out.partition("\nExamples\n")[0]
        assert max(len(line) for line in shown.splitlines()) <= width, words


def test_a_pipe_that_closes_early_is_no_error(ann: Terminal) -> None:
    cash = f"{sys.executable} -m cli.main"
    words = ["sh", "-c", f"{cash} tx list --all | head -1; {cash} accounts -o csv | head -1"]
    with CapturedScreen(words, width=200, environment=dict(ann.environment)) as screen:
        assert screen.wait_for_end() == 0

    assert [line.split(" ")[0].split(",")[0] for line in screen.text().splitlines()] == ["Date", "id"]


def test_the_file_of_profiles_chooses_server_and_ledger(ann: Terminal, stack: LocalStack, tmp_path: Path) -> None:
    url = ann.cash("whoami", "--json").json["server"]
    assert ann.cash("ledger", "create", "Home", "--currency", "USD").code == ExitCode.OK
    assert ann.cash("config", "set", "home", "--url", url, "--ledger", "Home").code == ExitCode.OK

    recorded = ann.cash("--profile", "home", "tx", "add", "7", "Rent", "--json").json

    assert recorded["currency"] == "USD"
    assert ann.cash("tx", "show", recorded["id"]).code == ExitCode.NOT_FOUND
