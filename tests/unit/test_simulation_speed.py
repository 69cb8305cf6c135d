"""Latencies, the search for the highest rate, and the small charts."""

import random
from threading import Thread

import pytest

from cli.simulation.charts import chart
from cli.simulation.following import Sample
from cli.simulation.highest_rate import CLOSE_ENOUGH, Attempt, Search, judge
from cli.simulation.latencies import Latencies


@pytest.mark.parametrize(
    ("percent", "milliseconds"), [(50.0, 5_000.0), (90.0, 9_000.0), (99.0, 9_900.0), (99.9, 9_990.0), (100.0, 10_000.0)]
)
def test_percentiles_are_right_to_three_figures(percent: float, milliseconds: float) -> None:
    latencies = Latencies()
    seconds = [number / 1000 for number in range(1, 10_001)]
    random.Random(1).shuffle(seconds)
    for each in seconds:
        latencies.record(each)

    assert latencies.percentile(percent) == pytest.approx(milliseconds, rel=0.001)
    assert latencies.count == 10_000
    assert latencies.longest == 10_000


def test_without_any_latency_nothing_is_said() -> None:
    latencies = Latencies()

    assert latencies.summary() == {"p50": None, "p90": None, "p99": None, "p99.9": None, "max": None}
    assert list(latencies.curve()) == []


@pytest.mark.parametrize(("seconds", "milliseconds"), [(-1.0, 0.001), (0.0, 0.001), (10**6, 3_600_000.0)])
def test_what_cannot_be_counted_is_counted_at_the_edge(seconds: float, milliseconds: float) -> None:
    latencies = Latencies()
    latencies.record(seconds)

    assert latencies.longest == milliseconds


def test_several_threads_lose_no_latency() -> None:
    latencies = Latencies()

    def record() -> None:
        for _ in range(5_000):
            latencies.record(0.01)

    threads = [Thread(target=record) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert latencies.count == 20_000


def test_the_curve_rises_to_the_longest_and_comes_closer_and_closer_to_all() -> None:
    latencies = Latencies()
    for number in range(1, 1001):
        latencies.record(number / 1000)
    percents, milliseconds = zip(*latencies.curve(), strict=True)

    assert list(percents) == sorted(percents)
    assert percents[-1] == 100
    assert list(milliseconds) == sorted(milliseconds)
    assert milliseconds[-1] == 1000


def samples(*lags_s: float, rate: float = 100) -> list[Sample]:
    return [Sample(number, 0, 0, 0, round(lag * rate), None) for number, lag in enumerate(lags_s)]


@pytest.mark.parametrize(
    ("lags_s", "late_s", "whole", "why_not"),
    [
        pytest.param([0.2] * 8, 0.01, True, None, id="flat"),
        pytest.param([0.1, 0.9, 0.2, 0.8, 0.1, 0.9, 0.2, 0.8], 0.01, True, None, id="up and down around the same"),
        pytest.param([1.5, 1.5, 1.4, 1.3, 1.0, 0.5, 0.2, 0.1], 0.01, True, None, id="falling"),
        pytest.param([0.1 * each for each in range(8)], 0.01, True, "the lag grew by 0.4 s", id="growing"),
        pytest.param([3.0] * 8, 0.01, True, "3.0 s behind", id="flat, and far behind"),
        pytest.param([0.1] * 8, 0.01, False, "0.1 s behind", id="broken off"),
        pytest.param([0.1] * 8, 0.9, True, "the generator itself was 0.9 s late", id="the generator is at its end"),
    ],
)
def test_a_rate_is_held_where_the_lag_stays_flat(
    lags_s: list[float], late_s: float, whole: bool, why_not: str | None
) -> None:
    assert judge(100, 8, samples(*lags_s), late_s, whole=whole).why_not == why_not


@pytest.mark.parametrize("holds", [3.0, 180.0, 777.0, 5_000.0, 40_000.0])
def test_the_search_comes_close_to_what_the_machine_holds_in_few_steps(holds: float) -> None:
    search, steps = Search(), 0
    while (rate := search.next_rate) is not None:
        steps += 1
        search.learn(Attempt(rate, 8, 0.1, 0.0, 0.0, None if rate <= holds else "the lag grew by 1.0 s"))

    assert holds / CLOSE_ENOUGH <= search.held <= holds
    assert steps <= 16


def test_where_nothing_is_held_the_search_ends() -> None:
    search = Search()
    while (rate := search.next_rate) is not None:
        search.learn(Attempt(rate, 8, 9.0, 1.0, 0.0, "9.0 s behind"))

    assert search.held == 0


@pytest.mark.parametrize("width", [20, 40, 80, 140])
@pytest.mark.parametrize("count", [1, 7, 500])
def test_a_chart_fits_its_width_and_shows_its_peak(width: int, count: int) -> None:
    values = [1.0] * count
    values[count // 2] = 950
    lines = chart(values, width=width, height=4, seconds=12)

    assert len(lines) == 5
    assert max(map(len, lines)) <= width
    assert lines[0].startswith("950 ")
    assert "█" in lines[0]
    assert lines[-1].endswith("12 s")


def test_a_chart_of_nothing_is_empty_and_what_is_little_is_seen() -> None:
    assert not any("█" in line for line in chart([0, 0, 0], width=20, height=2, seconds=2))
    assert "▁" in chart([0.001, 1000], width=20, height=3, seconds=2)[2]


def test_a_chart_can_do_with_ascii() -> None:
    assert "\n".join(chart([1, 2, 3], width=30, height=3, seconds=2, plain=True)).isascii()
