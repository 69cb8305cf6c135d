"""What is sent when: every event of a run and its moment, fixed before the first one is sent."""

import itertools
import math
import random
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from cli.simulation.kafka_options import Shape

#: Of a spike: how much more than the rate, in which part of the duration.
SPIKE_TIMES = 4.0
SPIKE_FROM, SPIKE_TO = 0.45, 0.55
#: The k-th ledger gets 1/k^s of the events (Zipf's law).
ZIPF_EXPONENT = 1.1
#: A repeat follows its original within so many events.
REPEATED_WITHIN = 2_000
#: Days of plain transactions, back from today; late ones are older.
DAYS = 365
AMOUNT_MINOR_MAX = 50_000


class Kind(IntEnum):
    """What an event is meant to be. From ``FLAWED`` on it is one of the flaws there are, by its place among them."""

    PLAIN = 0
    LATE_DAY = 1
    """Booked on a day long ago."""
    LATE_CLOCK = 2
    """Sent with a clock of long ago, and without a day: it was on its way for long."""
    REPEAT = 3
    """The same key and content as an event before."""
    CHANGED_REPEAT = 4
    """The same key as an event before, with another amount."""
    FLAWED = 16


#: What is recorded if all is well.
RECORDABLE = frozenset({Kind.PLAIN, Kind.LATE_DAY, Kind.LATE_CLOCK})
LATE = frozenset({Kind.LATE_DAY, Kind.LATE_CLOCK})
REPEATS = frozenset({Kind.REPEAT, Kind.CHANGED_REPEAT})


@dataclass(frozen=True, slots=True)
class Shares:
    """Percentages of all events, and which flaws there are: the place of each with the second it may come from."""

    duplicates: float = 0.0
    bad: float = 0.0
    late: float = 0.0
    flaws: Sequence[tuple[int, float]] = ()


@dataclass(frozen=True, slots=True)
class Schedule:
    """Events by their place in the order they are sent in.

    ``at_s`` are seconds since the beginning, ascending; ``days_back`` are days before the one on which the run began;
    ``originals`` say of a repeat which event it repeats.
    """

    at_s: Sequence[float]
    ledgers: Sequence[int]
    kinds: bytearray
    amounts_minor: Sequence[int]
    days_back: Sequence[int]
    purposes: bytes
    originals: dict[int, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.at_s)


def arrivals(shape: Shape, rate: float, duration_s: float, chance: random.Random) -> Sequence[float]:
    """Return when events are to be sent, in seconds since the beginning, in order.

    ``rate`` is what the shape speaks of: the one rate, the last, that beside the spike, the mean.
    """
    return array("d", _moments(shape, rate, duration_s, chance))


def _moments(shape: Shape, rate: float, duration_s: float, chance: random.Random) -> Iterator[float]:
    match shape:
        case Shape.STEADY:
            yield from (number / rate for number in range(round(rate * duration_s)))
        case Shape.RAMP:
            # By t seconds rate * t² / (2 * duration) events have come.
            count = round(rate * duration_s / 2)
            yield from (math.sqrt(2 * duration_s * number / rate) for number in range(count))
        case Shape.SPIKE:
            begins, ends = SPIKE_FROM * duration_s, SPIKE_TO * duration_s
            before, within = round(rate * begins), round(rate * SPIKE_TIMES * (ends - begins))
            yield from (number / rate for number in range(before))
            yield from (begins + number / (rate * SPIKE_TIMES) for number in range(within))
            yield from (ends + number / rate for number in range(round(rate * (duration_s - ends))))
        case Shape.ZIPF:
            moment = chance.expovariate(rate)
            while moment < duration_s:
                yield moment
                moment += chance.expovariate(rate)


def zipf_weights(count: int) -> list[float]:
    """Return what each of so many ledgers gets, the first most."""
    return [1 / place**ZIPF_EXPONENT for place in range(1, count + 1)]


def plan(
    shape: Shape,
    rate: float,
    duration_s: float,
    *,
    ledgers: int,
    purposes: int,
    shares: Shares,
    chance: random.Random,
) -> Schedule:
    """Fix a run: when each event is sent, to which ledger, what it is, and how much money it moves for what.

    Late events are sent after all others, the youngest first.

    Args:
        shape: how they arrive.
        rate: events per second, as the shape understands it.
        duration_s: seconds from the first arrival to the last.
        ledgers: how many there are; events have one by its place.
        purposes: how many there are of what money is spent for.
        shares: which part of the events is not plain.
        chance: the same seed makes the same run.
    """
    at_s = arrivals(shape, rate, duration_s, chance)
    count = len(at_s)
    weights = zipf_weights(ledgers) if shape is Shape.ZIPF else None
    kinds = bytearray(count)
    schedule = Schedule(
        at_s,
        array("H", chance.choices(range(ledgers), weights, k=count)),
        kinds,
        array("I", chance.choices(range(1, AMOUNT_MINOR_MAX), k=count)),
        array("H", chance.choices(range(1, DAYS), k=count)),
        bytes(chance.choices(range(purposes), k=count)),
    )
    late = min(round(count * shares.late / 100), count)
    _be_late(schedule, count - late)
    others = range(count - late)
    special = chance.sample(others, min(_part(count, shares.bad) + _part(count, shares.duplicates), len(others)))
    bad = _part(count, shares.bad) if shares.flaws else 0
    flaws = itertools.cycle(shares.flaws)
    for number in special[:bad]:
        # Some flaws take time: a grant that is to have expired must have been there for a minute.
        ready = (each for each, from_s in itertools.islice(flaws, len(shares.flaws)) if at_s[number] >= from_s)
        if (flaw := next(ready, None)) is not None:
            kinds[number] = Kind.FLAWED + flaw
    for turn, number in enumerate(sorted(special[bad:])):
        _repeat(schedule, number, Kind.CHANGED_REPEAT if turn % 2 else Kind.REPEAT, chance)
    return schedule


def _part(count: int, percent: float) -> int:
    return round(count * percent / 100)


def _be_late(schedule: Schedule, first: int) -> None:
    days_back = schedule.days_back
    assert isinstance(days_back, array)
    for number in range(first, len(schedule)):
        schedule.kinds[number] = Kind.LATE_CLOCK if number % 2 else Kind.LATE_DAY
        days_back[number] = min(DAYS + 1 + number - first, 10 * DAYS)


def _repeat(schedule: Schedule, number: int, kind: Kind, chance: random.Random) -> None:
    """Let an event repeat a plain one before it; where none is found it stays plain."""
    for _ in range(20):
        if number == 0:
            return
        original = chance.randrange(max(0, number - REPEATED_WITHIN), number)
        if schedule.kinds[original] == Kind.PLAIN:
            schedule.kinds[number] = kind
            schedule.originals[number] = original
            ledgers = schedule.ledgers
            assert isinstance(ledgers, array)
            ledgers[number] = ledgers[original]
            return
