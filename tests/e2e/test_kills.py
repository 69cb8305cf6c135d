"""What is killed under load, and where in its work; nothing accepted is lost, doubled, or left lying."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from datetime import UTC, datetime

import pytest
import pytest_asyncio

from contracts import topics
from contracts.topics import Topic
from infra.local.stack import LocalStack
from tests.chaos.kills import kill, kill_and_keep_away, until_gone
from tests.chaos.line import Line, open_line, until
from tests.chaos.load import Load, all_roads
from tests.chaos.mails import mails_to, register, until_all_marked, until_leased, until_mailed
from tests.chaos.pins import end_backend, frozen, locked, until_waiting
from tests.chaos.recovery import Recoveries
from tests.chaos.truth import assert_all_is_true, recorded_beyond, recorded_of, recovery_s, unsent_rows, until_open

pytestmark = [pytest.mark.stack, pytest.mark.kill]

INTERACTIVE, BULK = ("ledger-consumer", topics.LEDGER_SUBMISSIONS), ("ledger-consumer-bulk", topics.LEDGER_BULK)
LEDGERS = "SELECT FROM ledgers WHERE id = ANY($1::uuid[]) ORDER BY id FOR UPDATE"
BALANCES = "SELECT FROM balances WHERE ledger_id = ANY($1::uuid[]) ORDER BY ledger_id, account_id FOR UPDATE"
MAILED_WITHIN_S = 15.0


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def line(stack: LocalStack) -> AsyncIterator[Line]:
    async with open_line(stack) as line:
        await line.ready()
        yield line


@pytest.fixture(scope="module")
def recoveries(pytestconfig: pytest.Config) -> Iterator[Recoveries]:
    recoveries = Recoveries()
    yield recoveries
    capturing = pytestconfig.pluginmanager.getplugin("capturemanager")
    with capturing.global_and_fixture_disabled() if capturing else ExitStack():
        print(f"\nFrom the kill to the next transaction recorded:\n{recoveries}")


@asynccontextmanager
async def under_load(line: Line) -> AsyncIterator[Load]:
    """Begin a load and let everybody's ledger open; at the end wait until the supervisor sees all ready again."""
    async with Load(all_roads(line)) as load:
        await until_open(line, load)
        yield load
    await line.ready()


@pytest.mark.parametrize(
    "pin",
    [pytest.param(LEDGERS, id="with nothing written"), pytest.param(BALANCES, id="with claims and postings written")],
)
async def test_a_ledger_consumer_killed_before_its_commit_loses_and_doubles_nothing(
    line: Line, recoveries: Recoveries, pin: str
) -> None:
    async with under_load(line) as load:
        async with locked(line.ledger, pin, load.ledgers):
            await until_waiting(line.ledger, "ledger-consumer")
            killed_at = await kill(line, "ledger-consumer")
        recoveries.note("ledger consumer, before its commit", await recovery_s(line, load, killed_at))

    await assert_all_is_true(line, load)


async def test_a_ledger_consumer_killed_between_its_commit_and_its_offset_takes_nothing_twice(
    line: Line, recoveries: Recoveries
) -> None:
    group, topic = INTERACTIVE
    async with under_load(line) as load:
        # Between the two it wakes the gateways that wait, by Redis; a Redis that hangs holds it there.
        with ExitStack() as frozen_redis:
            async with locked(line.ledger, LEDGERS, load.ledgers):
                await until_waiting(line.ledger, "ledger-consumer")
                before = await recorded_of(line, topic)
                frozen_redis.enter_context(frozen(line.stack.pid("redis")))
            await until(lambda: _more_than(before, line, topic), "PostgreSQL has the batch")
            killed_at = await kill(line, "ledger-consumer")
        # What makes this the window it is meant to be: recorded, and about to be delivered again.
        assert await recorded_beyond(line, topic, await line.committed(group, topic)) > 0
        recoveries.note("ledger consumer, after its commit", await recovery_s(line, load, killed_at))

    await assert_all_is_true(line, load)


async def test_a_ledger_consumer_that_is_stopped_finishes_its_batch_and_leaves_nothing_to_deliver_again(
    line: Line, recoveries: Recoveries
) -> None:
    supervisor_log = line.stack.home.log("supervisor")
    said_before = len(supervisor_log.read_text())
    async with under_load(line) as load:
        async with locked(line.ledger, LEDGERS, load.ledgers):
            await until_waiting(line.ledger, "ledger-consumer")
            pid = line.stack.pid("ledger-consumer")
            stopped_at = await kill(line, "ledger-consumer", signal.SIGTERM)
        await until_gone(pid)
        for group, topic in (INTERACTIVE, BULK):
            assert await recorded_beyond(line, topic, await line.committed(group, topic)) == 0
        recoveries.note("ledger consumer, stopped by SIGTERM", await recovery_s(line, load, stopped_at))
    assert "ended with exit code 0" in supervisor_log.read_text()[said_before:]

    await assert_all_is_true(line, load)


