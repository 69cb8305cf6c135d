"""The rebuild on a line of its own: what is in the journal comes back, once, whatever became of the database."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from consumers import rebuild as rebuilding
from consumers.rebuild import LIVE, LOCK_KEY, SHADOW, Options, Outcome, RebuildFailed, Servers, run
from contracts import topics
from contracts.accounts import AccountKind, AccountSubmitted
from contracts.envelope import operation_id
from contracts.ledgers import personal_ledger_id
from infra.kafka.groups import count_members, find_offsets
from infra.kafka.producer import Producer, Record
from infra.local.holding import let_go
from infra.local.plan import Choices
from infra.local.postgres import remove_postgres
from infra.local.stack import LocalStack
from infra.postgres.bootstrap import LedgerRolePasswords, LedgerServerSettings, as_superuser, bootstrap
from infra.postgres.engine import Database, reading_whole_tables
from infra.postgres.ledger_checks import check_ledgers
from infra.postgres.migrate import migrate
from infra.postgres.state_hash import StateHash, hash_state
from infra.settings import KafkaSettings, LedgerDatabaseSettings
from tests.builders.dead_letters import let_fail
from tests.builders.gateway import a_bulk_grant
from tests.builders.histories import Household
from tests.builders.journal import a_renaming
from tests.builders.kafka import read_whole
from tests.builders.lived_in import LivedIn
from tests.builders.settings import settings_from
from tests.builders.submissions import a_record, a_submission

pytestmark = pytest.mark.stack

WITHIN_S = 60.0


class Line:
    """Kafka, PostgreSQL, the ledger consumer and the relay, and what the tests ask of them."""

    def __init__(self, stack: LocalStack) -> None:
        self.stack = stack
        rebuild = stack.environment("rebuild")
        self.superuser = settings_from(rebuild, LedgerServerSettings)
        self.passwords = settings_from(rebuild, LedgerRolePasswords)
        self.kafka = settings_from(rebuild, KafkaSettings)
        self.producer = Producer(self.kafka, client_id="tests")

    @asynccontextmanager
    async def database(self, name: str = LIVE, role: str = "ledger-consumer") -> AsyncIterator[Database]:
        settings = settings_from(self.stack.environment(role), LedgerDatabaseSettings)
        database = Database(settings.model_copy(update={"name": name}), application="tests")
        await database.start()
        try:
            yield database
        finally:
            await database.stop()

    async def fetch(self, statement: str, *arguments: Any, name: str = LIVE) -> list[Any]:
        async with self.database(name) as database, database.connection("ask") as connection:
            return list(await connection.fetch(statement, *arguments))

    async def damage(self, statement: str, *arguments: Any) -> None:
        async with self.database(role="migrate") as database, database.connection("do damage") as connection:
            await connection.execute(statement, *arguments)

    async def as_superuser(self, statement: str, *arguments: Any) -> Any:
        async with as_superuser(self.superuser) as connection:
            return await connection.fetch(statement, *arguments)

    async def databases(self) -> set[str]:
        return {row["datname"] for row in await self.as_superuser("SELECT datname FROM pg_database")}

    async def send(self, records: Sequence[Record]) -> None:
        """Submit records, and wait until each is decided."""
        await self.accept(records)
        await self.until_decided(records)

    async def accept(self, records: Sequence[Record]) -> None:
        for topic in {record.topic for record in records}:
            await self.producer.send_all([record for record in records if record.topic == topic])

    async def journal(self, records: Sequence[Record]) -> None:
        """Write into the journal, as only the relay may."""
        relay = Producer(settings_from(self.stack.environment("relay"), KafkaSettings), client_id="tests")
        try:
            await relay.send_all(records)
        finally:
            await relay.stop()

    async def until_decided(self, records: Sequence[Record]) -> None:
        wanted = {_operation_of(record) for record in records}
        statement = "SELECT count(*) FROM operations WHERE id = ANY ($1::uuid[])"
        async with asyncio.timeout(WITHIN_S):
            while (await self.fetch(statement, list(wanted)))[0][0] < len(wanted):
                await asyncio.sleep(0.1)

    async def until_journaled(self) -> None:
        async with asyncio.timeout(WITHIN_S):
            while (await self.fetch("SELECT count(*) FROM outbox WHERE sent_at IS NULL"))[0][0]:
                await asyncio.sleep(0.1)

    async def transactions(self, user_id: UUID) -> int:
        statement = "SELECT count(*) FROM transactions WHERE ledger_id = $1"
        return int((await self.fetch(statement, personal_ledger_id(user_id)))[0][0])

    async def state(self, name: str = LIVE) -> StateHash:
        async with (
            self.database(name) as database,
            database.connection("hash") as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            await reading_whole_tables(connection)
            return await hash_state(connection)

    async def rebuild(self, **options: Any) -> Outcome:
        """Rebuild in this process; what was stopped for it runs again afterwards."""
        stop_with = [sys.executable, "-m", "infra.local.holding"]
        try:
            return await run(
                Servers(self.superuser, self.passwords, self.kafka), Options(stop_with=stop_with, **options)
            )
        finally:
            await asyncio.to_thread(let_go, self.stack.home, ["ledger-consumer", "relay"])

    def cash(self, *words: str) -> "subprocess.CompletedProcess[str]":
        environment = {**os.environ, "CASH_HOME": str(self.stack.home.root)}
        command = [sys.executable, "-m", "cli.main", *words]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def _operation_of(record: Record) -> UUID:
    return UUID(dict(record.headers)["ce_operationid"].decode())  # type: ignore[union-attr]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def line() -> AsyncIterator[Line]:
    folder = Path(tempfile.mkdtemp(prefix="cash-flow-rebuild-"))
    processes = ("postgres", "redis", "kafka", "ledger-consumer", "relay")
    stack = LocalStack(folder, Choices(any_ports=True, processes=processes))
    try:
        await asyncio.to_thread(stack.start)
        line = Line(stack)
        yield line
        await line.producer.stop()
    finally:
        await asyncio.to_thread(stack.stop)
        remove_postgres(stack.home)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def home(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CASH_HOME", str(line.stack.home.root))


def records_of(households: Sequence[Household]) -> list[Record]:
    return [a_record(act.message, act.user_id, key=act.key) for each in households for act in each.acts]


def some_households(seed: int, count: int = 3, length: int = 60) -> list[Household]:
    households = [Household(Random(f"{seed} {n}"), uuid4(), uuid4(), uuid4()) for n in range(count)]
    for household in households:
        household.live(length)
    return households


def expenses(user_id: UUID, count: int, name: str = "expense") -> list[Record]:
    return [
        a_record(a_submission(user_id, amount=f"{number + 1}.00"), user_id, key=f"{name}-{number}")
        for number in range(count)
    ]


async def test_what_happened_comes_back_with_an_equal_hash(line: Line) -> None:
    home, importer = LivedIn(), uuid4()
    grant = a_bulk_grant(line.stack.environment("gateway"), importer)
    imported = [
        a_record(
            a_submission(importer, amount=f"{number + 1}.50"),
            None,
            key=f"row-{number}",
            topic=topics.LEDGER_BULK,
            grant=grant,
            operation_id=operation_id(a_submission(importer, amount=f"{number + 1}.50"), importer, f"row-{number}"),
        )
        for number in range(20)
    ]
    await line.send([a_record(message, who, key=key) for message, who, key in home.asked])
    await line.send([*records_of(some_households(1)), *imported])
    failed = await let_fail(line.stack, importer, a_record(a_submission(importer, amount="66.60"), importer))
    replayed = line.cash("dead-letters", "replay", str(failed), "--yes")
    assert replayed.stdout.endswith("1 recorded.\n"), replayed.stderr

    ended = line.cash("ledger", "rebuild", "--json")

    assert ended.returncode == 0, ended.stderr
    said = json.loads(ended.stdout)
    assert said["equal"]
    assert said["live"] == said["rebuilt"]
    assert said["live"]["state"] == (await line.state()).total
    assert said["entries"] == sum(row[0] for row in await line.fetch("SELECT sequence FROM ledgers"))
    assert all(said["live"]["rows"].values())
    assert SHADOW not in await line.databases()
    assert await check_all(line) == []


async def check_all(line: Line) -> list[str]:
    async with line.database() as database:
        return await check_ledgers(database)


async def test_it_compares_while_people_go_on_recording(line: Line) -> None:
    user_id, recorded = uuid4(), 0
    rebuilt = asyncio.create_task(line.rebuild())

    while not rebuilt.done():
        await line.accept(expenses(user_id, 5, f"meanwhile-{recorded}"))
        recorded += 5
        await asyncio.sleep(0.05)
    outcome = await rebuilt

    assert outcome.equal
    assert not outcome.missing
    assert not outcome.switched_over
    async with asyncio.timeout(WITHIN_S):
        while await line.transactions(user_id) < recorded:
            await asyncio.sleep(0.1)


async def test_a_switch_over_keeps_books_and_claims(line: Line) -> None:
    households = some_households(2)
    await line.send(records_of(households))
    await line.until_journaled()
    before = await line.state()
    offsets = await find_offsets(line.kafka, "ledger-consumer", topics.LEDGER_SUBMISSIONS.name)

    ended = line.cash("ledger", "rebuild", "--switch-over", "--json")

    assert ended.returncode == 0, ended.stderr
    said = json.loads(ended.stdout)
    assert said["switched_over"]
    assert said["kept_as"] in await line.databases()
    assert (await line.state()).total == before.total == (await line.state(said["kept_as"])).total
    await assert_claims_are_those_of(line, said["kept_as"])
    # Both knew the same: nothing is to be taken again.
    assert said["offsets"] == {}
    assert await find_offsets(line.kafka, "ledger-consumer", topics.LEDGER_SUBMISSIONS.name) == offsets
    await assert_nothing_doubles_and_recording_goes_on(line, households)
    await line.as_superuser(f"DROP DATABASE {said['kept_as']}")


async def assert_claims_are_those_of(line: Line, kept_as: str) -> None:
    """Each operation that was recorded and made an entry is there again, with all that the journal tells of it."""
    columns = "id, subject_id, user_id, noun, state, resource_id, request_hash"
    source = "source_topic, source_partition, source_offset"
    journaled = (
        {row["operation_id"] for row in await line.fetch("SELECT operation_id FROM changes")}
        | {row["operation_id"] for row in await line.fetch("SELECT operation_id FROM transaction_versions")}
        | {row["operation_id"] for row in await line.fetch("SELECT operation_id FROM transactions")}
    )
    old = await line.fetch(f"SELECT {columns}, {source} FROM operations WHERE state = 'recorded'", name=kept_as)
    made_entries = {tuple(row) for row in old if row["id"] in journaled}
    assert made_entries
    assert {tuple(row) for row in await line.fetch(f"SELECT {columns}, {source} FROM operations")} == made_entries


async def assert_nothing_doubles_and_recording_goes_on(line: Line, households: Sequence[Household]) -> None:
    """What was recorded is submitted once more, and behind it one more account in each ledger: that alone is new."""
    state = {row["id"]: row["state"] for row in await line.fetch("SELECT id, state FROM operations")}
    again = [record for record in records_of(households) if state.get(_operation_of(record)) == "recorded"]
    assert again
    ledgers = [each.ledger_id for each in households]
    sequences = "SELECT id, sequence FROM ledgers WHERE id = ANY ($1::uuid[])"
    before = dict(map(tuple, await line.fetch(sequences, ledgers)))
    new = [AccountSubmitted(ledger_id=each, name=f"New {uuid4()}", kind=AccountKind.ASSET) for each in ledgers]

    await line.accept(again)
    await line.send([a_record(each, home.acts[0].user_id) for each, home in zip(new, households, strict=True)])

    assert dict(map(tuple, await line.fetch(sequences, ledgers))) == {each: before[each] + 1 for each in ledgers}
    assert await check_all(line) == []


async def test_a_database_that_was_dropped_comes_back_whole(line: Line) -> None:
    households, waiting = some_households(3), uuid4()
    await line.send(records_of(households))
    await line.until_journaled()
    before = await line.state()
    await line.as_superuser(f"DROP DATABASE {LIVE} WITH (FORCE)")
    accepted = expenses(waiting, 7)
    await line.accept(accepted)

    ended = line.cash("ledger", "rebuild", "--switch-over", "--json")

    assert ended.returncode == 0, ended.stderr
    said = json.loads(ended.stdout)
    assert said["live_is_gone"]
    assert said["kept_as"] is None
    assert said["rebuilt"]["state"] == before.total
    await line.until_decided(accepted)
    assert await line.transactions(waiting) == 7
    await assert_nothing_doubles_and_recording_goes_on(line, households)


@pytest.mark.chaos
async def test_what_only_the_lost_database_knew_is_taken_again(line: Line) -> None:
    user_id, other = uuid4(), uuid4()
    await line.send(expenses(user_id, 3, "known"))
    await line.until_journaled()
    await asyncio.to_thread(line.stack.hold, "relay")
    unsent = [*expenses(user_id, 4, "unsent"), *expenses(other, 2, "unsent")]
    await line.send(unsent)
    assert await line.transactions(user_id) == 7
    await line.as_superuser(f"DROP DATABASE {LIVE} WITH (FORCE)")

    outcome = await line.rebuild(switch_over=True)

    assert outcome.live_is_gone
    assert set(outcome.offsets) == {"ledger-consumer", "ledger-consumer-bulk"}
    await line.until_decided(unsent)
    assert await line.transactions(user_id) == 7
    assert await line.transactions(other) == 2
    assert await check_all(line) == []
    assert (await line.rebuild()).equal


async def test_lost_books_are_not_begun_anew(line: Line) -> None:
    user_id = uuid4()
    await line.send(expenses(user_id, 3))
    await line.until_journaled()
    before = await line.state()
    await line.as_superuser(f"DROP DATABASE {LIVE} WITH (FORCE)")
    await bootstrap(line.superuser, "ledger", line.passwords)
    await asyncio.to_thread(
        migrate, [(settings_from(line.stack.environment("migrate"), LedgerDatabaseSettings), "ledger")]
    )
    accepted = expenses(user_id, 2, "into nothing")
    await line.accept(accepted)

    async with asyncio.timeout(WITHIN_S):
        while "rebuild" not in (_why(line.stack) or ""):
            await asyncio.sleep(0.1)
    assert (await line.fetch("SELECT count(*) FROM ledgers"))[0][0] == 0
    assert not (await line.rebuild()).equal
    outcome = await line.rebuild(switch_over=True)

    assert outcome.rebuilt is not None
    assert outcome.rebuilt.total == before.total
    await line.until_decided(accepted)
    assert await line.transactions(user_id) == 5
    assert outcome.kept_as
    await line.as_superuser(f"DROP DATABASE {outcome.kept_as}")


def _why(stack: LocalStack) -> str | None:
    state = stack.state()
    assert state is not None
    return state.processes["ledger-consumer"].why


@pytest.mark.chaos
async def test_damage_is_named_and_a_switch_over_mends_it(line: Line) -> None:
    user_id = uuid4()
    await line.send(expenses(user_id, 3))
    await line.until_journaled()
    before = await line.state()
    ledger_id = personal_ledger_id(user_id)
    await line.damage("UPDATE balances SET balance_minor = balance_minor + 1 WHERE ledger_id = $1", ledger_id)
    await line.damage("DELETE FROM members WHERE ledger_id = $1", ledger_id)

    verified = line.cash("ledger", "verify", "--json")
    compared = line.cash("ledger", "rebuild")

    assert verified.returncode == 1
    assert {(each["check"], each["ledger_id"]) for each in json.loads(verified.stdout)["findings"]} == {
        ("balances", str(ledger_id)),
        ("zero sum", str(ledger_id)),
        ("members", str(ledger_id)),
    }
    assert compared.returncode == 1
    assert "differs from the live one in balances, members" in compared.stdout
    assert str(ledger_id) in compared.stdout
    assert SHADOW in await line.databases()
    outcome = await line.rebuild(switch_over=True)
    assert set(outcome.differing) == {"balances", "members"}
    assert (await line.state()).total == before.total
    assert line.cash("ledger", "verify").returncode == 0
    await line.as_superuser(f"DROP DATABASE {outcome.kept_as}")


@pytest.mark.chaos
async def test_it_does_not_replace_a_database_by_one_that_knows_less(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuilding, "SENT_WITHIN_S", 1.0)
    user_id = uuid4()
    await line.send(expenses(user_id, 3))
    await line.until_journaled()
    await asyncio.to_thread(line.stack.hold, "relay")
    await line.send(expenses(user_id, 2, "unsent"))
    before = await line.state()

    with pytest.raises(RebuildFailed, match="1 rows of the outbox are not in the journal"):
        await line.rebuild(switch_over=True)
    await line.until_journaled()  # the relay runs again
    await asyncio.to_thread(line.stack.hold, "relay")
    await line.send(expenses(user_id, 2, "lost"))
    await line.damage("UPDATE outbox SET sent_at = now() WHERE sent_at IS NULL")
    compared = await line.rebuild()
    await asyncio.to_thread(line.stack.hold, "relay")
    with pytest.raises(RebuildFailed, match="the journal lacks what the live database knows"):
        await line.rebuild(switch_over=True)

    assert not compared.equal
    assert compared.missing == {str(personal_ledger_id(user_id)): (9, 10)}
    assert await line.transactions(user_id) == 7
    assert (await line.state()).rows["transactions"] == before.rows["transactions"] + 2
    # As docs/rebuild.md says: the rows that were sent, or said to be, are kept for a week.
    await line.damage("UPDATE outbox SET sent_at = NULL WHERE sent_at > now() - interval '1 minute'")
    await line.until_journaled()
    assert (await line.rebuild()).equal


async def test_a_repeated_journal_is_taken_once(line: Line) -> None:
    user_id = uuid4()
    await line.send(expenses(user_id, 4))
    await line.until_journaled()
    whole = await read_whole(line.kafka, topics.LEDGER_JOURNAL.name)
    ours = [record for record in whole if record.key == str(personal_ledger_id(user_id)).encode()]
    await line.journal([Record(each.topic, each.key, each.value, list(each.headers)) for each in ours[1:]])

    outcome = await line.rebuild()

    assert outcome.equal
    assert outcome.repeats >= len(ours) - 1


async def test_what_an_interrupted_rebuild_left_does_not_matter(line: Line) -> None:
    await line.as_superuser(f"CREATE DATABASE {SHADOW}")
    async with as_superuser(line.superuser, SHADOW) as left_open:
        await left_open.execute("CREATE TABLE ledgers (id int)")

        assert (await line.rebuild()).equal
    assert SHADOW not in await line.databases()


@pytest.mark.chaos
async def test_killed_at_any_moment_it_leaves_the_live_database_as_it_was(line: Line) -> None:
    before = await line.state()
    for moment_s in (0.8, 1.6, 2.4, 3.2):
        environment = {**os.environ, **line.stack.environment("rebuild")}
        stop_with = f"{sys.executable} -m infra.local.holding"
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "consumers.rebuild", "--switch-over", "--stop-with", stop_with,
            env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        await asyncio.sleep(moment_s)
        if process.returncode is None:
            process.kill()
        await process.wait()
        assert LIVE in await line.databases()
        assert (await line.state()).total == before.total

    outcome = await line.rebuild(switch_over=True)

    assert outcome.equal
    user_id = uuid4()
    await line.send(expenses(user_id, 2))
    assert await line.transactions(user_id) == 2


async def test_of_two_rebuilds_one_says_so_and_ends(line: Line) -> None:
    async with as_superuser(line.superuser) as other:
        await other.fetchval("SELECT pg_advisory_lock($1)", LOCK_KEY)
        with pytest.raises(RebuildFailed, match="another rebuild is running"):
            await line.rebuild()


@pytest.mark.chaos
async def test_elsewhere_it_says_what_to_stop_and_waits_for_it(line: Line, capsys: pytest.CaptureFixture[str]) -> None:
    rebuilt = asyncio.create_task(run(Servers(line.superuser, line.passwords, line.kafka), Options(switch_over=True)))
    said = ""
    async with asyncio.timeout(WITHIN_S):
        for process in ("ledger-consumer", "relay"):
            while f"Stop every {process} now" not in said:
                await asyncio.sleep(0.1)
                said += capsys.readouterr().err
                assert not rebuilt.done(), said
            await asyncio.to_thread(line.stack.hold, process)
        outcome = await rebuilt
    await asyncio.to_thread(let_go, line.stack.home, ["ledger-consumer", "relay"])

    assert outcome.switched_over
    assert await count_members(line.kafka, "ledger-consumer") == 1


async def test_a_gap_ends_the_rebuild_and_changes_nothing(line: Line) -> None:
    """The last test of this line: its journal is damaged for ever."""
    user_id = uuid4()
    await line.send(expenses(user_id, 2))
    await line.until_journaled()
    before = await line.state()
    entry = a_renaming(99, ledger_id=personal_ledger_id(user_id))
    key, value = str(entry.ledger_id).encode(), entry.model_dump_json().encode()
    await line.journal([Record(topics.LEDGER_JOURNAL.name, key, value, [("ce_type", entry.type.encode())])])

    ended = line.cash("ledger", "rebuild", "--switch-over")

    assert ended.returncode == 1
    assert "ledger.journal has a gap" in ended.stderr
    assert "entry 6 should come next, and entry 99 comes" in ended.stderr
    assert (await line.state()).total == before.total
    more = expenses(user_id, 1, "after")
    await line.send(more)
    assert await line.transactions(user_id) == 3
