"""The local stack's servers, started, hit and healed; our own processes have their own tests."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest
import redis
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from cli.terminal.output import ExitCode
from infra.local.doctor import examine
from infra.local.home import StackError
from infra.local.orphans import find_orphans
from infra.local.plan import SERVERS, Choices
from infra.local.postgres import remove_postgres
from infra.local.processes import PROJECT, inherited
from infra.local.stack import LocalStack
from infra.local.state import Lock
from infra.local.status import look

MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def servers() -> Iterator[LocalStack]:
    folder = Path(tempfile.mkdtemp(prefix="cash-flow servers ä "))
    stack = LocalStack(folder, Choices(processes=SERVERS, any_ports=True))
    stack.start()
    yield stack
    stack.stop()
    remove_postgres(stack.home)
    shutil.rmtree(folder)


def cash(stack: LocalStack, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a person would, on this stack."""
    chosen = {name: os.environ[name] for name in ("CASH_CACHE",) if name in os.environ}
    environment = inherited() | chosen | {"CASH_HOME": str(stack.home.root)}
    command = [sys.executable, "-m", "cli.main", *arguments]
    return subprocess.run(
        command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False, timeout=100
    )


def test_status_is_good_while_all_is_ready(servers: LocalStack) -> None:
    told = cash(servers, "status", "--json")

    assert told.returncode == ExitCode.OK
    seen = json.loads(told.stdout)
    assert seen["ready"]
    assert [process["name"] for process in seen["processes"]] == ["postgres", "redis", "kafka", "mailbox", "supervisor"]
    assert {process["state"] for process in seen["processes"]} == {"ready"}
    assert sum(process["memory_bytes"] for process in seen["processes"]) < 450 * MEGABYTE


def test_doctor_finds_nothing_wrong(servers: LocalStack) -> None:
    assert [finding for finding in examine(servers.home) if not finding.ok] == []


def test_starting_twice_is_harmless(servers: LocalStack) -> None:
    before = servers.pid("kafka")

    servers.start()
    told = cash(servers, "up", "-d")

    assert told.returncode == ExitCode.OK
    assert "running already" in told.stderr
    assert servers.pid("kafka") == before


async def test_nobody_signs_in_without_the_password(servers: LocalStack) -> None:
    environment = servers.environment("gateway")
    address = environment["CASH_KAFKA_BOOTSTRAP_SERVERS"]
    stranger = {"sasl_mechanism": "SCRAM-SHA-512", "sasl_plain_username": "gateway", "sasl_plain_password": "wrong"}
    for how in ({"security_protocol": "PLAINTEXT"}, {"security_protocol": "SASL_PLAINTEXT", **stranger}):
        admin = AIOKafkaAdminClient(bootstrap_servers=address, request_timeout_ms=3000, **how)
        with pytest.raises(KafkaError):
            await admin.start()
        await admin.close()
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(
            host="127.0.0.1", port=servers.ports["postgres"], user="postgres", password="x", database="users", ssl=False
        )
    with redis.Redis("127.0.0.1", servers.ports["redis"]) as client, pytest.raises(redis.AuthenticationError):
        client.ping()


async def test_topics_are_never_made_by_accident(servers: LocalStack) -> None:
    environment = servers.environment("gateway")
    producer = AIOKafkaProducer(
        bootstrap_servers=environment["CASH_KAFKA_BOOTSTRAP_SERVERS"],
        security_protocol=environment["CASH_KAFKA_SECURITY_PROTOCOL"],
        sasl_mechanism=environment["CASH_KAFKA_SASL_MECHANISM"],
        sasl_plain_username=environment["CASH_KAFKA_SASL_USERNAME"],
        sasl_plain_password=environment["CASH_KAFKA_SASL_PASSWORD"],
        request_timeout_ms=2000,
    )
    await producer.start()
    try:
        with pytest.raises(KafkaError):
            await producer.send_and_wait("misspelt", b"x")
    finally:
        await producer.stop()


