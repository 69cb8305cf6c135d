"""The gateway as a process of its own: limits, a Redis that is down, and a clean stop."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from infra.local.stack import LocalStack
from tests.builders.gateway import PASSWORD, Person, a_person, an_address

pytestmark = pytest.mark.stack


@dataclass
class Running:
    """A gateway we started."""

    http: httpx.Client
    process: subprocess.Popen[bytes]
    log: Path

    def register(self, email: str) -> httpx.Response:
        return self.http.post("/registrations", json={"email": email, "base_currency": "EUR", "time_zone": "UTC"})


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def a_gateway(
    stack: LocalStack, folder: Path, settings: Mapping[str, str] | None = None, *, until_ready: bool = True
) -> Iterator[Running]:
    port = free_port()
    environment = {
        "PATH": os.environ["PATH"],
        **stack.environment("gateway"),
        "CASH_HTTP_PORT": str(port),
        "CASH_GATEWAY_ACCESS_LOG_EVERY": "1",
        **(settings or {}),
    }
    log = folder / "gateway.log"
    with log.open("wb") as output, httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1", timeout=20) as http:
        process = subprocess.Popen([sys.executable, "-m", "gateway"], env=environment, stdout=output, stderr=output)
        try:
            if until_ready:
                wait_for(lambda: ready(http), 30)
            yield Running(http, process, log)
        finally:
            process.kill()
            process.wait()


def ready(http: httpx.Client) -> bool:
    try:
        return http.get(str(http.base_url.copy_with(path="/health/ready"))).status_code == 200
    except httpx.TransportError:
        return False


def wait_for(condition: object, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]  # a callable
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


def test_tries_are_limited_per_address_and_per_network(stack: LocalStack, tmp_path: Path) -> None:
    limits = {"CASH_LIMITS_PER_SUBJECT": "3", "CASH_LIMITS_PER_NETWORK": "5", "CASH_LIMITS_WINDOW_S": "2"}
    clear_tries(stack)
    with a_gateway(stack, tmp_path, limits) as gateway:
        email = an_address()
        answers = [gateway.register(spelled).status_code for spelled in (email, email.upper(), email, email)]
        assert answers == [202, 202, 202, 429]
        refused = gateway.register(email)
        assert refused.headers["content-type"] == "application/problem+json"
        assert 1 <= int(refused.headers["retry-after"]) <= 2
        assert gateway.register(an_address()).status_code == 429

        time.sleep(2.1)
        assert gateway.register(email).status_code == 202
    clear_tries(stack)


def test_a_person_invites_so_often_and_no_oftener(stack: LocalStack, tmp_path: Path) -> None:
    limits = {"CASH_LIMITS_PER_SUBJECT": "3", "CASH_LIMITS_PER_NETWORK": "100", "CASH_LIMITS_WINDOW_S": "60"}
    with a_person(stack) as ann, a_person(stack) as bob:
        clear_tries(stack)
        with a_gateway(stack, tmp_path, limits) as gateway:

            def invite(person: Person) -> httpx.Response:
                return gateway.http.post(
                    f"/ledgers/{person.ledger_id}/invitations",
                    json={"email": an_address(), "role": "viewer"},
                    headers={"Authorization": person.http.headers["Authorization"]},
                )

            assert [invite(ann).status_code for _ in range(4)] == [202, 202, 202, 429]
            assert int(invite(ann).headers["retry-after"]) >= 1
            assert invite(bob).status_code == 202
    clear_tries(stack)


def clear_tries(stack: LocalStack) -> None:
    """Forget the tries of the other tests, which come from the same network."""
    import asyncio

    from infra.redis.connection import connect
    from infra.settings import RedisSettings
    from tests.builders.settings import settings_from

    async def clear() -> None:
        redis = connect(settings_from(stack.environment("gateway"), RedisSettings))
        async for key in redis.scan_iter("cash:tries:*"):
            await redis.delete(key)
        await redis.aclose()

    asyncio.run(clear())


def test_without_redis_nobody_gets_in_and_those_who_are_go_on(stack: LocalStack) -> None:
    with a_person(stack) as ann, stack.held("redis"):
        sign_in = ann.http.post("/sessions", json={"username": ann.username, "password": PASSWORD})
        assert sign_in.status_code == 503
        assert int(sign_in.headers["retry-after"]) > 0
        body = {"email": an_address(), "base_currency": "EUR", "time_zone": "UTC"}
        assert ann.http.post("/registrations", json=body).status_code == 503
        invitation = {"email": an_address(), "role": "viewer"}
        assert ann.post(f"/ledgers/{ann.ledger_id}/invitations", invitation).status_code == 503

        assert ann.record()["amount"] == "24.47"
        assert ann.get("/transactions").json()["items"]
        health = ann.get(str(ann.http.base_url.copy_with(path="/health/ready")))
        assert (health.status_code, health.json()["status"]) == (200, "ready")
        assert "Redis does not answer" in health.json()["without"]


def test_without_its_databases_reads_say_so_and_writes_too(stack: LocalStack) -> None:
    with a_person(stack) as ann:
        with stack.held("postgres"):
            reading = ann.get("/transactions")
            assert (reading.status_code, reading.headers["content-type"]) == (503, "application/problem+json")
            wait_for(lambda: write(ann).status_code == 503, 8)
            answer = ann.post("/transactions", {"amount": "1", "category": "x"}, idempotency_key="mine")
            assert answer.json()["idempotency_key"] == "mine"
        wait_for(lambda: write(ann).status_code == 202, 20)
        wait_for(lambda: ann.get("/transactions").status_code == 200, 20)


def write(person: Person) -> httpx.Response:
    return person.post("/transactions", {"amount": "1", "category": "x"})


def test_sigterm_is_a_clean_stop_and_the_log_tells_no_secret(stack: LocalStack, tmp_path: Path) -> None:
    with a_gateway(stack, tmp_path) as gateway:
        port = gateway.http.base_url.port
        with a_person(stack, port) as ann:
            ann.record()
            secrets = [ann.tokens["access_token"], ann.tokens["refresh_token"], PASSWORD]
        gateway.process.send_signal(signal.SIGTERM)

        assert gateway.process.wait(20) == 0
        lines = gateway.log.read_text().splitlines()
        for line in lines:
            event = json.loads(line)
            assert event["process"] == "gateway"
        answered = [json.loads(line) for line in lines if '"answered"' in line]
        assert any(event["route"] == "/api/v1/transactions" and event["status"] == 201 for event in answered)
        assert all(len(event["trace_id"]) == 32 for event in answered)
        for secret in [*secrets, *stack.environment("gateway").values()]:
            assert len(secret) < 12 or secret.startswith("http") or secret not in gateway.log.read_text()


def test_metrics_count_requests_by_route_and_status(stack: LocalStack) -> None:
    with a_person(stack) as ann:
        ann.record()
        metrics = ann.http.get(str(ann.http.base_url.copy_with(path="/metrics"))).text

    assert 'cash_http_requests_total{method="POST",route="/api/v1/transactions",status="201"}' in metrics
    assert "cash_publish_seconds_count" in metrics
    assert ann.username not in metrics


def test_head_answers_as_get_does_without_the_body(stack: LocalStack) -> None:
    with a_person(stack) as ann:
        ann.record()
        for path, status in (("/transactions", 200), ("/accounts", 200), ("/operations/none", 404), ("/sessions", 200)):
            head, get = ann.http.head(path), ann.http.get(path)
            assert (head.status_code, head.content) == (get.status_code, b"") == (status, b"")
            assert head.headers["content-length"] == str(len(get.content))
        assert ann.http.head(f"/ledgers/{ann.ledger_id}/events").status_code == 405
        assert ann.http.head("/registrations").status_code == 405
