"""Asking until there is an answer."""

import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from unittest import mock

import pytest

from cli.connection.client import Refused, Unanswered
from cli.simulation import patience as patience_module
from cli.simulation.patience import GaveUp, Patience, Stopped
from cli.terminal.output import ExitCode, Failure

LOST = Unanswered("it does not answer any more", ExitCode.UNREACHABLE)
NOT_READY = Failure("the local stack does not answer", ExitCode.NOT_READY)
PENDING = Failure("accepted, and not recorded yet", ExitCode.PENDING)


def too_many(retry_after_s: float | None) -> Refused:
    return Refused("Too many tries", ExitCode.REFUSED, status=429, retry_after_s=retry_after_s)


class Waits(threading.Event):
    """Nobody waits for it in truth; ``seconds`` are how long they would have."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.seconds.append(timeout or 0.0)
        return self.is_set()


@pytest.fixture
def waits() -> Iterator[Waits]:
    waits = Waits()
    clock = SimpleNamespace(monotonic=lambda: sum(waits.seconds))
    with mock.patch.object(patience_module, "time", clock):
        yield waits


def asking(*answers: object) -> mock.Mock:
    return mock.Mock(side_effect=answers)


@pytest.mark.parametrize("failure", [LOST, NOT_READY, PENDING])
def test_what_was_not_answered_is_asked_again(waits: Waits, failure: Failure) -> None:
    ask = asking(failure, failure, "at last")

    assert Patience(waits).until_answered(ask) == "at last"
    assert waits.seconds == [1.0, 1.0]


def test_who_is_told_to_wait_waits_as_told(waits: Waits) -> None:
    ask = asking(too_many(551), too_many(3), too_many(None), "at last")

    assert Patience(waits, give_up_s=5).until_answered(ask) == "at last"
    assert waits.seconds == [551, 3, 10]


def test_without_any_answer_it_gives_up_at_the_deadline(waits: Waits) -> None:
    ask = mock.Mock(side_effect=LOST)

    with pytest.raises(GaveUp, match="does not answer any more"):
        Patience(waits, give_up_s=30).until_answered(ask)
    assert 30 <= sum(waits.seconds) <= 32


@pytest.mark.parametrize("refused", [Refused("no", ExitCode.REFUSED, status=422), Failure("another sentence")])
def test_a_no_is_an_answer(waits: Waits, refused: Failure) -> None:
    ask = asking(refused)

    with pytest.raises(Failure) as raised:
        Patience(waits).until_answered(ask)
    assert raised.value is refused
    assert waits.seconds == []


def test_nothing_is_asked_again_once_the_run_is_to_end(waits: Waits) -> None:
    waits.set()
    ask = mock.Mock(side_effect=LOST)

    with pytest.raises(Stopped):
        Patience(waits).until_answered(ask)
    assert ask.call_count == 1


def test_why_they_wait_is_said_while_they_do() -> None:
    patience = Patience(threading.Event())

    def wait() -> None:
        with pytest.raises(Stopped):
            patience.wait(60, "no mail yet")

    waiting = threading.Thread(target=wait)
    assert patience.why() is None
    waiting.start()
    while patience.why() is None:
        time.sleep(0.001)
    assert patience.why() == "1 waiting, 60 s at most: no mail yet"
    patience.stopping.set()
    waiting.join()
    assert patience.why() is None
