"""The operator's commands on stacks of their own, as a shell would run them."""

import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from cli.terminal.output import ExitCode
from infra.local.home import Home, locked
from infra.local.orphans import find_orphans
from infra.local.plan import EVERYTHING
from infra.local.postgres import remove_postgres
from infra.local.stack import LocalStack
from tests.builders.terminal import WITHIN_S, Ended, Terminal, a_terminal

pytestmark = pytest.mark.stack

FEW = ("--only", "redis,mailbox")


@pytest.fixture
def home() -> Iterator[Home]:
    """A data folder where nothing ran yet, and nothing runs any more."""
    # Not pytest's own temporary folder: it is closed to the user PostgreSQL runs as when root runs the tests.
    home = Home(Path(tempfile.mkdtemp(prefix="cash-flow-cli-")))
    yield home
    LocalStack(home).stop()
    remove_postgres(home)
    shutil.rmtree(home.root, ignore_errors=True)


@pytest.fixture
def terminal(home: Home, tmp_path: Path) -> Terminal:
    return a_terminal(LocalStack(home), tmp_path / "config")


def wait_for_status(
    terminal: Terminal, code: ExitCode, said: str = "", *, of: "subprocess.Popen[bytes] | None" = None
) -> Ended:
    """Wait until the stack is as wanted; ``of`` is the process that runs it, which must not end meanwhile."""
    until = time.monotonic() + WITHIN_S
    while (ended := terminal.cash("status")).code != code or said not in ended.err:
        assert of is None or of.poll() is None, f"it ended with {of.returncode}"
        assert time.monotonic() < until, ended
    return ended


def test_up_shows_one_log_says_where_everything_is_and_ends_with_ctrl_c(terminal: Terminal, home: Home) -> None:
    with terminal.screen("up", NO_COLOR="1") as screen:
        shown = screen.wait_for(r"Try next: .* demo\n", within_s=60)
        start, _, end = shown.partition(f"All {len(EVERYTHING)} processes are ready")
        api, docs, mailbox = (line.split()[-1] for line in end.splitlines()[1:4])

        assert "making the data folders" in start
        for name in ("postgres", "kafka", "migrate", "bootstrap-kafka", "gateway", "relay"):
            assert f"\n{name:<18} | " in start
        assert [line.split("http")[0].strip() for line in end.splitlines()[1:4]] == ["API", "Its docs", "Mailbox"]
        assert end.splitlines()[4].startswith("Try next:")
        assert httpx.get(docs, trust_env=False).status_code == httpx.codes.OK
        assert httpx.get(f"{mailbox}api/v1/messages", trust_env=False).json()["messages"] == []
        assert httpx.get(f"{api}/accounts", trust_env=False).status_code == httpx.codes.UNAUTHORIZED
        ready = terminal.cash("status")
        assert (ready.code, ready.err) == (ExitCode.OK, "")
        assert all(any(line.split()[:2] == [name, "ready"] for line in ready.out.splitlines()) for name in EVERYTHING)

        screen.interrupt()
        shown = screen.wait_for_end()

    assert screen.process.returncode == ExitCode.OK
    assert "Stopping; Ctrl-C again kills what is left." in shown
    assert shown.endswith("Everything is stopped; the data stays.\n")
    assert "\x1b" not in shown
    assert find_orphans(home) == []
    assert terminal.cash("status").code == ExitCode.NOT_READY


