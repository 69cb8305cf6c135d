"""What a run of the simulator over Kafka is asked for."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from contracts import topics

RATE_MAX = 50_000
EVENTS_MAX = 5_000_000
"""Of one run: each is remembered until the end, in some dozens of bytes."""
DURATION_OF_MAX_S = 120.0
"""While the highest rate is looked for, which may take several turns."""
LEDGERS_MAX = 5_000


class Shape(StrEnum):
    """How events arrive over the duration, and how they fall on the ledgers."""

    STEADY = "steady"
    """At the same distance from each other."""
    RAMP = "ramp"
    """From nothing up to the rate."""
    SPIKE = "spike"
    """At the rate, and in the middle tenth at four times the rate."""
    ZIPF = "zipf"
    """By chance (Poisson), and most of them on a few ledgers (Zipf)."""


class Road(StrEnum):
    """The topic that events are produced to."""

    BULK = topics.LEDGER_BULK.name
    SUBMISSIONS = topics.LEDGER_SUBMISSIONS.name


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaOptions:
    """One run.

    ``rate`` is in events per second, ``None`` for the highest that this machine holds; ``duplicates``, ``bad`` and
    ``late`` are percentages of all events.
    """

    seed: str
    rate: float | None = 500.0
    duration_s: float = 30.0
    users: int = 3
    ledgers: int = 12
    shape: Shape = Shape.STEADY
    road: Road = Road.BULK
    duplicates: float = 0.0
    bad: float = 0.0
    late: float = 0.0
    reports: tuple[Path, ...] = ()
    json: bool = False


def read_rate(typed: str) -> float | None:
    """Return a rate as typed, in events per second; ``None`` for ``max``.

    Raises:
        ValueError: it is neither a number above zero nor ``max``.
    """
    if typed.strip().lower() == "max":
        return None
    try:
        rate = float(typed.replace(",", ""))
    except ValueError:
        rate = 0.0
    if not 0 < rate <= RATE_MAX:
        raise ValueError(f"give a rate above 0 and up to {RATE_MAX:,} events per second, or max")
    return rate
