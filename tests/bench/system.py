"""The running system as the bench sees it: its settings, people to act as, and when it has nothing left to do."""

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from uuid import UUID, uuid4

import asyncpg
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from contracts import topics
from contracts.ledgers import personal_ledger_id
from contracts.topics import Topic
from gateway.settings import GatewaySettings
from gateway.tokens import Tokens
from infra.kafka.connection import connection_arguments
from infra.local.processes import PROJECT
from infra.local.stack import LocalStack
from infra.settings import KafkaSettings, LedgerDatabaseSettings
from tests.bench import bare_line
from tests.bench.histories import History
from tests.bench.http_load import HOST
from tests.builders.gateway import a_bulk_grant
from tests.builders.settings import settings_from

#: Which group takes what from which topic: where the work of the ledger consumer waits.
GROUPS: Mapping[str, Topic] = {
    "ledger-consumer": topics.LEDGER_SUBMISSIONS,
    "ledger-consumer-bulk": topics.LEDGER_BULK,
}
SCRATCH_TOPIC = "bench.bulk"
QUIET_WITHIN_S = 120.0
CURRENCY, ZONE = "EUR", "Europe/Berlin"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with a ledger of their own, a session's token and a bulk grant for that ledger."""

    user_id: UUID
    token: str
    grant: str

    @property
    def ledger_id(self) -> UUID:
        return personal_ledger_id(self.user_id)

    @property
    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


@dataclass(frozen=True, slots=True)
class Reader:
    """Somebody with a long history in their ledger."""

    person: Person
    history: History


class System:
    """What the bench holds of a running stack."""

    def __init__(self, stack: LocalStack) -> None:
        self.stack = stack
        #: By the number of their transactions.
        self.readers: dict[int, Reader] = {}

    @property
    def gateway_port(self) -> int:
        return self.stack.ports["gateway"]

    @cached_property
    def kafka(self) -> KafkaSettings:
        return settings_from(self.stack.environment("bootstrap-kafka"), KafkaSettings)

    def a_person(self) -> Person:
        """Make somebody up: tokens are signed as the gateway signs them, so nobody has to register."""
        user_id = uuid4()
        environment = self.stack.environment("gateway")
        token = Tokens(settings_from(environment, GatewaySettings)).access_token(
            user_id=user_id, session_id=uuid4(), username="bench", currency=CURRENCY, zone=ZONE
        )
        return Person(user_id, token, a_bulk_grant(environment, user_id))

    async def connect(self, role: str, database: str = "ledger") -> "asyncpg.Connection[asyncpg.Record]":
        """Connect to a database as ``migrator``, ``consumer`` or ``gateway``."""
        return await asyncpg.connect(**self.connection_arguments(role, database))

    def connection_arguments(self, role: str, database: str = "ledger", **server: str) -> dict[str, Any]:
        settings = settings_from(self.stack.recipes.database(database, role), LedgerDatabaseSettings)
        return {
            "host": settings.host,
            "port": settings.port,
            "database": settings.name,
            "user": settings.user,
            "password": settings.password.get_secret_value(),
            "server_settings": {"timezone": "UTC", **server},
        }

    @asynccontextmanager
    async def admin(self) -> AsyncIterator[AIOKafkaAdminClient]:
        admin = AIOKafkaAdminClient(**connection_arguments(self.kafka, "bench"))
        await admin.start()
        try:
            yield admin
        finally:
            await admin.close()

    async def prepare_scratch(self) -> None:
        """Make the topics and the schema that the floors write to."""
        async with self.admin() as admin:
            await admin.create_topics([NewTopic(name, 12, 1) for name in (bare_line.TOPIC, SCRATCH_TOPIC)])
        connection = await self.connect("migrator")
        try:
            await connection.execute(f"CREATE SCHEMA bench; {bare_line.TABLE}")
            for table in ("transactions", "transaction_tags", "postings"):
                await connection.execute(f"CREATE TABLE bench.{table} (LIKE public.{table} INCLUDING ALL)")
        finally:
            await connection.close()

    async def quiet(self) -> None:
        """Wait until the ledger consumer has taken everything and the relay has sent everything."""
        connection = await self.connect("consumer")
        try:
            async with self.admin() as admin, asyncio.timeout(QUIET_WITHIN_S):
                for group, topic in GROUPS.items():
                    written = await self.written(topic)
                    while await committed(admin, group, topic) < written:
                        await asyncio.sleep(0.05)
                while await connection.fetchval("SELECT EXISTS (SELECT FROM outbox WHERE sent_at IS NULL)"):
                    await asyncio.sleep(0.05)
        finally:
            await connection.close()

    async def written(self, topic: Topic) -> int:
        """Return how many records were written to a topic since it was made."""
        consumer = AIOKafkaConsumer(topic.name, **connection_arguments(self.kafka, "bench"))
        await consumer.start()
        try:
            ends = await consumer.end_offsets(consumer.assignment())
        finally:
            await consumer.stop()
        return sum(ends.values())


async def committed(admin: AIOKafkaAdminClient, group: str, topic: Topic) -> int:
    """Return how many records of a topic a group has taken and committed."""
    offsets = await admin.list_consumer_group_offsets(group)
    return sum(committed.offset for at, committed in offsets.items() if at.topic == topic.name and committed.offset > 0)


@contextmanager
def running(module: str, *arguments: str, environment: Mapping[str, str], port: int | None = None) -> Iterator[int]:
    """Run a module as a process of its own for as long as the block lasts, wait until it listens; yield its pid."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=PROJECT,
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 30
        while port is not None:
            try:
                socket.create_connection((HOST, port), timeout=1).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"{module} does not listen") from None
                time.sleep(0.05)
        yield process.pid
    finally:
        process.terminate()
        process.wait(30)


def free_ports(count: int) -> Sequence[int]:
    """Return ports nobody listens on now."""
    sockets = [socket.create_server((HOST, 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
