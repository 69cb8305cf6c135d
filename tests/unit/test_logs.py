"""What our logs leave out, and how they are written."""

import json
import logging
import os
import re
import subprocess
import sys

import pytest

from infra.telemetry.logs import AGAIN_AFTER_S, OnceInAWhile
from infra.telemetry.words import as_text


def a_line(sentence: str = "Unable connect to node with id %s", logger: str = "aiokafka.client") -> logging.LogRecord:
    return logging.LogRecord(logger, logging.ERROR, "", 0, sentence, (1,), None)


def test_a_sentence_of_aiokafka_passes_once_and_again_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    once = OnceInAWhile()

    assert [once.filter(a_line()) for _ in range(3)] == [True, False, False]
    assert once.filter(a_line("Topic %s not found"))
    now += AGAIN_AFTER_S
    assert once.filter(a_line())


def test_what_others_say_always_passes() -> None:
    once = OnceInAWhile()

    assert all(once.filter(a_line(logger="consumers.delivery")) for _ in range(3))


TELLING = """
from infra.telemetry.logs import configure_logs, get_logger
configure_logs("relay")
log = get_logger("somewhere")
log.info("process ready")
try:
    1 / 0
except ZeroDivisionError:
    log.exception("batch failed", topic="ledger.journal", partitions=[1, 2])
"""


def told(form: str) -> list[str]:
    """What a process writes that logs in a form."""
    environment = {**os.environ, "CASH_LOG_FORMAT": form, "CASH_LOG_LEVEL": "INFO"}
    command = [sys.executable, "-c", TELLING]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.splitlines()


def test_a_process_that_logs_as_text_writes_a_line_for_people_and_the_traceback_beneath() -> None:
    ready, failed, *traceback = told("text")

    assert re.fullmatch(r"\d\d:\d\d:\d\d INFO     process ready", ready)
    assert failed[9:] == "ERROR    batch failed topic=ledger.journal partitions=[1, 2]"
    assert traceback[0] == "Traceback (most recent call last):"
    assert traceback[-1] == "ZeroDivisionError: division by zero"


def test_a_process_that_logs_as_json_writes_an_object_a_line() -> None:
    ready, failed = (json.loads(line) for line in told("json"))

    assert (ready["event"], ready["process"]) == ("process ready", "relay")
    assert failed["exception"].endswith("ZeroDivisionError: division by zero")


def test_one_event_is_one_line_and_cannot_steer_the_terminal() -> None:
    entry = {"event": "said\nso", "level": "info", "timestamp": "2026-01-01T10:11:12.5Z", "by": "a\x1b[31m\nb"}

    assert as_text(entry) == r"10:11:12 INFO     said\nso by=a\x1b[31m\nb"


def test_an_entry_without_a_time_is_told_all_the_same() -> None:
    assert as_text({"event": "so"}) == "INFO     so"
