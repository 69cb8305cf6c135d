"""When the simulator sends what: arrivals by shape, ledgers by Zipf, and which events are not plain."""

import random
from collections import Counter
from itertools import pairwise

import pytest

from cli.simulation.kafka_options import Shape, read_rate
from cli.simulation.schedules import (
    DAYS,
    LATE,
    RECORDABLE,
    REPEATED_WITHIN,
    REPEATS,
    Kind,
    Schedule,
    Shares,
    arrivals,
    plan,
)

PLAIN = Shares()


def chance() -> random.Random:
    return random.Random("a seed")


def a_schedule(shares: Shares = PLAIN, shape: Shape = Shape.STEADY, seed: str = "a seed") -> Schedule:
    return plan(shape, 500, 20, ledgers=10, purposes=5, shares=shares, chance=random.Random(seed))


def count_between(at_s: list[float], begins: float, ends: float) -> int:
    return sum(begins <= each < ends for each in at_s)


@pytest.mark.parametrize(
    ("shape", "within", "expected"),
    [
        pytest.param(Shape.STEADY, (0, 10), 1000, id="steady, all"),
        pytest.param(Shape.STEADY, (3, 4), 100, id="steady, any second"),
        pytest.param(Shape.RAMP, (0, 10), 500, id="ramp, all: half of what the rate would make"),
        pytest.param(Shape.RAMP, (0, 5), 125, id="ramp, first half: a quarter of all"),
        pytest.param(Shape.RAMP, (9, 10), 95, id="ramp, last second: nearly the rate"),
        pytest.param(Shape.SPIKE, (0, 10), 1300, id="spike, all"),
        pytest.param(Shape.SPIKE, (4.5, 5.5), 400, id="spike, the middle tenth: four times the rate"),
        pytest.param(Shape.SPIKE, (0, 1), 100, id="spike, beside it"),
    ],
)
def test_as_many_events_arrive_as_the_shape_says(shape: Shape, within: tuple[float, float], expected: int) -> None:
    at_s = list(arrivals(shape, 100, 10, chance()))

    assert count_between(at_s, *within) == pytest.approx(expected, abs=1)


@pytest.mark.parametrize("shape", Shape)
def test_arrivals_are_in_order_and_within_the_duration(shape: Shape) -> None:
    at_s = list(arrivals(shape, 100, 10, chance()))

    assert all(before <= after for before, after in pairwise(at_s))
    assert at_s[0] >= 0
    assert at_s[-1] < 10


def test_arrivals_by_chance_have_the_rate_as_their_mean_and_a_spread_as_large() -> None:
    gaps = [after - before for before, after in pairwise(arrivals(Shape.ZIPF, 1000, 60, chance()))]
    mean = sum(gaps) / len(gaps)
    deviation = (sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5

    assert mean == pytest.approx(1 / 1000, rel=0.02)
    assert deviation == pytest.approx(mean, rel=0.05)


def test_the_first_ledger_of_zipf_gets_as_much_as_the_law_says() -> None:
    counts = Counter(plan(Shape.ZIPF, 1000, 60, ledgers=50, purposes=1, shares=Shares(), chance=chance()).ledgers)
    ranks = [count for _, count in counts.most_common()]

    assert [ledger for ledger, _ in counts.most_common(3)] == [0, 1, 2]
    assert ranks[0] / ranks[9] == pytest.approx(10**1.1, rel=0.15)


def test_other_shapes_use_all_ledgers_alike() -> None:
    counts = Counter(a_schedule().ledgers)

    assert len(counts) == 10
    assert max(counts.values()) < 1.3 * min(counts.values())


def test_the_shares_are_kept() -> None:
    shares = Shares(duplicates=4, bad=3, late=2, flaws=[(0, 0.0), (5, 0.0)])
    kinds = Counter(a_schedule(shares).kinds)

    assert sum(kinds[kind] for kind in REPEATS) == pytest.approx(400, abs=5)
    assert kinds[Kind.FLAWED] == kinds[Kind.FLAWED + 5] == 150
    assert sum(kinds[kind] for kind in LATE) == 200
    assert kinds[Kind.REPEAT] == pytest.approx(kinds[Kind.CHANGED_REPEAT], abs=5)


def test_late_events_come_after_all_others_the_oldest_last() -> None:
    schedule = a_schedule(Shares(late=5, duplicates=5))
    late = [place for place, kind in enumerate(schedule.kinds) if kind in LATE]

    assert late == list(range(len(schedule) - len(late), len(schedule)))
    days = [schedule.days_back[place] for place in late]
    assert days == sorted(days)
    assert min(days) > DAYS


def test_a_repeat_follows_its_plain_original_on_the_same_ledger() -> None:
    schedule = a_schedule(Shares(duplicates=30))

    assert schedule.originals
    for repeat, original in schedule.originals.items():
        assert 0 < repeat - original <= REPEATED_WITHIN
        assert schedule.kinds[original] == Kind.PLAIN
        assert schedule.kinds[repeat] in REPEATS
        assert schedule.ledgers[repeat] == schedule.ledgers[original]


def test_a_flaw_that_takes_time_comes_no_earlier() -> None:
    schedule = a_schedule(Shares(bad=50, flaws=[(0, 0.0), (1, 15.0)]))
    slow = [schedule.at_s[place] for place, kind in enumerate(schedule.kinds) if kind == Kind.FLAWED + 1]

    assert slow
    assert min(slow) >= 15


def test_without_any_flaw_that_fits_an_event_stays_plain() -> None:
    schedule = a_schedule(Shares(bad=50, flaws=[(0, 100.0)]))

    assert set(schedule.kinds) == {Kind.PLAIN}


def test_everything_can_be_late() -> None:
    assert set(a_schedule(Shares(duplicates=100, bad=100, late=100, flaws=[(0, 0.0)])).kinds) <= RECORDABLE


@pytest.mark.parametrize("shape", Shape)
def test_the_same_seed_makes_the_same_run(shape: Shape) -> None:
    shares = Shares(duplicates=5, bad=5, late=5, flaws=[(0, 0.0), (1, 0.0)])

    assert a_schedule(shares, shape) == a_schedule(shares, shape)
    assert a_schedule(shares, shape) != a_schedule(shares, shape, seed="another")


@pytest.mark.parametrize(("typed", "rate"), [("500", 500.0), ("0.5", 0.5), ("2,500", 2500.0), ("max", None)])
def test_a_rate_is_read_as_typed(typed: str, rate: float | None) -> None:
    assert read_rate(typed) == rate


@pytest.mark.parametrize("typed", ["0", "-1", "", "fast", "nan", "inf", "100000"])
def test_a_rate_that_is_none_is_refused(typed: str) -> None:
    with pytest.raises(ValueError, match="give a rate above 0"):
        read_rate(typed)
