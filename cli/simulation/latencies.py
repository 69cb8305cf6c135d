"""Latencies of a run, counted in a HdrHistogram: any number of them in a fixed amount of memory."""

import importlib
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from cli.terminal.output import fail

#: What a report says of a run, in percent.
PERCENTILES = (50.0, 90.0, 99.0, 99.9)
#: In microseconds: from one to an hour, to three significant figures.
_SHORTEST, _LONGEST, _FIGURES = 1, 3_600_000_000, 3
_US_PER_S, _US_PER_MS = 1_000_000, 1_000


class Latencies:
    """Counts latencies; may be used by several threads at once."""

    def __init__(self) -> None:
        """Begin with none. Fails with a sentence where the library is not installed."""
        self._histogram = _histogram()
        self._lock = threading.Lock()
        self._longest_us = 0

    def record(self, seconds: float) -> None:
        """Count one; what is below a microsecond counts as one, what is above an hour as an hour."""
        us = min(max(round(seconds * _US_PER_S), _SHORTEST), _LONGEST)
        with self._lock:
            self._histogram.record_value(us)
            self._longest_us = max(self._longest_us, us)

    @property
    def count(self) -> int:
        """How many were counted."""
        return int(self._histogram.get_total_count())

    @property
    def longest(self) -> float | None:
        """The longest in milliseconds, exactly; ``None`` while there is none."""
        return self._longest_us / _US_PER_MS if self.count else None

    def percentile(self, percent: float) -> float | None:
        """Return in milliseconds what so many percent do not exceed; ``None`` while there is none."""
        with self._lock:
            if not self.count:
                return None
            # The histogram answers with the upper end of a bucket, which nothing need have reached.
            us = min(int(self._histogram.get_value_at_percentile(percent)), self._longest_us)
        return us / _US_PER_MS

    def summary(self) -> Mapping[str, float | None]:
        """Return the percentiles of :data:`PERCENTILES` and the longest, in milliseconds, by their names."""
        return {**{f"p{each:g}": self.percentile(each) for each in PERCENTILES}, "max": self.longest}

    def curve(self) -> Iterator[tuple[float, float]]:
        """Yield percent and milliseconds, closer together towards 100: the usual picture of latencies."""
        percent = 0.0
        while self.count and percent < 100 * (1 - 1 / self.count):
            yield percent, self.percentile(percent) or 0.0
            percent += (100 - percent) / 4
        if self.count:
            yield 100.0, self.longest or 0.0


def _histogram() -> Any:
    try:
        module: Any = importlib.import_module("hdrh.histogram")
    except ImportError:
        fail("the simulators need libraries of their own; install them with `pip install 'cash-flow[simulator]'`")
    return module.HdrHistogram(_SHORTEST, _LONGEST, _FIGURES)
