"""The command line without a server: what is typed wrongly, and what every command promises."""

import contextlib
import io
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cli.commands import app
from cli.connection import client as client_module
from cli.connection.credentials import Credentials, Session, credentials_file
from cli.connection.servers import Server
from cli.main import main
from cli.terminal.output import MEANINGS, ExitCode


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
    for name in ("CASH_URL", "CASH_MAILBOX_URL", "CASH_DEBUG", "HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy"):
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


def a_session() -> Session:
    return Session.model_validate(
        {
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
    )


def sign_in(url: str) -> None:
    with credentials_file().changing(Credentials) as credentials:
        credentials.at(url).session = a_session()


def leaves(group: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for name, command in group.commands.items():
        found += leaves(command, (*path, name)) if hasattr(command, "commands") else [(*path, name)]
    return found


COMMANDS = leaves(app)


@pytest.mark.parametrize("command", [(), *COMMANDS], ids=" ".join)
def test_every_help_lists_the_exit_codes(cash: Cash, command: tuple[str, ...]) -> None:
    ended = cash(*command, "--help")

    assert ended.code == ExitCode.OK
    told = " ".join(ended.out.split())
    assert all(f"{int(code)} {meaning}" in told for code, meaning in MEANINGS.items())


#: What shows nothing that a program would read.
WITHOUT_JSON = frozenset(
    {
        *(("up",), ("logs",), ("down",), ("reset",), ("test",), ("openapi",), ("build",)),
        ("export",),
        ("psql",),
        *(("config", "set"), ("config", "use"), ("completion",)),
    }
)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help_and_speaks_json(cash: Cash, command: tuple[str, ...]) -> None:
    ended = cash(*command, "--help")

    assert ended.code == ExitCode.OK
    assert "--json" in ended.out or command in WITHOUT_JSON


#: What is about a person, a system, or all ledgers.
WITHOUT_A_LEDGER = frozenset(
    {
        *(("register",), ("verify",), ("login",), ("logout",), ("whoami",), ("demo",), ("mail",)),
        *(("up",), ("status",), ("logs",), ("down",), ("reset",), ("doctor",)),
        *(("ledger", name) for name in ("list", "create", "accept", "decline", "rebuild")),
        *(("test",), ("sim",), ("completion",), ("openapi",), ("build",)),
        *(("sessions",), ("session", "end"), ("password",), ("operation", "show"), ("my-data",)),
        *(("jobs",), ("job", "run"), ("job", "show"), ("queues",), ("psql",)),
        *(("dead-letters", name) for name in ("list", "show", "replay")),
        *(("config", name) for name in ("show", "use")),
        *(("backup", name) for name in ("create", "verify", "restore", "list")),
    }
)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_on_a_ledger_can_be_told_which(command: tuple[str, ...]) -> None:
    found: Any = app
    for name in command:
        found = found.commands[name]

    assert ("ledger" in {parameter.name for parameter in found.params}) is (command not in WITHOUT_A_LEDGER)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_command_takes_a_secret_as_an_argument(command: tuple[str, ...]) -> None:
    found: Any = app
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
        ("tx", "edit", "3f2a91bc", "--note", "x"),
        ("undo",),
        ("changes",),
        ("account", "open", "Bank"),
        ("balance",),
        ("net-worth",),
        ("totals",),
        ("reconcile", "Bank", "-5"),
        ("rates", "list"),
        ("ledger", "list"),
        ("ledger", "accept", "Home"),
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
        (("tx", "add", "1,234", "Food"), ExitCode.USAGE, "can be read in two ways; type 1234 or 1.234"),
        (("tx", "add", "5", "EUR", "Food"), ExitCode.USAGE, 'cash tx add "5 EUR" CATEGORY'),
        (("tx", "add", "5", "Food", "--date", "31.12.2025"), ExitCode.USAGE, "is not a day"),
        (("tx", "add", "5"), ExitCode.USAGE, "Missing argument 'CATEGORY'"),
        (("tx", "add", "5", "Food", "--incme"), ExitCode.USAGE, "No such option"),
        (("tx", "list", "--limit", "0"), ExitCode.USAGE, "--limit"),
        (("tx", "show", "nonsense"), ExitCode.USAGE, "is not the id of a transaction"),
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
    assert f"sign in with `cash login --url {nowhere}`" in ended.err


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

    monkeypatch.setattr("cli.people.sessions.ask", interrupt)
    monkeypatch.setenv("CASH_URL", "http://127.0.0.1:9")

    assert cash("login").code == ExitCode.INTERRUPTED


def test_a_defect_is_one_sentence(cash: Cash, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_down(*_: object) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr("cli.people.sessions.connect", break_down)

    ended = cash("whoami")
    assert ended.code == ExitCode.DEFECT
    assert ended.err.count("\n") == 1
    assert "Traceback" not in ended.err


def alone(shell: str, words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run ``cash`` as a process of its own, in a line of shell where it stands for ``$CASH``."""
    return subprocess.run(
        ["sh", "-c", shell.replace("$CASH", f"'{sys.executable}' -m cli.main {words}")],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    "url",
    [
        "http://[::1",
        "http://a..b",
        f"http://{'a' * 64}.org",
        "http://a\x01b",
        "http://a b",
        "http://a:0",
        "http://a:99999",
        "http://a?b",
        "http://\udce9",
        "http://",
    ],
    ids=ascii,
)
@pytest.mark.parametrize("name", ["CASH_URL", "CASH_MAILBOX_URL"])
def test_what_cannot_be_an_address_is_refused(cash: Cash, monkeypatch: pytest.MonkeyPatch, url: str, name: str) -> None:
    monkeypatch.setattr(os, "environ", os.environ | {name: url})  # the real one takes no surrogates

    ended = cash("whoami" if name == "CASH_URL" else "mail")

    assert ended.code == ExitCode.USAGE
    assert "is not an address of an API" in ended.err


@pytest.mark.parametrize("url", ["https://cash.example.org", "http://[::1]:8470/", "http://127.0.0.1:8470/cash"])
def test_what_can_be_an_address_is_taken(cash: Cash, url: str) -> None:
    assert cash("whoami", "--url", url).code == ExitCode.NOT_SIGNED_IN


def test_words_that_are_no_text_are_explained(cash: Cash) -> None:
    ended = cash("tx", "add", "5", b"caf\xe9".decode(errors="surrogateescape"))

    assert ended.code == ExitCode.USAGE
    assert ended.err == "error: 'caf\\udce9' is not readable in this terminal's encoding; type it again\n"


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
@pytest.mark.parametrize("line", [r"caf\351\n\n", r"ann\ncaf\351\n"], ids=["username", "password"])
def test_bytes_that_are_no_text_are_explained(nowhere: str, locale: str, line: str) -> None:
    ended = alone(f"printf '{line}' | $CASH", f"login --url {nowhere}", LC_ALL=locale)

    assert ended.returncode == ExitCode.USAGE
    assert "what was typed is not readable" in ended.stderr


def test_closed_streams_are_empty_ones(nowhere: str) -> None:
    silent = alone("$CASH <&-", f"login --url {nowhere}")
    unseen = alone("$CASH >&- 2>&-", "tx --help")
    unheard = alone("$CASH 2>&-", f"login --url {nowhere}")

    assert silent.returncode == unheard.returncode == ExitCode.USAGE
    assert silent.stderr.startswith("error: Username is missing")
    assert unseen.returncode == ExitCode.OK


@contextlib.contextmanager
def a_proxy() -> Iterator[tuple[str, list[bytes]]]:
    """Give the address of a proxy, and what it was sent."""
    seen: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def listen() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        seen.append(connection.recv(65536))

        thread = threading.Thread(target=listen)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", seen
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.mark.parametrize("words", [("login", "ann"), ("mail",)], ids=" ".join)
def test_no_proxy_hears_what_is_for_this_machine(
    cash: Cash, nowhere: str, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    with a_proxy() as (proxy, seen):
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy)
        monkeypatch.setenv("CASH_URL", nowhere)
        monkeypatch.setenv("CASH_MAILBOX_URL", nowhere)
        ended = cash(*words, lines="secret\n")

    assert ended.code == ExitCode.UNREACHABLE
    assert seen == []


def test_a_server_elsewhere_is_asked_through_the_proxy(cash: Cash, monkeypatch: pytest.MonkeyPatch) -> None:
    with a_proxy() as (proxy, seen):
        monkeypatch.setenv("HTTP_PROXY", proxy)
        cash("login", "ann", "--url", "http://cash.example.org", lines="secret\n")

    assert seen


@pytest.mark.parametrize(
    ("url", "proxied"),
    [
        ("http://127.0.0.1:8470", False),
        ("http://127.1.2.3", False),
        ("http://[::1]:1", False),
        ("http://localhost", False),
        ("http://LOCALHOST:80", False),
        ("http://cash.localhost", False),
        ("https://cash.example.org", True),
        ("http://192.168.1.2", True),
        ("http://localhost.example.org", True),
    ],
)
def test_this_machine_is_told_from_others(url: str, proxied: bool) -> None:
    assert Server(url).proxied is proxied


def default_server() -> str | None:
    return credentials_file().read(Credentials).server


def test_signing_in_by_url_and_nothing_else_chooses_the_server_of_later_commands(
    cash: Cash, nowhere: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.people.sessions.sign_in", lambda *_: a_session())
    monkeypatch.setattr("cli.people.registrations.request_registration", lambda *_: "r")

    registered = cash("register", "ann@example.org", "--time-zone", "UTC", "--url", nowhere)
    assert registered.code == ExitCode.OK
    assert f"Next: cash verify --url {nowhere}" in registered.out
    assert default_server() is None

    monkeypatch.setenv("CASH_URL", nowhere)
    assert cash("register", "ann@example.org", "--time-zone", "UTC").out.endswith("Next: cash verify\n")
    assert cash("login", "ann", lines="secret\n").code == ExitCode.OK
    assert default_server() is None
    monkeypatch.delenv("CASH_URL")

    assert cash("login", "ann", "--url", nowhere, lines="secret\n").code == ExitCode.OK
    assert default_server() == nowhere
    assert nowhere in cash("accounts").err


def test_signing_out_forgets_the_chosen_server_even_where_nobody_is_signed_in(cash: Cash, nowhere: str) -> None:
    with credentials_file().changing(Credentials) as credentials:
        credentials.server = nowhere

    ended = cash("logout")

    assert ended.code == ExitCode.NOT_SIGNED_IN
    assert default_server() is None


def test_a_machine_that_does_not_know_its_time_zone_has_utc(
    cash: Cash, nowhere: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def request(_: object, email: str, currency: str, time_zone: str) -> str:
        asked.append(time_zone)
        return "r"

    monkeypatch.setattr("cli.people.registrations.request_registration", request)
    monkeypatch.setattr("tzlocal.get_localzone_name", lambda: None)

    assert cash("register", "ann@example.org", "--currency", "EUR", "--url", nowhere).code == ExitCode.OK
    assert asked == ["UTC"]


@pytest.mark.parametrize("words", [("logs",), ("logs", "-f"), ("logs", "gateway"), ("logs", "gateway", "-f")])
def test_before_anything_is_logged_the_logs_say_so(cash: Cash, words: tuple[str, ...]) -> None:
    ended = cash(*words)

    assert ended.code == ExitCode.NOT_READY
    assert "logged" in ended.err
    assert "cash up" in ended.err


def test_the_log_of_something_else_is_not_found(cash: Cash) -> None:
    ended = cash("logs", "gatway")

    assert ended.code == ExitCode.NOT_FOUND
    assert "there is no process 'gatway'; there are: postgres" in ended.err


@pytest.mark.parametrize(
    ("lines", "code", "said"),
    [
        ("", ExitCode.USAGE, "say --yes"),
        ("\n", ExitCode.USAGE, "say --yes"),
        ("n\n", ExitCode.FAILED, "nothing was deleted"),
    ],
)
def test_nothing_is_deleted_without_a_yes(cash: Cash, tmp_path: Path, lines: str, code: ExitCode, said: str) -> None:
    (tmp_path / "home").mkdir()
    for name in (".cash-flow", "secrets.env"):
        (tmp_path / "home" / name).touch()

    ended = cash("reset", lines=lines)

    assert ended.code == code
    assert said in ended.err
    assert ended.out == ""
    assert (tmp_path / "home" / "secrets.env").exists()


def test_without_the_servers_packages_people_have_all_commands_and_operators_a_sentence(tmp_path: Path) -> None:
    def cash(*words: str) -> subprocess.CompletedProcess[str]:
        program = "import sys; sys.modules['psutil'] = None; from cli.main import main; main()"
        environment = os.environ | {"CASH_HOME": str(tmp_path), "CASH_CONFIG_HOME": str(tmp_path)}
        command = [sys.executable, "-c", program, *words]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)

    assert cash("--help").returncode == ExitCode.OK
    assert cash("up", "--help").returncode == ExitCode.OK
    assert cash("whoami").returncode == ExitCode.NOT_READY
    for command in ("up", "status", "logs", "down", "reset", "doctor"):
        ended = cash(command)
        assert ended.returncode == ExitCode.FAILED
        assert ended.stderr.startswith("error: ")
        assert "pip install 'cash-flow[local]'" in ended.stderr
