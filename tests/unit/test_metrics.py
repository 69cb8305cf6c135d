"""Metrics that must say the truth when nobody sets them: of what hangs, what is another's, and what never was."""

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import REGISTRY

import consumers.dead_letters  # noqa: F401 - its metrics are looked at
from consumers.jobs import running
from consumers.jobs.mail import Outcome
from consumers.jobs.schedule import LAST_TICK, Ticks
from consumers.relay import LOOKS_OLD_AFTER_S, Relay
from contracts.topics import SUBMISSION_TOPICS, TOPICS
from gateway.draining import Draining
from gateway.observing import Observed
from gateway.readiness import Readiness
from infra.postgres.pools import PoolMetrics


def value(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


def a_relay(monkeypatch: pytest.MonkeyPatch, at: float) -> Relay:
    monkeypatch.setattr(time, "monotonic", lambda: at)
    return Relay(SimpleNamespace(name="ledger"), SimpleNamespace())  # type: ignore[arg-type]


def test_a_relay_that_looks_and_finds_nothing_has_an_outbox_of_no_age(monkeypatch: pytest.MonkeyPatch) -> None:
    relay = a_relay(monkeypatch, 100 + LOOKS_OLD_AFTER_S)
    relay._seen = 0.0, 100.0

    assert value("cash_outbox_age_seconds", database="ledger") == 0


def test_a_relay_that_hangs_tells_an_outbox_that_grows_older(monkeypatch: pytest.MonkeyPatch) -> None:
    relay = a_relay(monkeypatch, 160.0)
    relay._seen = 0.0, 100.0
    assert value("cash_outbox_age_seconds", database="ledger") == 60

    relay._seen = 7.0, 100.0
    assert value("cash_outbox_age_seconds", database="ledger") == 67


def test_a_standby_tells_neither_an_age_nor_that_it_is_active(monkeypatch: pytest.MonkeyPatch) -> None:
    a_relay(monkeypatch, 1000.0)

    assert value("cash_outbox_age_seconds", database="ledger") == 0
    assert value("cash_relay_active", database="ledger") == 0


def test_what_has_not_happened_yet_is_counted_as_0() -> None:
    for topic in SUBMISSION_TOPICS:
        for cause in ("malformed", "defect"):
            assert value("cash_dead_letters_total", topic=topic.name, cause=cause) is not None
    for topic in TOPICS:
        assert value("cash_publish_failures_total", topic=topic.name) is not None
    for outcome in Outcome:
        assert value("cash_mail_attempts_total", outcome=outcome) is not None


def test_a_job_that_fails_keeps_the_time_of_its_last_success(monkeypatch: pytest.MonkeyPatch) -> None:
    class Database:
        async def __aenter__(self) -> None: ...
        async def __aexit__(self, *_: object) -> None: ...

    monkeypatch.setattr(running, "opened", lambda _: Database())
    monkeypatch.setattr(running, "remember_run", lambda *_: None)
    monkeypatch.setattr(running, "job_memory", lambda: None)
    monkeypatch.setattr(running, "pulse", running.Pulse())
    began_at = time.time()

    async def work(_: Any) -> None: ...

    async def fail(_: Any) -> None:
        raise ZeroDivisionError

    running.run_job("a test's job", [SimpleNamespace()], work)  # type: ignore[list-item]
    done_at = value("cash_job_last_success_timestamp_seconds", job_name="a test's job")
    running.run_job("a test's job", [SimpleNamespace()], fail)  # type: ignore[list-item]

    assert done_at is not None
    assert began_at <= done_at <= time.time()
    assert value("cash_job_last_success_timestamp_seconds", job_name="a test's job") == done_at


def test_beat_tells_when_it_ticked() -> None:
    LAST_TICK.set(0)

    Ticks().tick()

    assert time.time() - (value("cash_beat_last_tick_timestamp_seconds") or 0) < 5


async def test_a_gateway_tells_whether_it_was_ready_when_last_asked() -> None:
    async def ping() -> None: ...

    draining = Draining()
    readiness = Readiness({"Kafka": ping}, {}, SimpleNamespace(age_s=lambda: 1.0), draining)  # type: ignore[arg-type]
    assert await readiness.problems() == []
    assert value("cash_process_ready") == 1

    ended = Readiness({"Kafka": ping}, {}, SimpleNamespace(age_s=lambda: 9.0), draining)  # type: ignore[arg-type]
    assert await ended.problems()
    assert value("cash_process_ready") == 0


class Pool:
    """A pool of eight connections at most."""

    def __init__(self, size: int, idle: int) -> None:
        self._size, self._idle = size, idle

    def get_size(self) -> int:
        return self._size

    def get_idle_size(self) -> int:
        return self._idle

    def get_max_size(self) -> int:
        return 8


def samples(metrics: PoolMetrics) -> dict[str, float]:
    return {
        " ".join(sample.labels.values()) or sample.name: sample.value
        for family in metrics.collect()
        for sample in family.samples
    }


def test_the_pools_of_a_database_are_added_up_for_as_long_as_they_live() -> None:
    metrics, first, second = PoolMetrics(), Pool(5, 2), Pool(1, 1)
    metrics.add("ledger", first)
    metrics.add("ledger", second)
    metrics.add("users", Pool(0, 0))
    assert samples(metrics) == {
        "ledger idle": 3, "ledger used": 3, "ledger": 16, "users idle": 0, "users used": 0, "users": 8,
    }  # fmt: skip

    metrics.remove(first)
    assert samples(metrics)["ledger used"] == 0


@pytest.mark.parametrize(("wait_s", "answer"), [(0, "accepted"), (5, "decided")])
async def test_a_writes_time_counts_by_what_its_sender_waits_for(wait_s: int, answer: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["asking"] = SimpleNamespace(wait_s=wait_s, key="key")
        await asyncio.sleep(0)
        await send({"type": "http.response.start", "status": scope["answers"], "headers": []})

    async def ignore(*_: object) -> Any: ...

    before = value("cash_write_seconds_count", answer=answer) or 0
    for status in (202, 422, 503):
        scope: Any = {"type": "http", "method": "POST", "path": "/", "headers": [], "answers": status}
        await Observed(app, Draining(), log_every=1000)(scope, ignore, ignore)

    # What failed on our side is the other objective's.
    assert value("cash_write_seconds_count", answer=answer) == before + 2
