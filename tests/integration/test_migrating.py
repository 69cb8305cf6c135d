"""Migrations beside running processes: they wait for their turn and for locks, and old code takes newer tables."""

import asyncio
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from infra.local.processes import inherited
from infra.local.stack import LocalStack
from infra.postgres import migrate as migrating
from infra.postgres import revisions
from infra.postgres.bootstrap import LedgerServerSettings, as_superuser, ensure_database
from infra.postgres.engine import Database
from infra.postgres.migrate import MigrationFailed, migrate
from infra.postgres.migrations import environment
from infra.postgres.revisions import SchemaBehind, newest_revision
from infra.settings import LedgerDatabaseSettings
from tests.builders.settings import settings_from
from tests.integration.test_gateway_process import a_gateway, ready, wait_for

pytestmark = pytest.mark.stack

NEXT = """
import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = "{before}"


def upgrade() -> None:
    op.add_column("transactions", sa.Column("mood", sa.Text()))
    with op.get_context().autocommit_block():
        op.create_index("transactions_mood", "transactions", ["mood"], postgresql_concurrently=True)
"""
NOW = newest_revision("ledger")
LATER = f"{int(NOW) + 1:04}"


class Empty:
    """A database of the ledger's roles without a table."""

    def __init__(self, stack: LocalStack, name: str) -> None:
        self.name = name
        self._stack = stack

    def settings(self, process: str) -> LedgerDatabaseSettings:
        settings = settings_from(self._stack.environment(process), LedgerDatabaseSettings)
        return settings.model_copy(update={"name": self.name})

    def migrate(self, *, within_s: float = 10) -> None:
        migrate([(self.settings("migrate"), "ledger")], within_s=within_s)

    @asynccontextmanager
    async def opened(self, process: str = "ledger-consumer") -> AsyncIterator[Database]:
        database = Database(self.settings(process), application="tests")
        await database.start()
        yield database
        await database.stop()


@contextmanager
def an_empty_database(stack: LocalStack) -> Iterator[Empty]:
    server = settings_from(stack.environment("bootstrap-postgres"), LedgerServerSettings)
    name = f"ledger_{uuid4().hex[:12]}"

    async def create() -> None:
        async with as_superuser(server) as superuser:
            await ensure_database(superuser, name, roles_of="ledger")

    async def drop() -> None:
        async with as_superuser(server) as superuser:
            await superuser.execute(f"DROP DATABASE {name} WITH (FORCE)")

    asyncio.run(create())
    try:
        yield Empty(stack, name)
    finally:
        asyncio.run(drop())


@pytest.fixture
def empty(stack: LocalStack) -> Iterator[Empty]:
    with an_empty_database(stack) as database:
        yield database


@contextmanager
def next_version(folder: Path) -> Iterator[None]:
    """Have this version know one more migration within the block."""
    shutil.copytree(revisions.MIGRATIONS, folder / "migrations")
    (folder / "migrations/ledger/versions" / f"{LATER}_mood.py").write_text(NEXT.format(revision=LATER, before=NOW))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(revisions, "MIGRATIONS", folder / "migrations")
        patch.setattr(migrating, "MIGRATIONS", folder / "migrations")
        yield


def test_two_at_once_are_as_good_as_one(empty: Empty, stack: LocalStack, capsys: pytest.CaptureFixture[str]) -> None:
    settings = inherited() | stack.environment("migrate") | {"CASH_LEDGER_DB_NAME": empty.name}
    command = [sys.executable, "-m", "infra.postgres.migrate"]
    with subprocess.Popen(command, env=settings, stdout=subprocess.PIPE) as other:
        while other.poll() is None:
            empty.migrate()
        assert other.returncode == 0
        assert other.stdout is not None
        lines = [line for line in other.stdout.read().decode().splitlines() if "trying again" not in line]
    assert lines == [f"users: at revision {newest_revision('users')}", f"ledger: at revision {NOW}"]
    assert f"ledger: at revision {NOW}" in capsys.readouterr().out.splitlines()


def test_old_code_takes_newer_tables_and_leaves_them_alone(
    empty: Empty, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with next_version(tmp_path):
        empty.migrate()
    capsys.readouterr()

    empty.migrate()

    assert f"at revision {LATER}, later than this version knows ({NOW}); nothing to do" in capsys.readouterr().out

    async def ping() -> None:
        for process in ("ledger-consumer", "gateway", "migrate"):
            async with empty.opened(process) as database:
                await database.ping()

    asyncio.run(ping())


def test_new_code_waits_for_the_migration_and_says_so(empty: Empty, tmp_path: Path, stack: LocalStack) -> None:
    async def ping() -> None:
        async with empty.opened() as database:
            with pytest.raises(SchemaBehind, match=f"without tables, this version needs {NOW}: run the migration"):
                await database.ping()
            with pytest.raises(SchemaBehind):
                await database.connect()

    asyncio.run(ping())
    with a_gateway(stack, tmp_path, {"CASH_LEDGER_DB_NAME": empty.name}, until_ready=False) as gateway:

        def because() -> list[str]:
            try:
                answer = gateway.http.get(str(gateway.http.base_url.copy_with(path="/health/ready")))
            except httpx.TransportError:
                return []
            return [each for each in answer.json().get("because", ()) if "ended sessions" not in each]

        wait_for(lambda: because(), 20)
        assert because() == [
            f"the {empty.name} database is without tables, this version needs {NOW}: run the migration"
            " (python -m infra.postgres.migrate)"
        ]
        assert gateway.process.poll() is None

        empty.migrate()

        wait_for(lambda: ready(gateway.http), 10)


def test_a_table_in_use_is_waited_for_without_a_queue_behind_it(
    empty: Empty, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "LOCK_TIMEOUT_S", 0.3)
    monkeypatch.setattr(migrating, "AGAIN_AFTER_S", 0.3)
    empty.migrate()

    async def migrate_beside_a_reader() -> None:
        # Both know the migration before this one only: so does what is running.
        async with empty.opened() as database, empty.opened() as another:
            await another.ping()
            async with database.transaction("use the table") as connection:
                await connection.fetchval("SELECT count(*) FROM transactions")
                with next_version(tmp_path):
                    with pytest.raises(MigrationFailed, match="ledger: a table is in use, for 2 s"):
                        await asyncio.to_thread(empty.migrate, within_s=2)
                    running = asyncio.create_task(asyncio.to_thread(empty.migrate))
                    await asyncio.sleep(0.5)
                    # Who comes after it waits for one of its tries, not for the reader.
                    async with another.transaction("use it, too") as after:
                        await after.fetchval("SELECT count(*) FROM transactions", timeout=2)
                    assert not running.done()
                    await connection.execute("ROLLBACK")
                    await running

    asyncio.run(migrate_beside_a_reader())
    said = capsys.readouterr().out
    assert "ledger: a table is in use; trying again" in said
    assert f"ledger: at revision {LATER}" in said
