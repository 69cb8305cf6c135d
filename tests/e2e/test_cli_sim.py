"""``cash sim`` against the running system: what was accepted is there, once, whatever happens meanwhile."""

import json
import os
import pty
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from cli.terminal.output import ExitCode
from infra.local.stack import LocalStack
from tests.builders.terminal import Screen, Terminal, a_terminal

pytestmark = pytest.mark.stack

FIFTEEN = ("-u", "15", "-t", "5", "-x", "20")
RUN_WITHIN_S = 240.0


@pytest.fixture
def terminal(stack: LocalStack, tmp_path: Path) -> Terminal:
    return a_terminal(stack, tmp_path / "config")


@contextmanager
def a_run(terminal: Terminal, told: Path, *words: str) -> Iterator[Screen]:
    """Simulate at a terminal that shows the bars, with what is told to programs in a file."""
    ours, theirs = pty.openpty()
    with told.open("w") as out:
        process = terminal.start("sim", *words, "--json", stdin=theirs, stdout=out.fileno(), stderr=theirs)
    os.close(theirs)
    try:
        yield Screen(process, ours)
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def test_a_seed_twice_is_accounted_for_twice_and_recorded_once(terminal: Terminal) -> None:
    words = ("sim", "-u", "3", "-t", "2", "-x", "5", "--json", "--seed", f"20261128-{uuid4().hex[:8]}")
    first = terminal.cash(*words)
    second = terminal.cash(*words)

    assert (first.code, second.code) == (ExitCode.OK, ExitCode.OK), first.err + second.err
    for run in (first, second):
        assert run.json["verdict"]["all_accounted_for"] is True
        assert run.json["verdict"]["transactions"] == 15
    steps = first.json["steps"], second.json["steps"]
    assert [step["registered"]["new"] for step in steps] == [3, 0]
    assert [step["recorded"]["new"] for step in steps] == [15, 0]
    assert [step["recorded"]["already_there"] for step in steps] == [0, 15]


def test_ctrl_c_ends_with_what_was_accepted_until_then(terminal: Terminal, tmp_path: Path) -> None:
    told = tmp_path / "told.json"
    with a_run(terminal, told, "-u", "2", "-t", "2", "-x", "5000") as screen:
        screen.wait_for(r"[1-9]\d*/10000")
        screen.interrupt()
        shown = screen.wait_for_end()

        assert screen.process.returncode == ExitCode.INTERRUPTED
    assert "interrupted; the summary is of what was done until then" in shown
    run = json.loads(told.read_text())
    recorded = run["steps"]["recorded"]
    assert 0 < recorded["new"] < 10_000
    assert recorded["new"] + recorded["not_sent"] == 10_000
    assert run["verdict"]["transactions"] == recorded["new"]
    assert run["verdict"]["all_accounted_for"] is True


@pytest.mark.chaos
@pytest.mark.timeout(300)
def test_fifteen_people_and_three_hundred_transactions(terminal: Terminal) -> None:
    ended = terminal.cash("sim", *FIFTEEN, "--json")

    assert ended.code == ExitCode.OK, ended.err
    assert ended.json["steps"]["registered"]["new"] == 15
    assert ended.json["verdict"] | {"people": 15, "transactions": 300} == ended.json["verdict"]
    assert ended.json["verdict"]["all_accounted_for"] is True


@pytest.mark.chaos
@pytest.mark.timeout(300)
def test_the_same_while_the_broker_and_a_consumer_are_killed(
    terminal: Terminal, stack: LocalStack, tmp_path: Path
) -> None:
    told = tmp_path / "told.json"
    with a_run(terminal, told, *FIFTEEN) as screen:
        screen.wait_for(r"\D[1-9]\d?/300")
        os.kill(stack.pid("kafka"), signal.SIGKILL)
        screen.wait_for(r"\D1\d\d/300", RUN_WITHIN_S)
        os.kill(stack.pid("ledger-consumer"), signal.SIGKILL)
        screen.wait_for(r"\D300/300", RUN_WITHIN_S)
        shown = screen.wait_for_end()

        assert screen.process.returncode == ExitCode.OK, shown
    stack.wait_ready(60)
    run = json.loads(told.read_text())

    assert run["asked_again"], "nobody noticed the kills"
    assert run["steps"]["recorded"]["new"] == 300
    assert run["verdict"] | {"people": 15, "transactions": 300, "differences": []} == run["verdict"]
    assert run["verdict"]["all_accounted_for"] is True
