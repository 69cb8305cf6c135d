"""What our logs leave out."""

import logging

import pytest

from infra.telemetry.logs import AGAIN_AFTER_S, OnceInAWhile


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
