"""A backlog is shared by more consumers, and one that is restarted keeps nobody waiting for long: ``make chaos``."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from itertools import pairwise
from uuid import uuid4

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from contracts import topics
from infra.kafka.groups import measure_lags
from infra.local.stack import LocalStack
from infra.settings import KafkaSettings
from tests.builders.gateway import Person, a_person
from tests.builders.settings import settings_from
from tests.builders.submissions import a_submission
from tests.chaos.line import Line, open_line, until
from tests.chaos.load import BulkRoad, Sent
from tests.upgrade.processes import THIS_VERSION, Another, beside

pytestmark = [pytest.mark.stack, pytest.mark.chaos, pytest.mark.timeout(600)]

RECORDS = int(os.environ.get("CASH_SCALE_OUT_RECORDS", "40000"))
PEOPLE = 120
TOPIC = topics.LEDGER_BULK
#: Twelve partitions between two.
SHARE = topics.PARTITIONS // 2
Say = Callable[[str], None]


@pytest.fixture
def without_consumer(stack: LocalStack) -> Iterator[LocalStack]:
    """The stack without its own ledger consumer, which has a name in its groups; those of a deployment have none."""
    with stack.held("ledger-consumer"):
        yield stack


async def lag_of(line: Line) -> int:
    operator = settings_from(line.stack.environment("operator"), KafkaSettings)
    (lag,) = await measure_lags(operator, [TOPIC])
    return lag.records


async def metric(another: Another, name: str, topic: str) -> float:
    async with httpx.AsyncClient() as http:
        page = (await http.get(f"http://127.0.0.1:{another.port}/metrics")).text
    return sum(
        sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name == name and sample.labels.get("topic") == topic
    )


async def a_backlog(line: Line) -> list[Sent]:
    """Import for many people, while nobody consumes."""
    road = BulkRoad(line.importer, line.stack.environment("gateway"), people=PEOPLE)
    sent = []
    for number in range(RECORDS):
        user_id = road.users[number % PEOPLE]
        message = a_submission(user_id, amount="1.00", category="Books")
        sent.append(Sent(user_id, str(uuid4()), message, 100, datetime.now(UTC), road.name))
    for first in range(0, RECORDS, 2000):
        await road.submit(sent[first : first + 2000])
    return sent


async def test_two_consumers_share_a_backlog_and_its_lag_falls(without_consumer: LocalStack, say: Say) -> None:
    async with open_line(without_consumer) as line:
        sent = await a_backlog(line)
        began, backlog = time.monotonic(), await lag_of(line)
        assert backlog >= RECORDS
        with beside(without_consumer) as others:
            seen: list[tuple[float, int, int]] = []

            async def watch(consumers: int, down_to: int) -> None:
                first: tuple[float, int] | None = None
                while (lag := await lag_of(line)) > down_to:
                    at = time.monotonic()
                    seen.append((at - began, consumers, lag))
                    if first is None and lag < backlog:
                        first = at, lag
                    await asyncio.sleep(0.5)
                assert first is not None
                rate = (first[1] - lag) / (time.monotonic() - first[0])
                say(f"{consumers} consumer(s): lag from {first[1]:,} to {lag:,}, {rate:,.0f} records a second")

            one = others.start(THIS_VERSION, "ledger-consumer", "--topics", "bulk")
            await one.ready()
            await watch(1, backlog * 2 // 3)
            another = others.start(THIS_VERSION, "ledger-consumer", "--topics", "bulk")
            await another.ready()
            await watch(2, 0)
            for at, consumers, lag in seen[:: max(1, len(seen) // 12)]:
                say(f"{at:6.1f} s, {consumers} consumer(s): {lag:,} records wait")

            for each in (one, another):
                assert await metric(each, "cash_consumer_partitions", TOPIC.name) == SHARE
            assert all(earlier[2] >= later[2] for earlier, later in pairwise(seen))
            paused = await metric(one, "cash_consumer_rebalance_seconds_sum", TOPIC.name)
            say(f"the first had no partitions for {paused:.2f} s when the second came")
            await asyncio.to_thread(another.leave)

            async def has_all() -> bool:
                return await metric(one, "cash_consumer_partitions", TOPIC.name) == topics.PARTITIONS

            left_at = time.monotonic()
            await until(has_all, "the one that stays has all partitions", 5)
            say(f"and all of them {time.monotonic() - left_at:.2f} s after the second was gone")
        async with line.ledger.connection("count what was recorded") as connection:
            recorded = await connection.fetchval(
                "SELECT count(*) FROM transactions WHERE operation_id = ANY($1::uuid[])",
                [one.operation_id for one in sent],
            )
        assert recorded == RECORDS


async def test_people_hardly_wait_while_consumers_are_restarted(without_consumer: LocalStack, say: Say) -> None:
    with beside(without_consumer) as others, a_person(without_consumer) as ann:
        running = [others.start(THIS_VERSION, "ledger-consumer", "--topics", "interactive") for _ in range(2)]
        for each in running:
            await each.ready()
        async with asking(ann, without_consumer) as waited_s:
            await asyncio.sleep(4)
            say(f"at rest: {_figures(waited_s)}")
            waited_s.clear()
            for leaving in running:
                coming = others.start(THIS_VERSION, "ledger-consumer", "--topics", "interactive")
                await coming.ready()
                await asyncio.to_thread(leaving.leave)
            await asyncio.sleep(1)
            say(f"two consumers replaced, one after the other: {_figures(waited_s)}")
            # A member that left without a word would be missed after six seconds.
            assert max(waited_s) < 6


@asynccontextmanager
async def asking(ann: Person, stack: LocalStack) -> AsyncIterator[list[float]]:
    """Record all the time, on different ledgers' partitions, and yield how long each waited for the decision."""
    waited_s: list[float] = []
    people = [ann, *(a_person(stack) for _ in range(7))]

    async def ask(person: Person, http: httpx.AsyncClient) -> None:
        headers = {"Authorization": person.http.headers["Authorization"], "Prefer": "wait=20"}
        while True:
            began = time.monotonic()
            answer = await http.post("/transactions", json={"amount": "1", "category": "Rent"}, headers=headers)
            assert answer.status_code == 201, answer.text
            waited_s.append(time.monotonic() - began)
            await asyncio.sleep(0.05)

    async with httpx.AsyncClient(base_url=str(ann.http.base_url), timeout=30) as http:
        tasks = [asyncio.create_task(ask(person, http)) for person in people]
        try:
            yield waited_s
        finally:
            for task in tasks:
                task.cancel()
            for task in tasks:
                with suppress(asyncio.CancelledError):
                    await task
            for person in people[1:]:
                person.http.close()


def _figures(waited_s: list[float]) -> str:
    ordered = sorted(waited_s)
    p50, p99 = (ordered[int(len(ordered) * share)] * 1000 for share in (0.5, 0.99))
    return f"{len(ordered)} requests, p50 {p50:.0f} ms, p99 {p99:.0f} ms, longest {ordered[-1] * 1000:.0f} ms"
