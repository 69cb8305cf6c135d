"""Backups of the running stack, restored into another one that has the servers and nothing that runs on them."""

import asyncio
import shutil
import tempfile
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
import pytest_asyncio

from consumers.lost_books import BooksLost, refuse_lost_books
from consumers.rebuild import LIVE, SHADOW, run
from consumers.rebuild import Options as RebuildOptions
from consumers.rebuild import Servers as RebuildServers
from infra.backups import restoring
from infra.backups.archive import ArchiveReader
from infra.backups.journal import JOURNAL, survey_journal, write_journal
from infra.backups.losses import Lost
from infra.backups.making import BackupFailed, Servers, make
from infra.backups.manifest import Manifest
from infra.backups.restoring import Options, Outcome, Restore, RestoreFailed
from infra.backups.tables import connected, empty, is_empty
from infra.kafka.emptying import empty_topics
from infra.local.plan import Choices
from infra.local.postgres import remove_postgres
from infra.local.stack import LocalStack
from infra.postgres.bootstrap import LedgerRolePasswords, LedgerServerSettings
from infra.postgres.engine import Database, reading_whole_tables
from infra.postgres.ledger_checks import check_ledgers
from infra.postgres.state_hash import StateHash, hash_state
from infra.settings import KafkaSettings, LedgerDatabaseSettings, PostgresSettings, UsersDatabaseSettings
from tests.builders.gateway import Person, a_client, a_person, a_registration
from tests.builders.kafka import read_whole
from tests.builders.settings import settings_from

pytestmark = pytest.mark.stack


def servers_of(stack: LocalStack, process: str) -> Servers:
    environment = stack.environment(process)
    return Servers(
        users=settings_from(environment, UsersDatabaseSettings),
        ledger=settings_from(environment, LedgerDatabaseSettings),
        kafka=settings_from(environment, KafkaSettings),
    )


@dataclass(frozen=True)
class Target:
    """The stack that is restored, with its servers as whoever restores sees them."""

    stack: LocalStack
    servers: Servers

    async def restore(self, archive: Path, **options: Any) -> Outcome:
        with archive.open("rb") as stream:
            reader = ArchiveReader(stream, archive.name)
            assert list(reader.verify())
            return await Restore(self.servers, reader, Options(**options), lambda _: None).run()

    async def fetch(self, settings: PostgresSettings, statement: str, *arguments: Any) -> list[Any]:
        async with connected(settings) as connection:
            return list(await connection.fetch(statement, *arguments))

    async def is_empty(self) -> bool:
        for settings in (self.servers.users, self.servers.ledger):
            async with connected(settings) as connection:
                if not await is_empty(connection):
                    return False
        return True

    @asynccontextmanager
    async def ledger(self, name: str = LIVE) -> AsyncIterator[Database]:
        settings = settings_from(self.stack.environment("ledger-consumer"), LedgerDatabaseSettings)
        database = Database(settings.model_copy(update={"name": name}), application="tests")
        await database.start()
        try:
            yield database
        finally:
            await database.stop()

    async def state(self, ledger_id: UUID, name: str = LIVE) -> StateHash:
        async with self.ledger(name) as database:
            return await state_of(database, ledger_id)

    async def refuse_beginning(self) -> None:
        """Raise what a ledger consumer would end with that is started now."""
        async with self.ledger() as database:
            await refuse_lost_books(database, settings_from(self.stack.environment("operator"), KafkaSettings))

    async def journal_tells_the_same(self, ledger_id: UUID) -> bool:
        """Return whether the books of a ledger, made anew from the journal, equal those that were restored."""
        rebuild = self.stack.environment("rebuild")
        servers = RebuildServers(
            settings_from(rebuild, LedgerServerSettings),
            settings_from(rebuild, LedgerRolePasswords),
            settings_from(rebuild, KafkaSettings),
        )
        outcome = await run(servers, RebuildOptions())
        # What other tests wrote past the journal is no business of ours.
        return outcome.equal or (await self.state(ledger_id)) == (await self.state(ledger_id, SHADOW))


