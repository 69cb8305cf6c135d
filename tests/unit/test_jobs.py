"""How jobs are asked for and how the worker tells that it is well."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from kombu.exceptions import OperationalError
from redis import Redis

from consumers.domain.decisions import Decision
from consumers.domain.registrations import CodeIssued
from consumers.jobs import mail, running
from consumers.jobs.app import TASK_EXPIRY_S, settings
from consumers.jobs.mail import LEASE_S, Nudge
from consumers.jobs.running import Pulse, run_job
from contracts.registrations import VerificationCodeRequested
from infra.errors import Unavailable
from infra.redis.jobs import RunOutcome, list_beats
from infra.settings import LedgerDatabaseSettings, PostgresSettings, SmtpSettings, UsersDatabaseSettings
from tests.builders.identity import NOON, an_asked


class Asking:
    """Stands in for Redis being asked; slow, so that nudges overlap."""

    def __init__(self, error: Exception | None = None) -> None:
        self.times = 0
        self._error = error

    def __call__(self) -> None:
        self.times += 1
        asyncio.run(asyncio.sleep(0.05))
        if self._error:
            raise self._error


async def _until_quiet(nudge: Nudge) -> None:
    assert nudge._asking is not None
    await nudge._asking


async def test_nudges_while_one_is_under_way_become_one_more(monkeypatch: pytest.MonkeyPatch) -> None:
    asking = Asking()
    monkeypatch.setattr(mail, "_ask", asking)
    nudge = Nudge()

    for _ in range(10):
        nudge.nudge()
        await asyncio.sleep(0.001)
    await _until_quiet(nudge)

    assert asking.times == 2


@pytest.mark.parametrize("error", [OperationalError("down"), OSError("gone")])
async def test_a_failed_nudge_is_only_logged(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    monkeypatch.setattr(mail, "_ask", Asking(error))
    nudge = Nudge()

    nudge.nudge()
    await _until_quiet(nudge)


async def test_only_a_batch_that_made_mail_due_nudges(monkeypatch: pytest.MonkeyPatch) -> None:
    asking = Asking()
    monkeypatch.setattr(mail, "_ask", asking)
    nudge, asked = Nudge(), an_asked(VerificationCodeRequested(registration_id=uuid4()))
    issued = Decision(changes=(CodeIssued(issue=2, expires_at=NOON),))

    await nudge.after_commit([(asked, Decision())])
    assert nudge._asking is None
    await nudge.after_commit([(asked, issued), (asked, issued)])
    await _until_quiet(nudge)

    assert asking.times == 1


def test_a_pulse_tells_of_silence_and_of_what_failed_last(monkeypatch: pytest.MonkeyPatch) -> None:
    now: dict[str, Any] = {"s": 100.0}
    monkeypatch.setattr("time.monotonic", lambda: now["s"])
    pulse = Pulse()

    now["s"] += 29
    assert pulse.problems(30) == []
    now["s"] += 2
    assert len(pulse.problems(30)) == 1
    pulse.beat("expire", "PostgreSQL is down")
    assert pulse.problems(30) == ["expire: PostgreSQL is down"]
    pulse.beat("expire")
    assert pulse.problems(30) == []


def test_an_outage_that_a_rare_job_met_is_not_told_until_its_next_run(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    pulse = Pulse()

    pulse.beat("tidy", "PostgreSQL is down", told_for_s=15)
    assert pulse.problems(30) == ["tidy: PostgreSQL is down"]
    now += 15
    assert pulse.problems(30) == []


def test_a_killed_workers_task_runs_again_within_15_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CASH_REDIS_HOST", "redis.example")
    monkeypatch.setenv("CASH_REDIS_PASSWORD", "secret")
    configured = settings()
    options = configured["broker_transport_options"]
    looks_every_s = options["unacked_restore_interval"] * options["unacked_restore_throttle"]

    assert configured["task_acks_late"]
    assert options["visibility_timeout"] + looks_every_s < 15
    assert configured["accept_content"] == [configured["task_serializer"]] == ["json"]
    assert TASK_EXPIRY_S > 15


def test_a_try_fits_into_its_lease() -> None:
    timeout = SmtpSettings.model_fields["timeout_s"]

    assert any(getattr(bound, "lt", None) == LEASE_S for bound in timeout.metadata)


def _databases() -> list[PostgresSettings]:
    """Return where nothing is; nobody connects before something is asked."""
    fields: dict[str, Any] = {"host": "127.0.0.1", "port": 1, "user": "nobody", "password": "hush"}
    return [UsersDatabaseSettings(**fields), LedgerDatabaseSettings(**fields)]


@pytest.mark.parametrize(
    ("errors", "outcome", "failure"),
    [
        ({}, RunOutcome.DONE, None),
        ({"users": Unavailable("tidy outbox")}, RunOutcome.UNAVAILABLE, "tidy outbox"),
        ({"ledger": KeyError("x")}, RunOutcome.FAILED, "KeyError('x')"),
        ({"users": KeyError("x"), "ledger": Unavailable("y")}, RunOutcome.FAILED, "KeyError('x'); y"),
        ({"users": Unavailable("y"), "ledger": KeyError("x")}, RunOutcome.FAILED, "y; KeyError('x')"),
    ],
)
def test_a_run_is_remembered_with_how_it_ended_and_one_database_keeps_it_from_no_other(
    monkeypatch: pytest.MonkeyPatch, errors: dict[str, Exception], outcome: RunOutcome, failure: str | None
) -> None:
    remembered: list[Any] = []
    monkeypatch.setattr(running, "job_memory", lambda: None)
    monkeypatch.setattr(running, "remember_run", lambda _, run: remembered.append(run))
    worked_on = []

    async def work(database: Any) -> None:
        worked_on.append(database.name)
        if error := errors.get(database.name):
            raise error

    run_job("tidy", _databases(), work)

    (run,) = remembered
    assert (run.job, run.outcome, run.failure, run.asked_as) == ("tidy", outcome, failure, None)
    assert worked_on == ["users", "ledger"]


def test_a_run_that_cannot_be_remembered_is_run_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "job_memory", lambda: Redis(host="127.0.0.1", port=1))
    worked = []

    async def work(_: object) -> None:
        worked.append(True)

    run_job("tidy", _databases()[:1], work)

    assert worked == [True]


class Schedule:
    """Stands in for Redis where beat has written its schedule."""

    def __init__(self, **entries: dict[str, str]) -> None:
        self._entries = entries

    def zrange(self, *_: object, **__: object) -> list[tuple[str, float]]:
        return [(name, 1000.0 + place) for place, name in enumerate(self._entries)]

    def hmget(self, key: str, *fields: str) -> list[str | None]:
        return [self._entries[key].get(field) for field in fields]


def test_the_schedule_is_read_as_beat_wrote_it() -> None:
    every = {"definition": '{"task": "tidy", "schedule": {"__type__": "interval", "every": 60.0}}'}
    once_a_day = {
        "definition": '{"task": "report", "schedule": {"__type__": "crontab", "minute": "0", "hour": "4"}}',
        "meta": '{"last_run_at": {"year": 2026, "month": 3, "day": 1, "hour": 4, "minute": 0, "second": 0,'
        ' "microsecond": 0, "timezone": "UTC"}}',
    }
    redis: Any = Schedule(tidy=every, gone={}, report=once_a_day)

    beats = list_beats(redis)

    assert [(beat.job, beat.every, beat.next_at.timestamp()) for beat in beats] == [
        ("tidy", "60 s", 1000.0),
        ("report", "0 4 * * *", 1002.0),
    ]
    assert beats[0].asked_at is None
    assert str(beats[1].asked_at) == "2026-03-01 04:00:00+00:00"
