"""``cash sim --via kafka`` against the running system: every event meets its end, and the report says so."""

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from cli.terminal.output import ExitCode
from infra.local.stack import LocalStack
from tests.builders.terminal import Terminal, a_terminal

pytestmark = pytest.mark.stack


@pytest.fixture
def terminal(stack: LocalStack, tmp_path: Path) -> Terminal:
    return a_terminal(stack, tmp_path / "config")


def test_events_of_every_sort_meet_the_ends_they_were_made_for(terminal: Terminal, tmp_path: Path) -> None:
    page, document = tmp_path / "run.html", tmp_path / "run.json"
    ended = terminal.cash(
        *("sim", "--via", "kafka", "--rate", "200", "--duration", "3", "--users", "1", "--ledgers", "3", "--json"),
        *("--duplicates", "5", "--bad", "10", "--late", "5", "--report", str(page), "--report", str(document)),
    )

    assert ended.code == ExitCode.OK, ended.out + ended.err
    told = ended.json
    assert told["verdict"] == {"all_accounted_for": True, "problems": 0, "told": []}
    ends = told["ends"]
    assert (ends["planned"], ends["sent"]) == (600, 600)
    assert ends["recorded_late_events"] == 30
    assert ends["refused"] + ends["dead_letters"] == 60
    # The very first have nothing before them that they could repeat.
    assert 25 <= ends["repeats_that_added_nothing"] <= 30
    assert ends["recorded"] + ends["repeats_that_added_nothing"] == 540
    # Every flaw there is, but the grant that is over: that takes a minute.
    assert len(ends["refused_by_code"]) == 10
    assert len(ends["dead_letters_by_reason"]) == 12
    assert told["latency_ms"]["p50"] < told["latency_ms"]["max"]
    assert json.loads(document.read_text()) == told
    assert "Every event is accounted for exactly once." in page.read_text()


def test_what_goes_to_the_peoples_topic_needs_no_grant(terminal: Terminal) -> None:
    ended = terminal.cash(
        *("sim", "--via", "kafka", "--rate", "100", "--duration", "1", "--users", "1", "--ledgers", "2", "--json"),
        *("--bad", "20", "--shape", "zipf", "--topic", "ledger.submissions"),
    )

    assert ended.code == ExitCode.OK, ended.out + ended.err
    assert ended.json["verdict"]["all_accounted_for"]
    assert not any("grant" in reason for reason in ended.json["ends"]["dead_letters_by_reason"])


def test_ctrl_c_ends_it_with_the_summary_and_the_verdict_of_what_was_sent(terminal: Terminal, tmp_path: Path) -> None:
    document, said = tmp_path / "run.json", tmp_path / "said"
    with said.open("wb") as file:
        process = terminal.start(
            *("sim", "--via", "kafka", "--rate", "200", "--duration", "600", "--users", "1", "--ledgers", "2"),
            *("--report", str(document)),
            stdin=subprocess.DEVNULL,
            stdout=file.fileno(),
            stderr=file.fileno(),
        )
    try:
        until_recorded(process, said)
        process.send_signal(signal.SIGINT)
        code = process.wait(60)
    finally:
        process.kill()

    assert code == ExitCode.INTERRUPTED, said.read_text()
    told = json.loads(document.read_text())
    assert told["interrupted"]
    assert told["verdict"]["all_accounted_for"], told["verdict"]
    assert 0 < told["ends"]["recorded"] == told["ends"]["sent"] < told["ends"]["planned"] == 120_000


@pytest.mark.chaos
@pytest.mark.timeout(300)
def test_a_consumer_and_a_broker_killed_on_the_way_lose_and_double_nothing(
    terminal: Terminal, stack: LocalStack, tmp_path: Path
) -> None:
    document, said = tmp_path / "run.json", tmp_path / "said"
    words = ("--rate", "300", "--duration", "30", "--duplicates", "3", "--bad", "3", "--late", "3")
    with said.open("wb") as file:
        process = terminal.start(
            *("sim", "--via", "kafka", *words, "--report", str(document)),
            stdin=subprocess.DEVNULL,
            stdout=file.fileno(),
            stderr=file.fileno(),
        )
    try:
        until_recorded(process, said)
        for victim in ("ledger-consumer", "kafka"):
            os.kill(stack.pid(victim), signal.SIGKILL)
            stack.wait_ready(60)
        code = process.wait(180)
    finally:
        process.kill()

    assert code == ExitCode.OK, said.read_text()
    told = json.loads(document.read_text())
    assert told["verdict"]["all_accounted_for"]
    assert told["ends"]["sent"] == 9_000
    assert told["latency_ms"]["max"] > 1_000


def until_recorded(process: "subprocess.Popen[bytes]", said: Path) -> None:
    """Wait until a run that is under way says that something was recorded."""
    while not re.search("recorded [1-9]", said.read_text()):
        assert process.poll() is None, said.read_text()
        time.sleep(0.05)
