"""What is killed under load, and where in its work; nothing accepted is lost, doubled, or left lying.

Neighbouring tests kill different processes: the supervisor waits longer and longer for one that dies again and again.
"""

import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio

from contracts import topics
from contracts.dead_letters import replay_headers
from contracts.ledgers import personal_ledger_id
from contracts.topics import Topic
from infra.local.stack import LocalStack
from tests.builders.dead_letters import let_fail, send
from tests.builders.submissions import a_record, a_submission
from tests.chaos.kills import another, kept_away, kill, until_gone
from tests.chaos.line import Line, open_line, until
from tests.chaos.load import Load, all_roads
from tests.chaos.mails import mails_to, register, until_all_marked, until_leased, until_mailed
from tests.chaos.pins import backends, end_backend, frozen, locked, until_waiting
from tests.chaos.recovery import Recoveries, seconds_since
from tests.chaos.truth import assert_all_is_true, recorded_beyond, recorded_of, recovery_s, unsent_rows, until_open

#: Generous, for a machine that does other things too; alone they take seconds each.
pytestmark = [pytest.mark.stack, pytest.mark.kill, pytest.mark.timeout(300)]

INTERACTIVE, BULK = ("ledger-consumer", topics.LEDGER_SUBMISSIONS), ("ledger-consumer-bulk", topics.LEDGER_BULK)
LEDGERS = "SELECT FROM ledgers WHERE id = ANY($1::uuid[]) ORDER BY id FOR UPDATE"
BALANCES = "SELECT FROM balances WHERE ledger_id = ANY($1::uuid[]) ORDER BY ledger_id, account_id FOR UPDATE"
OUTBOX, MAILS = (f"LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE" for table in ("outbox", "mails"))
MAILED_WITHIN_S = 15.0


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def line(stack: LocalStack) -> AsyncIterator[Line]:
    async with open_line(stack) as line:
        await line.ready()
        yield line


@asynccontextmanager
async def under_load(line: Line) -> AsyncIterator[Load]:
    """Begin a load and let everybody's ledger open; at the end wait until the supervisor sees all ready again."""
    async with Load(all_roads(line)) as load:
        await until_open(line, load)
        yield load
    await line.ready()


async def test_a_ledger_consumer_killed_with_nothing_written_loses_and_doubles_nothing(
    line: Line, recoveries: Recoveries
) -> None:
    async with under_load(line) as load:
        async with locked(line.ledger, LEDGERS, load.ledgers):
            await until_waiting(line.ledger, "ledger-consumer")
            killed_at = await kill(line, "ledger-consumer")
        recoveries.note("ledger consumer, with nothing written", await recovery_s(line, load, killed_at))

    await assert_all_is_true(line, load)


async def test_a_relay_killed_after_sending_and_before_its_mark_repeats_and_never_skips(line: Line) -> None:
    async with under_load(line) as load, AsyncExitStack() as marking:
        with frozen(line.stack.pid("relay")):
            await until(lambda: unsent_rows(line), "rows wait for the relay")
            await marking.enter_async_context(locked(line.ledger, OUTBOX))
        # It reads the rows unhindered and sends them; their mark waits for the lock.
        backend = await until_waiting(line.ledger, "relay")
        await kill(line, "relay")
        await end_backend(line.ledger, backend)

    journal = await assert_all_is_true(line, load)
    assert journal.repeats > 0


async def test_a_worker_killed_while_it_hands_a_mail_over_sends_it_once_within_15_seconds(
    line: Line, recoveries: Recoveries
) -> None:
    with frozen(line.stack.pid("mailbox")):
        ((email, registration_id),) = (await register(line)).items()
        await until_leased(line, registration_id)
        killed_at = await kill(line, "celery-worker")
    await until_mailed(line, email, within_s=30)
    waited_s = seconds_since(killed_at)
    recoveries.note("worker, until the mail in its hands is out", waited_s)
    await until_all_marked(line)

    assert len(await mails_to(line, email)) == 1
    assert waited_s < MAILED_WITHIN_S
    await line.ready()


async def test_a_ledger_consumer_killed_with_all_but_the_totals_written_loses_and_doubles_nothing(
    line: Line, recoveries: Recoveries
) -> None:
    async with under_load(line) as load:
        async with locked(line.ledger, BALANCES, load.ledgers):
            await until_waiting(line.ledger, "ledger-consumer")
            killed_at = await kill(line, "ledger-consumer")
        recoveries.note("ledger consumer, with postings written", await recovery_s(line, load, killed_at))

    await assert_all_is_true(line, load)


async def test_a_ledger_consumer_killed_while_it_takes_a_replay_records_it_once(line: Line) -> None:
    user_id = uuid4()
    record = a_record(a_submission(user_id, amount="66.60"), user_id)
    letter = await let_fail(line.stack, user_id, record)
    states = "SELECT state FROM operations WHERE subject_id = $1 ORDER BY state"
    balances = "SELECT balance_minor FROM balances WHERE ledger_id = $1 AND balance_minor > 0"

    async def asked(statement: str) -> list[Any]:
        async with line.ledger.connection("ask") as connection:
            return [row[0] for row in await connection.fetch(statement, personal_ledger_id(user_id))]

    async def first_is_recorded() -> bool:
        return await asked(balances) == [100]

    async def all_is_recorded() -> bool:
        return await asked(states) == ["recorded", "recorded"]

    await until(first_is_recorded, "the ledger opened")
    async with locked(line.ledger, BALANCES, [personal_ledger_id(user_id)]):
        headers = replay_headers(record.headers, letter)
        await send(line.stack, [replace(record, headers=headers, partition=letter.partition)])
        # It has claimed the operation, and has not committed.
        await until_waiting(line.ledger, "ledger-consumer")
        await kill(line, "ledger-consumer")
        assert await asked(states) == ["failed", "recorded"]
    await until(all_is_recorded, "the replay is recorded")

    assert await asked(balances) == [6760]
    await line.ready()