async def test_database_roles_cannot_read_the_other_database(servers: LocalStack) -> None:
    environment = servers.environment("relay")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await asyncpg.connect(
            host="127.0.0.1",
            port=servers.ports["postgres"],
            user="ledger_consumer",
            password=environment["CASH_LEDGER_DB_PASSWORD"],
            database="users",
            ssl=False,
        )


def test_postgres_never_runs_as_root(servers: LocalStack) -> None:
    process = psutil.Process(servers.pid("postgres"))

    assert 0 not in (*process.uids(), *process.gids())
    told = Path(f"/proc/{process.pid}/status")
    if os.geteuid() == 0 and told.exists():
        assert re.search(r"^Groups:\s*$", told.read_text(), re.MULTILINE)


@pytest.mark.parametrize("name", ["redis", "postgres", "kafka", "mailbox"])
def test_killed_server_comes_back(servers: LocalStack, name: str) -> None:
    before = servers.pid(name)

    servers.kill(name)
    psutil.wait_procs([psutil.Process(before)] if psutil.pid_exists(before) else [], timeout=10)
    servers.wait_for_restart(name, before)

    assert servers.pid(name) != before


def test_queue_outlives_a_kill(servers: LocalStack) -> None:
    settings = servers.environment("celery-worker")

    def client() -> redis.Redis:
        return redis.Redis("127.0.0.1", servers.ports["redis"], password=settings["CASH_REDIS_PASSWORD"])

    with client() as before:
        before.rpush("queue", "task")
    pid = servers.pid("redis")
    servers.kill("redis")
    servers.wait_for_restart("redis", pid)
    with client() as after:
        assert after.lrange("queue", 0, -1) == [b"task"]


def test_stack_whose_supervisor_was_killed_is_ended_and_started_again(servers: LocalStack) -> None:
    state = servers.state()
    assert state is not None
    servers_before = [psutil.Process(servers.pid(name)) for name in SERVERS]
    os.kill(state.supervisor_pid, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(state.supervisor_pid)] if psutil.pid_exists(state.supervisor_pid) else [], 10)

    told = cash(servers, "status")
    assert told.returncode == ExitCode.NOT_READY
    assert "unsupervised" in told.stdout
    # Without the state file only the processes themselves say whose they are.
    (servers.home.run / "state.json").write_text('{"cut sho')
    servers.start()

    assert not any(process.is_running() for process in servers_before)
    assert look(servers.home).ready


def test_everything_ends_and_data_is_never_thrown_away_unasked(servers: LocalStack) -> None:
    assert cash(servers, "down").returncode == ExitCode.OK
    assert find_orphans(servers.home) == []
    assert cash(servers, "status").returncode == ExitCode.NOT_READY
    assert cash(servers, "down").stdout == "Nothing was running.\n"

    mark = servers.home.postgres.resolve() / "data" / "PG_VERSION"
    aside = mark.with_name("aside")
    mark.rename(aside)
    with pytest.raises(StackError, match="is damaged"):
        servers.start()
    aside.rename(mark)
    (mark.with_name("postmaster.pid")).write_text("1\nstale\n")

    servers.start()

    assert look(servers.home).ready


def test_failed_start_gives_the_lock_back(servers: LocalStack) -> None:
    servers.stop()
    secrets = servers.home.secrets.read_text()
    servers.home.secrets.write_text("damaged")
    with pytest.raises(StackError):
        servers.start()
    lock = Lock.take(servers.home)
    assert lock is not None
    lock.release()
    servers.home.secrets.write_text(secrets)


def test_reset_deletes_all_of_ours_and_nothing_else(servers: LocalStack) -> None:
    servers.stop()
    stranger = servers.home.root / "holiday.jpg"
    stranger.write_text("not ours")

    refused = subprocess.run(
        [sys.executable, "-m", "cli.main", "reset"],
        cwd=PROJECT,
        env=inherited() | {"CASH_HOME": str(servers.home.root)},
        input="n\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == ExitCode.FAILED
    assert servers.home.secrets.exists()

    assert cash(servers, "reset", "--yes").returncode == ExitCode.OK
    assert {path.name for path in servers.home.root.iterdir()} == {"holiday.jpg", servers.home.marker.name}
