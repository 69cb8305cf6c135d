"""A test's own connections to a running stack: it submits, looks into the tables, reads topics, asks for health."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx
from aiokafka.admin import AIOKafkaAdminClient
from prometheus_client.parser import text_string_to_metric_families

from contracts.topics import Topic
from infra.deployment.recipes import COMMANDS
from infra.errors import Unavailable
from infra.kafka.connection import connection_arguments
from infra.kafka.producer import Producer
from infra.local.stack import LocalStack
from infra.postgres.engine import Database
from infra.settings import KafkaSettings, LedgerDatabaseSettings, UsersDatabaseSettings
from tests.builders.kafka import read_whole
from tests.builders.settings import settings_from

T = TypeVar("T")

POLL_S = 0.05


@dataclass(frozen=True)
class Line:
    """What a test holds of a running stack."""

    stack: LocalStack
    kafka: KafkaSettings
    producer: Producer
    importer: Producer
    ledger: Database
    users: Database
    http: httpx.AsyncClient

    async def committed(self, group: str, topic: Topic) -> dict[int, int]:
        """Return a consumer group's committed offset of each partition."""
        admin = AIOKafkaAdminClient(**connection_arguments(self.kafka, "tests"))
        await admin.start()
        try:
            offsets = await admin.list_consumer_group_offsets(group)
        finally:
            await admin.close()
        return {at.partition: committed.offset for at, committed in offsets.items() if at.topic == topic.name}

    async def read_whole(self, topic: Topic) -> list[Any]:
        """Read a topic from its beginning to its present end."""
        return await read_whole(self.kafka, topic.name)

    async def health(self, process: str) -> list[str]:
        """Return why a process is not ready, nothing when it is."""
        try:
            answer = await self.http.get(f"http://127.0.0.1:{self.stack.ports[process]}/health/ready")
        except httpx.HTTPError as error:
            return [type(error).__name__]
        return [] if answer.status_code == httpx.codes.OK else list(map(str, answer.json()["because"]))

    async def until_unready(self, process: str, reason: str, within_s: float = 20) -> None:
        """Wait until a process says that it is not ready, and because of what."""

        async def says_so() -> bool:
            return any(reason in why for why in await self.health(process))

        await until(says_so, f"{process} is not ready because of “{reason}”", within_s)

    async def metric(self, process: str, name: str, **labels: str) -> float:
        """Return the sum of a metric's samples with these labels since the process began."""
        page = await self.http.get(f"http://127.0.0.1:{self.stack.ports[process]}/metrics")
        return sum(
            sample.value
            for family in text_string_to_metric_families(page.text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def processes(self) -> dict[str, tuple[int | None, int]]:
        """Return pid and restarts of each process of ours: equal twice means that none was started again."""
        state = self.stack.state()
        assert state is not None
        return {name: (state.processes[name].pid, state.processes[name].restarts) for name in COMMANDS}

    async def ready(self, within_s: float = 60) -> None:
        """Wait until the supervisor has seen every process ready."""
        await asyncio.to_thread(self.stack.wait_ready, within_s)


@asynccontextmanager
async def open_line(stack: LocalStack) -> AsyncIterator[Line]:
    """Connect to a running stack."""
    environment = stack.environment("celery-worker")
    kafka = settings_from(stack.environment("operator"), KafkaSettings)
    producer = Producer(settings_from(stack.environment("gateway"), KafkaSettings), client_id="tests")
    importer = Producer(settings_from(stack.environment("importer"), KafkaSettings), client_id="tests")
    ledger = Database(settings_from(environment, LedgerDatabaseSettings), application="tests")
    users = Database(settings_from(environment, UsersDatabaseSettings), application="tests")
    await ledger.start()
    await users.start()
    async with httpx.AsyncClient(timeout=5) as http:
        try:
            yield Line(stack, kafka, producer, importer, ledger, users, http)
        finally:
            await producer.stop()
            await importer.stop()
            await ledger.stop()
            await users.stop()


async def until(found: Callable[[], Awaitable[T]], what: str, within_s: float = 15) -> T:
    """Ask until the answer is truthy and return it; a server that is away meanwhile is asked again."""
    deadline = time.monotonic() + within_s
    while True:
        with suppress(Unavailable):
            if answer := await found():
                return answer
        assert time.monotonic() < deadline, f"{what}: not within {within_s:.0f} s"
        await asyncio.sleep(POLL_S)