async def state_of(database: Database, ledger_id: UUID) -> StateHash:
    async with (
        database.connection("hash") as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        await reading_whole_tables(connection)
        return await hash_state(connection, [ledger_id])


@dataclass(frozen=True)
class Saved:
    """A backup that was made while somebody recorded, and what is known of that."""

    path: Path
    manifest: Manifest
    person: Person
    registration_id: UUID
    before: int

    @property
    def ledger_id(self) -> UUID:
        return self.person.ledger_id


async def save(stack: LocalStack, path: Path) -> Manifest:
    with path.open("wb") as stream:
        manifest, size = await make(servers_of(stack, "operator"), stream, {"KEY": "value"}, lambda _: None)
    assert path.stat().st_size == size
    return manifest


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def saved(stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Saved]:
    path = tmp_path_factory.mktemp("backups") / "saved.tar"
    with await asyncio.to_thread(a_person, stack) as person, a_client(stack) as nobody:
        registration_id = await asyncio.to_thread(a_registration, nobody)
        body = {"amount": "1.00", "category": "Bread"}
        for number in range(5):
            await asyncio.to_thread(
                person.post, "/transactions", body, idempotency_key=f"key-{number}", prefer="wait=10"
            )
        done = threading.Event()

        def record() -> None:
            while not done.is_set():
                person.post("/transactions", body, prefer="wait=10")

        recording = asyncio.create_task(asyncio.to_thread(record))
        try:
            manifest = await save(stack, path)
        finally:
            done.set()
            await recording
        yield Saved(path, manifest, person, registration_id, before=5)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def target() -> AsyncIterator[Target]:
    folder = Path(tempfile.mkdtemp(prefix="cash-flow-backups-"))
    stack = LocalStack(folder, Choices(any_ports=True, processes=("postgres", "kafka")))
    try:
        await asyncio.to_thread(stack.start)
        yield Target(stack, servers_of(stack, "restore"))
    finally:
        await asyncio.to_thread(stack.stop)
        remove_postgres(stack.home)
        shutil.rmtree(folder, ignore_errors=True)


async def test_killed_on_the_way_it_leaves_what_can_be_restored(
    target: Target, saved: Saved, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        whole = write_journal

        async def write_and_die(*arguments: Any) -> Any:
            await whole(*arguments)
            raise SystemExit

        patched.setattr(restoring, "write_journal", write_and_die)
        with pytest.raises(SystemExit):
            await target.restore(saved.path)

    assert await target.is_empty()
    assert (await survey_journal(target.servers.kafka)).marks == {str(saved.manifest.about.id)}
    with pytest.raises(BooksLost):
        await target.refuse_beginning()

    await target.restore(saved.path)

    await target.refuse_beginning()
    assert await target.journal_tells_the_same(saved.ledger_id)


async def test_everything_is_restored_elsewhere(target: Target, saved: Saved, stack: LocalStack) -> None:
    # As an older version has left it.
    await target.fetch(target.servers.users, "UPDATE alembic_version SET version_num = '0000'")

    outcome = await target.restore(saved.path, replace=True)

    assert outcome.rows == {part.name: part.rows for part in saved.manifest.databases}
    for part, settings in zip(saved.manifest.databases, (target.servers.ledger, target.servers.users), strict=True):
        for table in part.tables:
            assert (await target.fetch(settings, f'SELECT count(*) FROM "{table.name}"'))[0][0] == table.rows
    async with target.ledger() as database:
        assert await check_ledgers(database, [saved.ledger_id]) == []
    ((transactions,),) = await target.fetch(
        target.servers.ledger, "SELECT count(*) FROM transactions WHERE ledger_id = $1", saved.ledger_id
    )
    assert transactions >= saved.before
    assert await target.journal_tells_the_same(saved.ledger_id)
    keys = await target.fetch(
        target.servers.ledger, "SELECT idempotency_key FROM operations WHERE subject_id = $1", saved.ledger_id
    )
    assert {f"key-{number}" for number in range(saved.before)} <= {row[0] for row in keys}


async def test_people_are_who_they_were_and_sign_in_anew(target: Target, saved: Saved, stack: LocalStack) -> None:
    await target.restore(saved.path, replace=True)

    source = servers_of(stack, "operator")
    for statement, who in (
        ("SELECT u::text FROM users u WHERE id = $1", saved.person.user_id),
        ("SELECT r::text FROM registrations r WHERE id = $1", saved.registration_id),
    ):
        then = await target.fetch(source.users, statement, who)
        assert len(then) == 1
        assert await target.fetch(target.servers.users, statement, who) == then
    sessions = "SELECT ended_at IS NULL AS open FROM sessions WHERE user_id = $1"
    assert [row["open"] for row in await target.fetch(target.servers.users, sessions, saved.person.user_id)] == [False]

    await target.restore(saved.path, replace=True, keep_sessions=True)

    assert [row["open"] for row in await target.fetch(target.servers.users, sessions, saved.person.user_id)] == [True]


async def test_ids_are_counted_on(target: Target, saved: Saved) -> None:
    await target.restore(saved.path, replace=True)

    ((last,),) = await target.fetch(target.servers.users, "SELECT max(id) FROM mails")
    ((following,),) = await target.fetch(target.servers.users, "SELECT nextval(pg_get_serial_sequence('mails', 'id'))")

    assert following == last + 1


async def test_records_keep_their_time_and_say_that_they_were_restored(
    target: Target, saved: Saved, stack: LocalStack
) -> None:
    await target.restore(saved.path, replace=True)

    ((then, headers), *_) = await records_of(servers_of(stack, "operator").kafka, saved.ledger_id)
    ((now, restored), *_) = await records_of(target.servers.kafka, saved.ledger_id)

    assert now == then
    assert restored == [*headers, ("ce_restored", str(saved.manifest.about.id).encode())]


async def records_of(kafka: KafkaSettings, ledger_id: UUID) -> list[tuple[Any, Any]]:
    records = await read_whole(kafka, JOURNAL)
    return [(each.timestamp, list(each.headers)) for each in records if each.key == str(ledger_id).encode()]


async def test_a_system_that_is_not_empty_is_left_alone(target: Target, saved: Saved) -> None:
    await target.restore(saved.path, replace=True)
    before = await target.state(saved.ledger_id)

    with pytest.raises(RestoreFailed, match="the users database is not empty; nothing was changed"):
        await target.restore(saved.path)
    await target.fetch(target.servers.users, "TRUNCATE users, registrations, unique_names, sessions, mails, operations")
    with pytest.raises(RestoreFailed, match="the ledger database is not empty"):
        await target.restore(saved.path)
    assert await target.state(saved.ledger_id) == before


async def test_a_journal_without_a_database_is_never_deleted_unasked(target: Target, saved: Saved) -> None:
    """Where the ledger database was lost, it is the only copy there is."""
    await target.restore(saved.path, replace=True)
    other = saved.path.with_name("other.tar")
    await save(target.stack, other)
    for settings in (target.servers.users, target.servers.ledger):
        async with connected(settings) as connection:
            await empty(connection)

    with pytest.raises(BackupFailed, match="cash ledger rebuild --switch-over"):
        await save(target.stack, saved.path.with_name("none.tar"))
    with pytest.raises(RestoreFailed, match="cash ledger rebuild --switch-over"):
        await target.restore(other)
    assert (await survey_journal(target.servers.kafka)).marks == {str(saved.manifest.about.id)}


async def test_nothing_is_restored_under_processes_that_run(
    target: Target, saved: Saved, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restoring, "STOPPED_WITHIN_S", 0.0)
    settings = settings_from(target.stack.environment("relay"), UsersDatabaseSettings)
    relay = Database(settings, application="relay")
    connection = await relay.connect()
    try:
        with pytest.raises(RestoreFailed, match="relay still run; stop them and run this again; nothing was changed"):
            await target.restore(saved.path, replace=True)
    finally:
        await connection.close()


async def test_a_backup_of_a_newer_version_is_refused(target: Target, saved: Saved) -> None:
    with saved.path.open("rb") as stream:
        archive = ArchiveReader(stream, "newer.tar")
        newer = [msgspec.structs.replace(part, revision="9999") for part in archive.manifest.databases]
        archive.manifest = msgspec.structs.replace(archive.manifest, databases=newer)

        with pytest.raises(RestoreFailed, match="at revision 9999, which this version does not know"):
            await Restore(target.servers, archive, Options(replace=True), lambda _: None).run()


async def test_a_lost_journal_comes_back_from_the_backup_and_the_outbox(
    target: Target, saved: Saved, stack: LocalStack
) -> None:
    newer = saved.path.with_name("newer.tar")
    await asyncio.to_thread(saved.person.record)
    await until_journaled(stack, saved.ledger_id)
    await save(stack, newer)
    await target.restore(newer, replace=True)
    ((last,),) = await target.fetch(
        target.servers.ledger, "SELECT sequence FROM ledgers WHERE id = $1", saved.ledger_id
    )
    move = "UPDATE ledgers SET sequence = $2 WHERE id = $1"
    await target.fetch(target.servers.ledger, move, saved.ledger_id, 1)
    with pytest.raises(RestoreFailed, match="the journal knows later entries than the ledger database"):
        await target.restore(saved.path, only=Lost.JOURNAL, replace=True)
    await target.fetch(target.servers.ledger, move, saved.ledger_id, last)
    with pytest.raises(RestoreFailed, match="neither the backup nor the outbox has entry"):
        await target.restore(saved.path, only=Lost.JOURNAL, replace=True)
    await copy_outbox(stack, target)
    with pytest.raises(RestoreFailed, match="the journal holds entries"):
        await target.restore(saved.path, only=Lost.JOURNAL)
    await empty_topics(target.servers.kafka, [JOURNAL])

    outcome = await target.restore(saved.path, only=Lost.JOURNAL)

    assert outcome.entries
    assert await target.journal_tells_the_same(saved.ledger_id)


async def until_journaled(stack: LocalStack, ledger_id: UUID) -> None:
    async with asyncio.timeout(20), connected(servers_of(stack, "operator").ledger) as connection:
        while await connection.fetchval("SELECT count(*) FROM outbox WHERE sent_at IS NULL"):
            await asyncio.sleep(0.05)


async def copy_outbox(source: LocalStack, target: Target) -> None:
    """Give a database the rows that its relay would have sent, and kept for a week."""
    columns = ["topic", "message_count", "messages", "created_at", "sent_at"]
    statement = f"SELECT {', '.join(columns)} FROM outbox ORDER BY id"
    rows = [tuple(row) for row in await target.fetch(servers_of(source, "operator").ledger, statement)]
    async with connected(target.servers.ledger) as connection:
        await connection.executemany(f"INSERT INTO outbox ({', '.join(columns)}) VALUES ($1, $2, $3, $4, $5)", rows)


async def test_users_are_not_restored_beside_another_kafka(target: Target, saved: Saved) -> None:
    await target.restore(saved.path, replace=True)

    with pytest.raises(RestoreFailed, match="is not the topic that this backup was made beside"):
        await target.restore(saved.path, only=Lost.USERS, replace=True)

    ((users,),) = await target.fetch(target.servers.users, "SELECT count(*) FROM users")
    assert users == saved.manifest.database("users").rows_of("users")