@pytest.mark.parametrize("reader", [["head", "-n", "1"], ["cat"]], ids=["leaves at once", "leaves at the end"])
def test_up_outlives_the_reader_of_its_log_and_stops_everything(
    terminal: Terminal, home: Home, reader: list[str]
) -> None:
    up = terminal.start("up", *FEW, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    reading = subprocess.Popen(reader, stdin=up.stdout, stdout=subprocess.DEVNULL)
    assert up.stdout is not None
    up.stdout.close()
    try:
        wait_for_status(terminal, ExitCode.OK, of=up)
        time.sleep(1)  # until it has said, to nobody, where everything is
        assert up.poll() is None
        reading.kill()
        reading.wait()
        up.send_signal(signal.SIGINT)

        assert up.wait(WITHIN_S) == ExitCode.OK
        assert find_orphans(home) == []
    finally:
        up.kill()
        up.wait()
        reading.kill()
        reading.wait()


def test_a_stack_in_the_background_is_looked_at_and_taken_down(terminal: Terminal, home: Home) -> None:
    started = terminal.cash("up", "-d", *FEW, CASH_LIMITS_PER_NETWORK="7")
    assert started.code == ExitCode.OK, started.err
    assert "All 2 processes are ready" in started.out
    assert psutil.Process(LocalStack(home).pid("mailbox")).environ()["CASH_LIMITS_PER_NETWORK"] == "7"
    assert "Mailbox" in started.out
    assert {one["state"] for one in terminal.cash("status", "--json").json["processes"]} == {"ready"}

    logged = terminal.cash("logs", "redis")
    assert "Ready to accept connections" in logged.out
    assert {line.split(" | ")[0] for line in logged.out.splitlines()} == {"redis"}
    assert terminal.cash("logs", "-n", "0").out == ""
    assert terminal.cash("logs", "kafka").code == ExitCode.NOT_READY
    assert terminal.cash("logs", "kafak").code == ExitCode.NOT_FOUND

    stack = LocalStack(home)
    stack.hold("mailbox")
    ended = terminal.cash("status")
    assert ended.code == ExitCode.NOT_READY
    assert "not ready: mailbox; see `cash logs mailbox`" in ended.err
    stack.release("mailbox")
    assert terminal.cash("status").code == ExitCode.OK

    assert terminal.cash("down").out.startswith("Everything is stopped")
    assert terminal.cash("down").out == "Nothing was running.\n"
    assert find_orphans(home) == []
    ended = terminal.cash("status")
    assert ended.code == ExitCode.NOT_READY
    assert "not running; start it with `cash up`" in ended.err

    home.secrets.chmod(0o644)
    found = terminal.cash("doctor")
    assert found.code == ExitCode.FAILED
    assert any(
        line.startswith("wrong") and "mode 0644" in line and f"chmod 600 {home.secrets}" in line
        for line in found.out.splitlines()
    )
    home.secrets.chmod(0o600)
    assert terminal.cash("doctor").code == ExitCode.OK

    assert terminal.cash("reset").code == ExitCode.USAGE
    assert terminal.cash("reset", "--yes").code == ExitCode.OK
    assert not home.root.exists()


def test_following_shows_what_is_logged_from_now_on_by_newcomers_too(terminal: Terminal, home: Home) -> None:
    home.create()
    home.log("redis").write_text("earlier\n")
    with terminal.screen("logs", "-f", NO_COLOR="1") as screen:
        screen.wait_for(r"redis .*\| earlier\n")
        home.log("kafka").write_text("later\n")
        screen.wait_for(r"kafka .*\| later\n")
        screen.interrupt()
        screen.wait_for_end()

    assert screen.process.returncode == ExitCode.OK


def test_up_says_which_process_cannot_start_and_why(terminal: Terminal, home: Home) -> None:
    started = terminal.cash("up", "-d", *FEW, CASH_REDIS_SERVER=str(shutil.which("false")))

    assert started.code == ExitCode.NOT_READY
    assert "redis keeps dying, the last time it ended with exit code 1" in started.err
    assert "`cash down` stops them" in started.err
    ended = terminal.cash("status")
    assert ended.code == ExitCode.NOT_READY
    assert "redis: ended with exit code 1" in ended.out
    assert "see `cash logs redis`" in ended.err
    assert terminal.cash("down").code == ExitCode.OK
    assert find_orphans(home) == []


def test_a_stack_that_is_being_prepared_is_not_ready(terminal: Terminal, tmp_path: Path) -> None:
    with locked(tmp_path / "fetching.lock"), terminal.screen("up", CASH_CACHE=str(tmp_path)) as screen:
        ended = wait_for_status(terminal, ExitCode.NOT_READY, "being prepared")
        screen.interrupt()
        shown = screen.wait_for_end()

    assert ended.out == ""
    assert screen.process.returncode == ExitCode.INTERRUPTED
    assert "interrupted" in shown
    assert "not running" in terminal.cash("status").err
