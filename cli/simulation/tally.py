"""What a run has done so far: counted by step and outcome, by several threads, read by whoever shows it."""

import threading
import time
from collections import Counter, deque
from collections.abc import Mapping
from enum import StrEnum

import httpx

from cli.connection.client import Try
from cli.simulation.latencies import Latencies

#: The present rate is that of so many seconds.
_PRESENT_S = 5.0


class Step(StrEnum):
    """What is done with each person, or each transaction; in this order."""

    REGISTERED = "registered"
    SIGNED_IN = "signed in"
    RECORDED = "recorded"
    READ_BACK = "read back"


class Outcome(StrEnum):
    """What came of something."""

    NEW = "new"
    """Done by this run."""
    KNOWN = "already there"
    """Done by an earlier run of the same seed."""
    REFUSED = "refused"
    """The system said no, or it could not be tried."""
    UNKNOWN = "unknown"
    """Asked for, and no answer came: it may have happened."""
    UNSENT = "not sent"
    """The run ended before."""


#: What did not fail.
DONE = frozenset({Outcome.NEW, Outcome.KNOWN})


class Tally:
    """Counts; may be used by several threads at once."""

    def __init__(self, planned: Mapping[Step, int]) -> None:
        """Begin to count; ``planned`` says how many there are to be of each step."""
        self.planned = dict(planned)
        self.latencies = {step: Latencies() for step in Step}
        #: Why the last request had no answer to go on with; ``None`` where it had one.
        self.trouble: str | None = None
        self._lock = threading.Lock()
        self._outcomes: dict[Step, Counter[Outcome]] = {step: Counter() for step in Step}
        self._again: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self._recent: deque[float] = deque()
        self._first_at: float | None = None
        self._last_at: float | None = None

    def note(self, step: Step, outcome: Outcome, took_s: float | None = None, why: str | None = None) -> None:
        """Count one; ``took_s`` from when it was first asked for until its outcome was known."""
        now = time.monotonic()
        if outcome in DONE and took_s is not None:
            self.latencies[step].record(took_s)
        with self._lock:
            self._outcomes[step][outcome] += 1
            if why:
                self._reasons[why] += 1
            if step is Step.RECORDED and outcome in DONE:
                self._first_at = self._first_at or now - (took_s or 0.0)
                self._last_at = now
                self._recent.append(now)

    def hear(self, one: Try) -> None:
        """Count a request that was not answered, or was told to come again."""
        reason: str | None = None
        if one.response is None:
            reason = "no answer"
        elif one.response.status_code == httpx.codes.TOO_MANY_REQUESTS or one.response.is_server_error:
            reason = f"HTTP {one.response.status_code}"
        self.trouble = reason
        if reason:
            with self._lock:
                self._again[reason] += 1

    def of(self, step: Step, outcome: Outcome) -> int:
        """Return how many had this outcome; what was planned and has none was not sent."""
        with self._lock:
            counted = self._outcomes[step]
            if outcome is Outcome.UNSENT:
                return max(0, self.planned[step] - counted.total())
            return counted[outcome]

    def done(self, step: Step) -> int:
        """Return how many are done."""
        return sum(self.of(step, outcome) for outcome in DONE)

    @property
    def again(self) -> dict[str, int]:
        """What was not answered, or put off, and asked again: how often, by reason."""
        with self._lock:
            return dict(self._again)

    @property
    def reasons(self) -> dict[str, int]:
        """Why something failed for good: how often, by sentence."""
        with self._lock:
            return dict(self._reasons)

    @property
    def errors(self) -> int:
        """How many requests were not answered, or put off, and what failed for good."""
        with self._lock:
            return self._again.total() + self._reasons.total()

    @property
    def took_s(self) -> float:
        """From the first transaction sent to the last one recorded, in seconds."""
        with self._lock:
            return 0.0 if self._first_at is None or self._last_at is None else self._last_at - self._first_at

    @property
    def rate(self) -> float:
        """Transactions recorded per second, over the whole run."""
        return self.done(Step.RECORDED) / self.took_s if self.took_s else 0.0

    @property
    def present_rate(self) -> float:
        """Transactions recorded per second, now."""
        now = time.monotonic()
        with self._lock:
            while self._recent and self._recent[0] < now - _PRESENT_S:
                self._recent.popleft()
            if not self._recent or self._first_at is None:
                return 0.0
            # A run that has just begun has not had so many seconds yet.
            return len(self._recent) / max(min(_PRESENT_S, now - self._first_at), 0.1)
