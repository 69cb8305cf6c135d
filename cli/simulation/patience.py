"""Asking until there is an answer: again after a lost connection or a 503, later after a 429, until a deadline."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

import httpx

from cli.connection.client import Refused
from cli.terminal.output import ExitCode, Failure

#: Without any answer for so long, the server counts as gone.
GIVE_UP_S = 120.0
_PAUSE_S = 1.0
#: Where a server says 429 and not how long to wait.
_WITHOUT_A_WORD_S = 10.0
_TOO_MANY = (
    "the server lets in only so many from one network; start a stack of your own by "
    "`CASH_LIMITS_PER_NETWORK=100000 cash up -d` to have more"
)
#: No answer, "not now", "not decided yet": the same request under the same key is safe.
_AGAIN = frozenset({ExitCode.UNREACHABLE, ExitCode.NOT_READY, ExitCode.PENDING})

T = TypeVar("T")


class Stopped(Exception):
    """The run is to end, and this was not answered yet."""


class GaveUp(Failure):
    """Nothing was answered until the deadline."""


class Patience:
    """Asks for several threads, and says why they wait."""

    def __init__(self, stopping: threading.Event, give_up_s: float = GIVE_UP_S) -> None:
        """Prepare to ask.

        Args:
            stopping: set when the run is to end; nothing is asked again then.
            give_up_s: how long something may stay without an answer.
        """
        self.stopping = stopping
        self._give_up_s = give_up_s
        self._lock = threading.Lock()
        self._waits: dict[int, tuple[str, float]] = {}

    def until_answered(self, ask: Callable[[], T]) -> T:
        """Return what a call returns, made again until it is answered; it must carry the same key each time.

        Raises:
            Refused: the server said no.
            GaveUp: no answer until the deadline. What was asked may have happened.
            Stopped: the run is to end. What was asked may have happened.
        """
        give_up_at = time.monotonic() + self._give_up_s
        while True:
            try:
                return ask()
            except Refused as refused:
                if refused.status != httpx.codes.TOO_MANY_REQUESTS:
                    raise
                wait_s = refused.retry_after_s or _WITHOUT_A_WORD_S
                # A server that says when is there.
                give_up_at = time.monotonic() + wait_s + self._give_up_s
                self.wait(wait_s, _TOO_MANY)
            except Failure as failure:
                if failure.code not in _AGAIN:
                    raise
                if time.monotonic() > give_up_at:
                    raise GaveUp(str(failure), failure.code) from None
                self.wait(_PAUSE_S, str(failure), until=give_up_at)

    def wait(self, seconds: float, why: str, *, until: float | None = None) -> None:
        """Wait, and be seen waiting.

        Args:
            seconds: how long.
            why: in words.
            until: when the waiting ends at the latest, where that is later (monotonic clock).

        Raises:
            Stopped: the run is to end.
        """
        me = threading.get_ident()
        with self._lock:
            self._waits[me] = (why, until or time.monotonic() + seconds)
        try:
            if self.stopping.wait(seconds):
                raise Stopped
        finally:
            with self._lock:
                self._waits.pop(me, None)

    def why(self) -> str | None:
        """Return why somebody waits, and how long at most; ``None`` while nobody does."""
        with self._lock:
            if not self._waits:
                return None
            why, until = max(self._waits.values(), key=lambda wait: wait[1])
            waiting = len(self._waits)
        left_s = max(0.0, until - time.monotonic())
        return f"{waiting} waiting, {left_s:.0f} s at most: {why}"
