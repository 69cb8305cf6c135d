"""The command line without a server: what is typed wrongly, and what every command promises."""

import io
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from typer.main import get_command

from cli import client as client_module
from cli.commands import app
from cli.credentials import Credentials, credentials_file
from cli.main import main
from cli.output import MEANINGS, ExitCode


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


Cash = Callable[..., Ended]


@pytest.fixture
def cash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cash:
    """Run ``cash`` as the shell would, with lines of standard input and nobody at a terminal."""
    monkeypatch.setenv("CASH_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("CASH_HOME", str(tmp_path / "home"))
    for name in ("CASH_URL", "CASH_MAILBOX_URL", "CASH_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(client_module, "_PAUSES_S", ())

    def run(*words: str, lines: str = "") -> Ended:
        monkeypatch.setattr(sys, "argv", ["cash", *words])
        monkeypatch.setattr(sys, "stdin", io.StringIO(lines))
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return Ended(int(ended.value.code or 0), out, err)

    return run


@pytest.fixture
def nowhere() -> str:
    """The address of a server that does not listen."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


def sign_in(url: str) -> None:
    session = {
        "session_id": "s",
        "user_id": "u",
        "username": "ann",
        "ledger_id": "l",
        "base_currency": "EUR",
        "time_zone": "Europe/Berlin",
        "access_token": "a",
        "access_expires_at": "2999-01-01T00:00:00Z",
        "refresh_token": "r",
    }
    with credentials_file().changing(Credentials) as credentials:
        credentials.servers = Credentials.model_validate({"servers": {url: {"session": session}}}).servers


def leaves(group: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for name, command in group.commands.items():
        found += leaves(command, (*path, name)) if hasattr(command, "commands") else [(*path, name)]
    return found


COMMANDS = leaves(get_command(app))


@pytest.mark.parametrize("command", [(), *COMMANDS], ids=" ".join)
def test_every_help_lists_the_exit_codes(cash: Cash, command: tuple[str, ...]) -> None:
    ended = cash(*command, "--help")

    assert ended.code == ExitCode.OK
    told = " ".join(ended.out.split())
    assert all(f"{int(code)} {meaning}" in told for code, meaning in MEANINGS.items())


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help_and_speaks_json(cash: Cash, command: tuple[str, ...]) -> None:
    ended = cash(*command, "--help")

    assert ended.code == ExitCode.OK
    assert "--json" in ended.out or command in {("up",), ("logs",), ("down",), ("reset",)}


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_command_takes_a_secret_as_an_argument(command: tuple[str, ...]) -> None:
    found: Any = get_command(app)
    for name in command:
        found = found.commands[name]

    assert not {parameter.name for parameter in found.params} & {"password", "code", "token", "secret"}


@pytest.mark.parametrize(
    "words",
    [
        ("whoami",),
        ("logout",),
        ("login", "ann"),
        ("register", "ann@example.org"),
        ("verify",),
        ("tx", "add", "1", "Food"),
        ("tx", "list"),
        ("accounts",),
        ("tx", "show", "3f2a91bc"),
        ("mail",),
        ("demo",),
    ],
    ids=" ".join,
)
def test_without_a_local_stack_every_command_says_how_to_start_one(cash: Cash, words: tuple[str, ...]) -> None:
    ended = cash(*words, lines="secret\n")

    assert ended.code == ExitCode.NOT_READY
    assert ended.out == ""
    assert ended.err.startswith("error: there is no local stack yet; start one with `cash up -d`")
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("tx", "add", "-5", "Food"), ExitCode.USAGE, "'-5' is not above zero"),
        (("tx", "add", "24,47", "Food"), ExitCode.USAGE, "if you mean 24.47, type that"),
        (("tx", "add", "5", "Food", "--date", "31.12.2025"), ExitCode.USAGE, "is not a day"),
        (("tx", "add", "5"), ExitCode.USAGE, "Missing argument 'CATEGORY'"),
        (("tx", "add", "5", "Food", "--incme"), ExitCode.USAGE, "No such option"),
        (("tx", "list", "--limit", "0"), ExitCode.USAGE, "--limit"),
        (("tx", "show", "nonsense"), ExitCode.USAGE, "is not the id of a transaction"),
        (("tx",), ExitCode.USAGE, ""),
        (("register", "ann"), ExitCode.USAGE, "is not an e-mail address"),
        (("register", "a@b.c", "--currency", "EURO"), ExitCode.USAGE, "is not a currency"),
        (("register", "a@b.c", "--time-zone", "Mars/Base"), ExitCode.USAGE, "is not a time zone"),
        (("whoami", "--url", "cash.example.org"), ExitCode.USAGE, "is not an address of an API"),
        (("nothing",), ExitCode.USAGE, "No such command 'nothing'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_what_is_typed_wrongly_is_explained_before_anything_is_sent(
    cash: Cash, nowhere: str, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], code: int, said: str
) -> None:
    sign_in(nowhere)
    monkeypatch.setenv("CASH_URL", nowhere)

    ended = cash(*words)

    assert ended.code == code
    assert said in ended.err
    assert "Traceback" not in ended.err


def test_a_server_that_does_not_answer_is_named(cash: Cash, nowhere: str) -> None:
    ended = cash("login", "ann", "--url", nowhere, lines="secret\n")

    assert ended.code == ExitCode.UNREACHABLE
    assert ended.err == f"error: {nowhere} does not answer; check the address and your connection, then try again\n"


def test_nobody_is_signed_in_at_first(cash: Cash, nowhere: str) -> None:
    ended = cash("whoami", "--url", nowhere)

    assert ended.code == ExitCode.NOT_SIGNED_IN
    assert "sign in with `cash login`" in ended.err


def test_signing_out_forgets_the_tokens_even_when_the_server_is_down(cash: Cash, nowhere: str) -> None:
    sign_in(nowhere)

    ended = cash("logout", "--url", nowhere)

    assert ended.code == ExitCode.UNREACHABLE
    assert "signed out here, but the server could not be told" in ended.err
    assert credentials_file().read(Credentials).at(nowhere).session is None


def test_tokens_go_to_the_server_that_gave_them_only(cash: Cash, nowhere: str) -> None:
    sign_in("https://cash.example.org")

    assert cash("whoami", "--url", nowhere).code == ExitCode.NOT_SIGNED_IN


def test_an_outcome_that_stays_unknown_tells_how_to_repeat_it_safely(cash: Cash, nowhere: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        sign_in(url)
        deaf.settimeout(5)

        def cut() -> None:
            connection, _ = deaf.accept()
            connection.recv(65536)
            connection.close()

        thread = threading.Thread(target=cut)
        thread.start()
        ended = cash("tx", "add", "24.47", "Food", "--key", "mine", "--url", url)
        thread.join()

    assert ended.code == ExitCode.UNREACHABLE
    assert "repeat the command with --key mine" in ended.err


@pytest.mark.parametrize(("words", "missing"), [(("login",), "Username"), (("login", "ann"), "Password")])
def test_a_missing_line_of_standard_input_is_named(
    cash: Cash, nowhere: str, words: tuple[str, ...], missing: str
) -> None:
    ended = cash(*words, "--url", nowhere)

    assert ended.code == ExitCode.USAGE
    assert f"{missing} is missing; it is read from standard input" in ended.err


def test_an_interrupted_command_says_so(cash: Cash, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("cli.sessions.ask", interrupt)
    monkeypatch.setenv("CASH_URL", "http://127.0.0.1:9")

    assert cash("login").code == ExitCode.INTERRUPTED


def test_a_defect_is_one_sentence(cash: Cash, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_down(*_: object) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr("cli.sessions.connect", break_down)

    ended = cash("whoami")
    assert ended.code == ExitCode.DEFECT
    assert ended.err.count("\n") == 1
    assert "Traceback" not in ended.err
