"""`cash watch` against the running system: what happens is shown while it happens, through every cut."""

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.terminal.output import ExitCode
from infra.local.stack import LocalStack
from tests.builders.terminal import Terminal, a_terminal, sign_in

pytestmark = pytest.mark.stack


@pytest.fixture
def ann(stack: LocalStack, tmp_path: Path) -> Terminal:
    return sign_in(a_terminal(stack, tmp_path))


def add(terminal: Terminal, amount: str, description: str) -> None:
    ended = terminal.cash("tx", "add", amount, "Groceries", description)
    assert ended.code == ExitCode.OK, ended.err


def wait_for(condition: Callable[[], bool], within_s: float = 30) -> None:
    until = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.05)


def test_it_shows_what_is_recorded_while_it_is_and_ends_quietly(ann: Terminal) -> None:
    with ann.screen("watch") as screen:
        screen.wait_for("Watching Personal; Ctrl-C ends this")
        add(ann, "24.47", "Weekly shop")
        line = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  u[0-9a-f]{12}  recorded expense 24\.47 EUR Weekly shop"
        screen.wait_for(rf"{line}\s+\(Cash → Groceries\)")
        screen.interrupt()
        shown = screen.wait_for_end()

        assert screen.process.returncode == ExitCode.OK
    assert "Traceback" not in shown
    assert "error" not in shown


def test_through_a_killed_gateway_nothing_is_missing_and_nothing_comes_twice(
    stack: LocalStack, ann: Terminal, tmp_path: Path
) -> None:
    add(ann, "1.00", "before")
    lines = tmp_path / "lines"
    with lines.open("wb") as output:
        process = ann.start(
            "watch", "--since", "0", "--json", stdin=subprocess.DEVNULL, stdout=output.fileno(), stderr=subprocess.PIPE
        )
        try:
            wait_for(lambda: b"before" in lines.read_bytes())
            before = stack.pid("gateway")
            stack.kill("gateway")
            stack.wait_for_restart("gateway", before)
            add(ann, "2.00", "after")
            add(ann, "3.00", "at last")
            wait_for(lambda: b"at last" in lines.read_bytes())
        finally:
            process.terminate()
            said = process.communicate()[1].decode()

    entries = [json.loads(line) for line in lines.read_text("utf-8").splitlines()]
    assert [entry["sequence"] for entry in entries] == list(range(1, len(entries) + 1))
    told = [entry["description"] for entry in entries if entry["type"] == "transaction.recorded"]
    assert told == ["before", "after", "at last"]
    assert "Traceback" not in said


def test_a_reader_that_leaves_is_no_error(ann: Terminal) -> None:
    add(ann, "1.00", "one")
    process = ann.start(
        "watch", "--since", "0", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline()
    process.stdout.close()
    add(ann, "2.00", "two")
    add(ann, "3.00", "three")

    assert process.wait(20) == ExitCode.OK
    assert process.stderr is not None
    assert b"error" not in process.stderr.read()
    process.stderr.close()


def test_what_cannot_be_is_said(ann: Terminal) -> None:
    beyond = ann.cash("watch", "--since", "999")
    nowhere = ann.cash("watch", "--url", "http://127.0.0.1:1")

    assert (beyond.code, beyond.out) == (ExitCode.REFUSED, "")
    assert "last event is 0" in beyond.err
    assert nowhere.code == ExitCode.NOT_SIGNED_IN