async def test_a_relay_killed_after_sending_repeats_and_never_skips(line: Line, recoveries: Recoveries) -> None:
    async with under_load(line) as load:
        async with AsyncExitStack() as pinned:
            with frozen(line.stack.pid("relay")):
                await until(lambda: unsent_rows(line), "rows wait for the relay")
                await pinned.enter_async_context(locked(line.ledger, "LOCK TABLE outbox IN SHARE ROW EXCLUSIVE MODE"))
            # It sends the rows, which it reads unhindered; their mark waits for the lock.
            backend = await until_waiting(line.ledger, "relay")
            killed_at = await kill(line, "relay")
            await end_backend(line.ledger, backend)
        recoveries.note("relay, after sending and before its mark", await recovery_s(line, load, killed_at))

    journal = await assert_all_is_true(line, load)
    assert journal.repeats > 0


@pytest.mark.parametrize(
    ("server", "reasons"),
    [
        (
            "postgres",
            {"gateway": "PostgreSQL", "ledger-consumer": "PostgreSQL", "identity-consumer": "PostgreSQL", "relay": "x"},
        ),
        ("redis", {"gateway": "Redis", "celery-worker": "Redis"}),
        (
            "kafka",
            {"gateway": "Kafka", "ledger-consumer": "Kafka", "identity-consumer": "Kafka", "relay": "x"},
        ),
    ],
    ids=["PostgreSQL", "Redis", "Kafka"],
)
async def test_a_server_killed_and_away_for_a_while_is_waited_for_by_all_and_named_as_the_reason(
    line: Line, recoveries: Recoveries, server: str, reasons: dict[str, str]
) -> None:
    before = line.processes()
    async with under_load(line) as load:
        await kill_and_keep_away(line, server)
        for process, reason in reasons.items():
            why = await until(lambda process=process: line.health(process), f"{process} is not ready")
            print(server, process, why)
        back_at = datetime.now(UTC)
        await asyncio.to_thread(line.stack.release, server)
        recoveries.note(f"{server}, from its start after an outage", await recovery_s(line, load, back_at))
    assert line.processes() == before

    await assert_all_is_true(line, load)


async def test_a_gateway_killed_under_load_loses_and_doubles_nothing(line: Line, recoveries: Recoveries) -> None:
    async with under_load(line) as load:
        killed_at = await kill(line, "gateway")
        recoveries.note("gateway", await recovery_s(line, load, killed_at, road="HTTP"))

    await assert_all_is_true(line, load)


async def test_an_identity_consumer_killed_before_its_commit_registers_everybody_once(
    line: Line, recoveries: Recoveries
) -> None:
    async with locked(line.users, "LOCK TABLE mails IN SHARE ROW EXCLUSIVE MODE"):
        people = await register(line, 10)
        await until_waiting(line.users, "identity-consumer")
        killed_at = await kill(line, "identity-consumer")
    for email in people:
        await until_mailed(line, email, within_s=30)
    recoveries.note("identity consumer, until the last of 10 mails", (datetime.now(UTC) - killed_at).total_seconds())
    await until_all_marked(line)

    assert [len(await mails_to(line, email)) for email in people] == [1] * len(people)
    async with line.users.connection("count registrations") as connection:
        count = await connection.fetchval(
            "SELECT count(*) FROM registrations WHERE id = ANY($1::uuid[])", list(people.values())
        )
    assert count == len(people)
    await line.ready()


async def test_a_worker_killed_while_it_hands_a_mail_over_sends_it_once_within_15_seconds(
    line: Line, recoveries: Recoveries
) -> None:
    with frozen(line.stack.pid("mailbox")):
        ((email, registration_id),) = (await register(line)).items()
        await until_leased(line, registration_id)
        killed_at = await kill(line, "celery-worker")
    await until_mailed(line, email, within_s=30)
    waited_s = (datetime.now(UTC) - killed_at).total_seconds()
    recoveries.note("worker, until the mail in its hands is out", waited_s)
    await until_all_marked(line)

    assert waited_s < MAILED_WITHIN_S
    assert len(await mails_to(line, email)) == 1
    await line.ready()


async def test_a_worker_killed_before_it_marks_a_mail_sends_the_very_same_again(line: Line) -> None:
    with frozen(line.stack.pid("mailbox")):
        ((email, registration_id),) = (await register(line)).items()
        await until_leased(line, registration_id)
        marking = locked(line.users, "SELECT FROM mails WHERE registration_id = $1 FOR UPDATE", registration_id)
        await marking.__aenter__()
    await until_mailed(line, email)
    backend = await until_waiting(line.users, "celery-worker")
    await kill(line, "celery-worker")
    await end_backend(line.users, backend)
    await marking.__aexit__(None, None, None)
    await until_mailed(line, email, count=2, within_s=30)
    await until_all_marked(line)

    first, second = await mails_to(line, email)
    assert first["message_id"] == second["message_id"]
    assert first["text"] == second["text"]
    await line.ready()


async def _more_than(before: int, line: Line, topic: Topic) -> bool:
    return await recorded_of(line, topic) > before
