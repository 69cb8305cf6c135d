"""Finding the highest rate at which what waits does not grow: which rate to try next, and whether one was held."""

from collections.abc import Sequence
from dataclasses import dataclass

from cli.simulation.following import Sample

#: Where the search begins, in events per second, and how close together it ends.
FIRST_RATE = 500.0
CLOSE_ENOUGH = 1.06
#: Where a rate that was found is not held for the whole duration, this much of it is tried.
LESS = 0.95
#: Flat: from the second quarter to the last, the lag grows by no more than this.
GROWTH_MAX_S = 0.3
LAG_MAX_S = 2.5
#: The generator's own share: of a hundred events one may start so late.
LATE_START_MAX_S = 0.5


@dataclass(frozen=True, slots=True)
class Attempt:
    """A rate that was tried: how the lag went, in seconds of the rate, and why it was not held, ``None`` if it was."""

    rate: float
    seconds: float
    lag_s: float
    growth_s: float
    late_start_s: float
    why_not: str | None

    @property
    def held(self) -> bool:
        """Whether the machine holds this rate."""
        return self.why_not is None


def judge(rate: float, seconds: float, samples: Sequence[Sample], late_start_s: float, *, whole: bool) -> Attempt:
    """Judge an attempt.

    Args:
        rate: events per second.
        seconds: for how long they were sent.
        samples: of that time, at equal distances.
        late_start_s: by how much 99 % of the events started late at most.
        whole: whether the schedule was sent to its end.
    """
    lags = [sample.waiting / rate for sample in samples] or [0.0]
    quarter = max(1, len(lags) // 4)
    last = _mean(lags[-quarter:])
    growth = last - _mean(lags[quarter : 2 * quarter] or lags)
    why_not = None
    if not whole or last > LAG_MAX_S:
        why_not = f"{last:.1f} s behind"
    elif growth > GROWTH_MAX_S:
        why_not = f"the lag grew by {growth:.1f} s"
    elif late_start_s > LATE_START_MAX_S:
        why_not = f"the generator itself was {late_start_s:.1f} s late"
    return Attempt(rate, seconds, last, growth, late_start_s, why_not)


class Search:
    """Doubles the rate until one is not held, then halves the distance."""

    def __init__(self, first: float = FIRST_RATE) -> None:
        """Begin with a rate that any machine should hold."""
        self._next: float | None = first
        self._held = 0.0
        self._failed: float | None = None

    @property
    def next_rate(self) -> float | None:
        """What to try next; ``None`` when it is known well enough."""
        return self._next

    @property
    def held(self) -> float:
        """The highest rate that was held; 0 while there is none."""
        return self._held

    def learn(self, attempt: Attempt) -> None:
        """Take an attempt into account."""
        if attempt.held:
            self._held = max(self._held, attempt.rate)
        elif self._failed is None or attempt.rate < self._failed:
            self._failed = attempt.rate
        if self._failed is None:
            self._next = self._held * 2
        elif self._held:
            self._next = None if self._failed / self._held < CLOSE_ENOUGH else (self._failed + self._held) / 2
        else:
            self._next = self._failed / 2 if self._failed > 1 else None


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
