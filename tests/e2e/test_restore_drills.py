"""Restore drills: what is lost comes back by the commands of docs/backup.md, with everything running around it."""

import asyncio
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from contracts import topics
from infra.backups.tables import connected
from infra.kafka.groups import Lag, measure_lags
from infra.local.plan import Choices
from infra.local.postgres import remove_postgres
from infra.local.stack import LocalStack
from infra.postgres.bootstrap import LedgerServerSettings, as_superuser
from infra.settings import KafkaSettings, UsersDatabaseSettings
from tests.builders.gateway import PASSWORD, Person, a_client, a_person, a_registration, code_of, signed_in
from tests.builders.settings import settings_from

pytestmark = [pytest.mark.stack, pytest.mark.chaos, pytest.mark.timeout(1200)]

WAIT = {"Prefer": "wait=10"}
LIMITS = {"CASH_LIMITS_PER_NETWORK": "1000000", "CASH_LIMITS_PER_SUBJECT": "1000000"}
KILLS = 4
#: How long a code is good that is typed before and decided again after that.
IN_TIME_S = 60.0


@dataclass(frozen=True)
class Machine:
    """A machine with a stack of its own."""

    stack: LocalStack

    def environment(self) -> Mapping[str, str]:
        return {**os.environ, **LIMITS, "CASH_HOME": str(self.stack.home.root)}

    def start_cash(self, *words: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "cli.main", *words],
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def cash(self, *words: str) -> str:
        process = self.start_cash(*words)
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, f"{words}: {out}{err}"
        return out

    def sign_in(self, username: str, password: str = PASSWORD) -> Person | None:
        with a_client(self.stack) as http:
            answer = http.post("/sessions", json={"username": username, "password": password, "client": "tests"})
            return signed_in(http, username) if answer.status_code == 201 and password == PASSWORD else None

    def can_sign_in(self, username: str, password: str) -> bool:
        with a_client(self.stack) as http:
            body = {"username": username, "password": password, "client": "tests"}
            return http.post("/sessions", json=body).status_code == httpx.codes.CREATED

    def lags(self) -> list[Lag]:
        kafka = settings_from(self.stack.environment("operator"), KafkaSettings)
        return asyncio.run(measure_lags(kafka, topics.SUBMISSION_TOPICS))

    def until_taken(self) -> None:
        until(lambda: not any(lag.records for lag in self.lags()))

    def all_is_right(self) -> None:
        """Check the books by their rules, and against the journal."""
        self.cash("ledger", "verify")
        assert json.loads(self.cash("ledger", "rebuild", "--json"))["equal"]


def until(condition: Callable[[], bool], within_s: float = 60) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def a_machine() -> Iterator[Machine]:
    folder = Path(tempfile.mkdtemp(prefix="cash-flow-drill-"))
    stack = LocalStack(folder, Choices(any_ports=True, settings=LIMITS))
    try:
        stack.start()
        yield Machine(stack)
    finally:
        stack.stop()
        remove_postgres(stack.home)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def first() -> Iterator[Machine]:
    yield from a_machine()


@pytest.fixture(scope="module")
def second() -> Iterator[Machine]:
    yield from a_machine()


@dataclass(frozen=True)
class Before:
    """What there was when the backup was made."""

    archive: Path
    person: Person
    registration_id: UUID
    code: str
    recorded: Any
    history: list[Any]
    registered_in_time: str
    in_time_until: float


def record(person: Person, key: str, amount: str = "7.00") -> httpx.Response:
    body = {"amount": amount, "category": "Bread"}
    return person.post("/transactions", body, idempotency_key=key.replace(" ", "-"), prefer="wait=10")


def history_of(person: Person) -> list[Any]:
    return list(person.get("/transactions", limit=100).json()["items"])


@pytest.fixture(scope="module")
def before(first: Machine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Before]:
    person = a_person(first.stack)
    with a_client(first.stack) as http:
        registration_id = a_registration(http)
    recorded = record(person, "the first")
    assert recorded.status_code == httpx.codes.CREATED
    for number in range(20):
        record(person, f"more {number}", f"{number + 1}.00")
    with a_client(first.stack) as http:
        hasty_id = a_registration(http)
    asyncio.run(let_codes_expire(first, hasty_id, IN_TIME_S))
    in_time_until = time.monotonic() + IN_TIME_S
    archive = tmp_path_factory.mktemp("drill") / "backup.tar"
    first.cash("backup", "create", str(archive))
    registered_in_time = finish_registration(first, hasty_id, code_of(first.stack, hasty_id))
    first.cash("backup", "verify", str(archive))
    code = code_of(first.stack, registration_id)
    with person:
        history = history_of(person)
        yield Before(
            archive, person, registration_id, code, recorded.json(), history, registered_in_time, in_time_until
        )


async def let_codes_expire(machine: Machine, registration_id: UUID, after_s: float) -> None:
    settings = settings_from(machine.stack.environment("migrate"), UsersDatabaseSettings)
    statement = "UPDATE registrations SET code_expires_at = now() + make_interval(secs => $2) WHERE id = $1"
    async with connected(settings) as connection:
        while await connection.execute(statement, registration_id, after_s) != "UPDATE 1":
            await asyncio.sleep(0.1)


