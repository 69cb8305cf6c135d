"""``cash test`` at a real terminal, against the running system: somebody walks through it, and stumbles."""

import re
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import pytest

from cli.terminal.output import ExitCode
from infra.local.stack import LocalStack
from tests.builders.terminal import PASSWORD, Terminal, a_terminal, register
from tests.captures.screens import CapturedScreen

pytestmark = pytest.mark.stack

Walk = Callable[..., AbstractContextManager[CapturedScreen]]
CHOICE = r"Enter your choice \[[1-6/]+\]: "
#: Where somebody may be when they leave, and what they typed behind the login to come there.
PLACES = {
    "main menu": (),
    "auth": ("1",),
    "transactions": ("2",),
    "data": ("3",),
    "tasking": ("4",),
    "amount": ("2", "1"),
}


@pytest.fixture(scope="module")
def terminal(stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> Terminal:
    return a_terminal(stack, tmp_path_factory.mktemp("config"))


@pytest.fixture(scope="module")
def username(terminal: Terminal) -> str:
    """Somebody who has a user, and is signed in at this terminal too."""
    username = register(terminal)
    assert terminal.cash("login", lines=f"{username}\n{PASSWORD}\n").code == ExitCode.OK
    return username


@pytest.fixture(scope="module")
def walk(terminal: Terminal) -> Walk:
    @contextmanager
    def started(*words: str, width: int = 80) -> Iterator[CapturedScreen]:
        with CapturedScreen(["cash", "test", *words], width=width, environment=terminal.environment) as screen:
            screen.wait_for(CHOICE)
            yield screen

    return started


def answer(screen: CapturedScreen, *answers: tuple[str, str] | str) -> None:
    """Wait for each question and answer it; for what is said only, wait."""
    for each in answers:
        question, typed = (each, None) if isinstance(each, str) else each
        screen.wait_for(question)
        if typed is not None:
            screen.enter(typed)


def leave(screen: CapturedScreen, key: str, said: str) -> int:
    """Press a key until it is heard: what comes just before Python begins to wait is heard with the next one."""
    for _ in range(5):
        screen.press(key)
        with suppress(AssertionError):
            screen.wait_for(said, within_s=3)
            break
    return screen.wait_for_end()


def log_in(screen: CapturedScreen, username: str) -> None:
    screen.enter("1")
    answer(screen, ("username: ", username), ("password: ", PASSWORD))
    screen.wait_for("Login Successful")
    screen.wait_for(CHOICE)


def test_somebody_registers_by_hand_and_keeps_books(terminal: Terminal, walk: Walk, username: str) -> None:
    new = f"w{uuid4().hex[:10]}"
    email = f"{new}@example.org"
    with walk() as screen:
        screen.enter("2")
        answer(screen, ("email: ", "nobody"), ("(?s)not an e-mail address.*email: ", email), (r"\(y\): ", "y"))
        first = terminal.newest_code(email)
        answer(screen, ("code .*: ", "wrong"), ("(?s)is 6 letters.*: ", "BCDFGH"), ("(?s)tries left.*: ", "r"))
        screen.wait_for("(?s)no longer work.*: ")
        screen.enter(terminal.newest_code(email, not_one_of=frozenset({first})))
        answer(screen, ("(?s)Registration verified.*username: ", username), ("password: ", "short"))
        answer(
            screen,
            ("(?s)8 to 256.*password: ", PASSWORD),
            ("again: ", PASSWORD),
            ("(?s)has this username.*username: ", new),
        )
        screen.wait_for("User created successfully")

        answer(screen, (CHOICE, "1"), ("username: ", new), ("password: ", "not it"))
        answer(screen, ("(?s)wrong.*username: ", new), ("password: ", PASSWORD))
        screen.wait_for("Login Successful")
        answer(screen, (CHOICE, "2"), (CHOICE, "1"), ("amount: ", "-5"), ("(?s)without a sign.*: ", "much"))
        answer(screen, ("(?s)not an amount.*: ", "24,47 €"), ("category: ", "things"), ("description: ", "stuff"))
        answer(screen, (r"date \(.*\): ", "someday"), (r"(?s)not a day.*\(.*\): ", ""))
        screen.wait_for("Transaction created successfully")
        screen.wait_for(CHOICE)
        screen.enter("2")
        screen.wait_for(r"-24\.47 EUR +things +stuff +\S+ +(?P<id>[0-9a-f]{8})")
        (short,) = set(re.findall(r"\b[0-9a-f]{8}\b", screen.text()))
        answer(screen, (CHOICE, "4"), ("ID: ", "nonsense"), "not the id")
        answer(screen, ("ID: ", short), (r"amount \(24\.47\): ", "25"), ("category", ""))
        answer(screen, ("description", ""), ("date", ""), r"24\.47 EUR → 25\.00 EUR")
        answer(screen, "changed successfully", (CHOICE, "5"), r"25\.00 → 24\.47")
        answer(screen, (CHOICE, "3"), ("ID: ", short), r"Amount +-24\.47 EUR", (CHOICE, "6"))
        answer(screen, (CHOICE, "5"), "session is over", (CHOICE, "3"))
        assert screen.wait_for_end() == ExitCode.OK

    assert terminal.cash("whoami", "--json").json["username"] == username


def test_somebody_registers_with_the_code_taken_from_the_mailbox(terminal: Terminal, walk: Walk) -> None:
    """At a terminal of 40 columns, with the longest of categories."""
    new = f"w{uuid4().hex[:10]}"
    email = f"{new}@example.org"
    emoji = "🧁" * 100
    with walk(width=40) as screen:
        screen.enter("2")
        answer(screen, ("email: ", email), (r"\(y\):", "a"), ("(?s)verified.*username: ", new))
        answer(screen, ("password: ", PASSWORD), ("again: ", PASSWORD))
        screen.wait_for("User created successfully")
        answer(screen, (CHOICE, "2"), ("email: ", email), (r"\(y\):", "a"))
        screen.wait_for("has a user")
        screen.wait_for(CHOICE)

        log_in(screen, new)
        screen.enter("2")
        answer(screen, (CHOICE, "1"), ("amount: ", "5"), ("category: ", 2 * emoji))
        answer(screen, ("(?s)at most 100.*category: ", emoji), ("description: ", ""), ("date", ""))
        screen.wait_for(CHOICE)
        assert all(len(line) <= 40 for line in screen.text().splitlines())
        answer(screen, ("", "6"), (CHOICE, "3"), (CHOICE, "3"))
        screen.wait_for("Your journal comes")
        screen.wait_for(CHOICE)
        assert leave(screen, "ctrl-d", "session is over") == ExitCode.OK


@pytest.mark.parametrize("place", ["main menu", "tasking", "amount"])
def test_ctrl_c_leaves_politely_from_wherever_it_is_pressed(walk: Walk, username: str, place: str) -> None:
    with walk() as screen:
        log_in(screen, username)
        for typed in PLACES[place]:
            screen.enter(typed)
            screen.wait_for(f"{CHOICE}|amount: ")
        assert leave(screen, "ctrl-c", f"{username}'s session is over") == ExitCode.INTERRUPTED
    assert screen.text().endswith("Good-bye.")


@pytest.mark.parametrize("key", ["ctrl-c", "ctrl-d"])
def test_before_the_login_leaving_is_as_easy(walk: Walk, key: str) -> None:
    with walk() as screen:
        screen.enter("2")
        screen.wait_for("email: ")
        assert leave(screen, key, "Good-bye") == (ExitCode.INTERRUPTED if key == "ctrl-c" else ExitCode.OK)


@pytest.mark.parametrize("place", PLACES)
def test_the_end_of_the_input_leaves_from_every_place(terminal: Terminal, username: str, place: str) -> None:
    lines = "".join(f"{line}\n" for line in ("1", username, PASSWORD, *PLACES[place]))
    ended = terminal.cash("test", lines=lines)

    assert ended.code == ExitCode.OK
    assert ended.out.endswith(f"Signed out; {username}'s session is over.\nGood-bye.\n")
    assert PASSWORD not in ended.out + ended.err


def test_a_server_that_is_lost_is_told_in_a_line_and_the_menu_comes_back(
    stack: LocalStack, walk: Walk, username: str
) -> None:
    with walk() as screen:
        log_in(screen, username)
        screen.enter("3")
        screen.wait_for(CHOICE)
        with stack.held("gateway"):
            screen.enter("2")
            screen.wait_for("the local stack does not answer")
            screen.wait_for(CHOICE)
        screen.enter("2")
        screen.wait_for("Cash|Nothing was recorded yet")
        screen.wait_for(CHOICE)


def test_what_was_remembered_here_stays_as_it_is(terminal: Terminal, username: str) -> None:
    lines = f"1\n{username}\n{PASSWORD}\n1\n4\n"
    before = terminal.cash("sessions", "--json").json["items"]
    ended = terminal.cash("test", lines=lines)

    assert ended.code == ExitCode.OK
    assert terminal.cash("sessions", "--json").json["items"] == before


def test_whoever_closes_the_terminal_is_signed_out(terminal: Terminal, walk: Walk, username: str) -> None:
    before = terminal.cash("sessions", "--json").json
    with walk() as screen:
        log_in(screen, username)
        screen.process.kill(signal.SIGHUP)
        assert screen.wait_for_end() == 128 + signal.SIGHUP

    assert terminal.cash("sessions", "--json").json == before


def test_every_entry_of_every_menu_does_its_work(stack: LocalStack, tmp_path: Path) -> None:
    terminal = a_terminal(stack, tmp_path / "config")
    username, other = register(terminal), "another battery"
    table, archive = tmp_path / "all.csv", tmp_path / "all.zip"
    answers = [
        *("1", username, PASSWORD),
        *("2", "1", "12.50 EUR", "Food", "bread", "", "6"),
        *("1", "1", "2", "3", "5", "not it at all", other, PASSWORD, other, "6"),
        *("3", "1", "2", "3", "4", str(table), "4", str(table), "n", "5", str(archive), "6"),
        *("4", "1", "2", "3", "tidy", "4", "1", "2", "ledger.bulk/0/999999", "", "4", "5", "", "6"),
        *("5", "1", username, other, "1", "4", "", "6", "5", "3"),
    ]
    ended = terminal.cash("test", lines="".join(f"{each}\n" for each in answers))

    assert ended.code == ExitCode.OK
    for said in (
        *("Transaction created", "Username", "expires_at", "this one", "Password changed successfully"),
        *("Food", "Cash", "Your journal comes to exactly", "all.csv: 1", "exists. Replace it?"),
        *("send_due_mail", "ledger-consumer", "tidy: done", "transaction", "Good-bye."),
    ):
        assert said in ended.out, said
    assert "not your current password" in ended.err
    assert "there is no dead letter ledger.bulk/0/999999" in ended.err
    assert "bread" in table.read_text()
    assert archive.read_bytes().startswith(b"PK")
    assert PASSWORD not in ended.out + ended.err
