"""Pins: ways to hold a process at one point of its work, so that it is killed there and not somewhere near."""

import os
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress

from infra.postgres.engine import Database
from tests.chaos.line import until


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """Freeze a process (SIGSTOP): its connections stay open and nothing answers on them."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


@asynccontextmanager
async def locked(database: Database, statement: str, *arguments: object) -> AsyncIterator[None]:
    """Hold what a statement locks; whoever comes to it waits, for as long as the block lasts."""
    connection = await database.connect()
    try:
        async with connection.transaction():
            await connection.execute("SET LOCAL lock_timeout = '10s'; SET LOCAL transaction_timeout = 0")
            await connection.fetch(statement, *arguments)
            yield
    finally:
        await connection.close()


async def backends(database: Database, application: str) -> list[int]:
    """Return the pids of the backends that serve a process's connections."""
    async with database.connection("list backends") as connection:
        rows = await connection.fetch(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1", application
        )
        return [row["pid"] for row in rows]


async def until_waiting(
    database: Database, application: str, within_s: float = 15, *, besides: Sequence[int] = ()
) -> int:
    """Wait until a process waits for a lock, and return the pid of its connection's backend; some may not count."""

    async def waiting() -> int | None:
        async with database.connection("look for who waits") as connection:
            pid: int | None = await connection.fetchval(
                "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1"
                " AND wait_event_type = 'Lock' AND NOT pid = ANY($2::int[])",
                application,
                list(besides),
            )
            return pid

    return await until(waiting, f"{application} waits for the lock", within_s) or 0


async def end_backend(database: Database, pid: int) -> None:
    """End a backend whose client is dead: left alone, it would still finish the one statement that waits."""
    async with database.connection("end a backend") as connection:
        await connection.execute("SELECT pg_terminate_backend($1, 5000)", pid)