def finish_registration(machine: Machine, registration_id: UUID, code: str) -> str:
    """Complete a registration with the code that was mailed; return the username."""
    with a_client(machine.stack) as http:
        path = f"/registrations/{registration_id}"
        answer = http.post(f"{path}/verify", json={"code": code}, headers=WAIT)
        assert answer.status_code == httpx.codes.OK, answer.text
        body = {"code": code, "username": f"p{uuid4().hex[:12]}", "password": PASSWORD}
        answer = http.post(f"{path}/user", json=body, headers=WAIT)
        assert answer.status_code == httpx.codes.CREATED, answer.text
        return body["username"]


def test_everything_lost_comes_back_on_another_machine(second: Machine, before: Before) -> None:
    second.cash("backup", "restore", str(before.archive))

    second.all_is_right()
    # What was given out before is worth nothing: the session is over.
    port = second.stack.ports["gateway"]
    stale = httpx.get(
        f"http://127.0.0.1:{port}/api/v1/transactions", headers=dict(before.person.http.headers), timeout=20
    )
    assert stale.status_code == httpx.codes.UNAUTHORIZED
    person = second.sign_in(before.person.username)
    assert person
    with person:
        assert history_of(person) == before.history
        # Sent again under its key, it is the same one; under a new key it is the next one.
        repeated = record(person, "the first")
        assert (repeated.headers["Idempotency-Replayed"], repeated.json()["id"]) == ("true", before.recorded["id"])
        assert record(person, "the first", "8.00").status_code == httpx.codes.UNPROCESSABLE_ENTITY
        assert record(person, "behind the backup").status_code == httpx.codes.CREATED
        assert len(history_of(person)) == len(before.history) + 1
    # The keys came along: a mailed code still opens its registration.
    assert second.can_sign_in(finish_registration(second, before.registration_id, before.code), PASSWORD)
    second.all_is_right()


def test_killed_again_and_again_it_is_restored_at_last(second: Machine, before: Before) -> None:
    chance = random.Random()
    restore = ("backup", "restore", str(before.archive), "--replace", "--yes")
    for _ in range(KILLS):
        process = second.start_cash(*restore)
        with process:
            time.sleep(chance.uniform(0.5, 8))
            process.send_signal(signal.SIGKILL)
    second.cash(*restore)

    second.all_is_right()
    person = second.sign_in(before.person.username)
    assert person
    with person:
        assert history_of(person) == before.history


def test_lost_users_come_back_with_what_they_did_since(first: Machine, before: Before) -> None:
    with a_person(first.stack) as late:
        assert record(late, "late").status_code == httpx.codes.CREATED
    changed = before.person.http.put(
        "/auth/password", json={"current_password": PASSWORD, "new_password": "another battery staple"}, headers=WAIT
    )
    assert changed.is_success, changed.text
    users = settings_from(first.stack.environment("migrate"), UsersDatabaseSettings)

    async def lose() -> None:
        async with connected(users) as connection:
            await connection.execute("TRUNCATE users, registrations, unique_names, sessions, mails, operations, outbox")

    asyncio.run(lose())
    # A code that was good when it was typed must be good when that is decided again, late.
    time.sleep(max(0.0, before.in_time_until - time.monotonic()))
    first.cash("backup", "restore", str(before.archive), "--only", "users", "--replace", "--yes")

    first.until_taken()
    assert first.can_sign_in(before.person.username, "another battery staple")
    assert not first.can_sign_in(before.person.username, PASSWORD)
    assert first.can_sign_in(before.registered_in_time, PASSWORD)
    again = first.sign_in(late.username)
    assert again
    with again:
        assert again.ledger_id == late.ledger_id
        assert len(history_of(again)) == 1
        assert record(again, "later").status_code == httpx.codes.CREATED
    first.all_is_right()


def test_a_lost_kafka_comes_back_with_its_journal(first: Machine, before: Before) -> None:
    with a_person(first.stack) as person:
        assert record(person, "before Kafka is lost").status_code == httpx.codes.CREATED
        # Whatever was accepted and not decided would be lost with it.
        first.until_taken()
        first.stack.stop()
        shutil.rmtree(first.stack.home.kafka / "data")
        first.stack.start()

        first.cash("backup", "restore", str(before.archive), "--only", "journal", "--replace", "--yes")

        first.all_is_right()
        # Its offsets begin anew, so those that the restored entries tell of count for nothing: nothing is passed over.
        for number in range(5):
            assert record(person, f"after it {number}").status_code == httpx.codes.CREATED
        first.until_taken()
        lose_the_ledger(first)
        first.cash("ledger", "rebuild", "--switch-over")
        places = [each for lag in first.lags() for each in lag.partitions]
        assert all(each.next_offset is None or each.next_offset <= each.end for each in places)
        first.until_taken()
        assert len(history_of(person)) == 6
        first.all_is_right()


def lose_the_ledger(machine: Machine) -> None:
    server = settings_from(machine.stack.environment("rebuild"), LedgerServerSettings)

    async def lose() -> None:
        async with as_superuser(server) as connection:
            await connection.execute("DROP DATABASE ledger WITH (FORCE)")

    asyncio.run(lose())