@pytest.mark.parametrize(
    ("server", "reasons"),
    [
        pytest.param(
            "postgres",
            {
                "gateway": "the ledger database does not answer",
                "ledger-consumer": "PostgreSQL",
                "identity-consumer": "PostgreSQL",
                "relay": "connect to ledger",
            },
            id="PostgreSQL",
        ),
        pytest.param(
            "kafka",
            {
                "gateway": "Kafka does not answer",
                "ledger-consumer": "ledger.submissions: Kafka does not answer",
                "identity-consumer": "identity.submissions: Kafka does not answer",
                "relay": "Kafka does not answer",
            },
            id="Kafka",
        ),
    ],
)
async def test_a_server_killed_and_away_for_a_while_is_waited_for_and_named_as_the_reason(
    line: Line, recoveries: Recoveries, server: str, reasons: Mapping[str, str]
) -> None:
    before = line.processes()
    async with under_load(line) as load:
        async with kept_away(line, server):
            for process, reason in reasons.items():
                await line.until_unready(process, reason)
            started_at = datetime.now(UTC)
        answers_at = datetime.now(UTC)
        recoveries.note(f"{server}, from its start until it answers", (answers_at - started_at).total_seconds())
        recoveries.note(f"{server}, from when it answers", await recovery_s(line, load, answers_at))

    assert line.processes() == before, "somebody had to be started again"
    await assert_all_is_true(line, load)


async def test_without_redis_recording_goes_on(line: Line, recoveries: Recoveries) -> None:
    before = line.processes()
    async with under_load(line) as load, kept_away(line, "redis") as killed_at:
        for road in load.roads:
            recoveries.note(f"redis away, by {road}", await recovery_s(line, load, killed_at, road))
        await line.until_unready("celery-worker", "Redis")
        assert await line.health("gateway") == []

    assert line.processes() == before, "somebody had to be started again"
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


async def test_an_identity_consumer_killed_before_its_commit_registers_everybody_once(
    line: Line, recoveries: Recoveries
) -> None:
    async with locked(line.users, MAILS):
        people = await register(line, 10)
        await until_waiting(line.users, "identity-consumer")
        killed_at = await kill(line, "identity-consumer")
    for email in people:
        await until_mailed(line, email, within_s=30)
    recoveries.note("identity consumer, until the last of 10 mails", seconds_since(killed_at))
    await until_all_marked(line)

    assert [len(await mails_to(line, email)) for email in people] == [1] * len(people)
    async with line.users.connection("count registrations") as connection:
        count = await connection.fetchval(
            "SELECT count(*) FROM registrations WHERE id = ANY($1::uuid[]) AND state = 'pending'", list(people.values())
        )
    assert count == len(people)
    await line.ready()


async def test_a_worker_killed_before_it_marks_a_mail_sends_the_very_same_again(line: Line) -> None:
    async with AsyncExitStack() as marking:
        with frozen(line.stack.pid("mailbox")):
            ((email, registration_id),) = (await register(line)).items()
            await until_leased(line, registration_id)
            this_mail = "SELECT FROM mails WHERE registration_id = $1 FOR UPDATE"
            await marking.enter_async_context(locked(line.users, this_mail, registration_id))
        await until_mailed(line, email)
        backend = await until_waiting(line.users, "celery-worker")
        await kill(line, "celery-worker")
        await end_backend(line.users, backend)
    await until_mailed(line, email, count=2, within_s=30)
    await until_all_marked(line)

    first, second = await mails_to(line, email)
    assert first["MessageID"] == second["MessageID"]
    assert first["Text"] == second["Text"]
    await line.ready()


async def test_a_ledger_consumer_that_hangs_in_a_batch_which_another_gets_and_is_killed_takes_nothing_twice(
    line: Line,
) -> None:
    async with under_load(line) as load:
        with ExitStack() as hanging:
            async with locked(line.ledger, LEDGERS, load.ledgers):
                await until_waiting(line.ledger, "ledger-consumer")
                its_own = await backends(line.ledger, "ledger-consumer")
                hanging.enter_context(frozen(line.stack.pid("ledger-consumer")))
            # It has the rows now and does not go on; Kafka gives its partitions away when its session is over.
            async with another(line, "ledger-consumer"):
                await until_waiting(line.ledger, "ledger-consumer", 40, besides=its_own)
                hanging.close()
                await load.until_accepted(50)

    await assert_all_is_true(line, load)


async def test_a_gateway_killed_under_load_loses_and_doubles_nothing(line: Line, recoveries: Recoveries) -> None:
    async with under_load(line) as load:
        killed_at = await kill(line, "gateway")
        recoveries.note("gateway", await recovery_s(line, load, killed_at, "HTTP"))

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

    assert "ledger-consumer ended with exit code 0" in supervisor_log.read_text()[said_before:]
    await assert_all_is_true(line, load)


async def _more_than(before: int, line: Line, topic: Topic) -> bool:
    return await recorded_of(line, topic) > before
