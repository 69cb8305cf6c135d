"""The bench's reads: the gateway's questions at two sizes of a ledger, each against the same SQL by raw asyncpg."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial
from itertools import repeat
from typing import Any, TypeAlias

import asyncpg

from infra.postgres.engine import BY_KEY, TIMEOUTS
from infra.settings import LedgerDatabaseSettings, UsersDatabaseSettings
from tests.bench.histories import write_history
from tests.bench.http_load import Answers, Side, in_turns, load, request_bytes
from tests.bench.questions import OF_A_LEDGER, Asking, Question
from tests.bench.sizes import Sizes
from tests.bench.statements import NotingDatabase, Statement
from tests.bench.system import Reader, System
from tests.bench.table import ReadLine, Row, Table
from tests.builders.settings import settings_from

CONNECTIONS = 16
#: At 16 connections p99 moves by this much from round to round of one and the same request.
EQUAL_WITHIN = 0.2
_WARM_S = 0.3
#: Parts of the same SQL's rate (DESIGN §7), by the beginning of a question.
_GOALS = {"the 50 newest": 0.4, "accounts with": 0.5}

_Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"


async def measure_questions(system: System, table: Table, sizes: Sizes, kind: str) -> None:
    """Measure each question of a kind, small and large, ours and the same SQL in turns."""
    readers = [await _reader(system, rows) for rows in (sizes.list_small, sizes.list_large)]
    settings = settings_from(system.stack.environment("gateway"), LedgerDatabaseSettings)
    async with AsyncExitStack() as opened:
        pool = await opened.enter_async_context(
            asyncpg.create_pool(
                min_size=settings.pool_size,
                max_size=settings.pool_size,
                reset=_keep,
                **system.connection_arguments("gateway", **TIMEOUTS, **BY_KEY),
            )
        )
        for question in OF_A_LEDGER:
            if question.measured == kind:
                await _measure(system, table, sizes, pool, question, readers)


async def _measure(
    system: System, table: Table, sizes: Sizes, pool: _Pool, question: Question, readers: Sequence[Reader]
) -> None:
    def sides(seconds: float) -> list[Side]:
        floors = [partial(_sql, pool, statements, seconds) for statements in asked]
        return floors + [_http(system, question, reader, seconds) for reader in readers]

    asked = [await _statements(system, question, reader) for reader in readers]
    for warm in sides(_WARM_S):
        await warm()
    answers = await in_turns(sizes.rounds, *sides(sizes.read_round_s))
    floors, ours = answers[: len(readers)], answers[len(readers) :]
    goal = next((part for words, part in _GOALS.items() if question.words.startswith(words)), None)
    for reader, floor, mine in zip(readers, floors, ours, strict=True):
        ratio = mine.per_second / floor.per_second
        table.add(
            Row(
                f"{question.words}; {reader.history.transactions:,} transactions",
                mine.text(),
                f"{floor.text()} (the same SQL)",
                ratio,
                f"≥ {goal:.0%}" if goal else "–",
                ratio >= goal if goal else None,
            )
        )
    table.read_sizes = [reader.history.transactions for reader in readers]
    figures = [
        each
        for floor, mine in zip(floors, ours, strict=True)
        for each in (mine.brief, floor.brief, f"{mine.per_second / floor.per_second:.0%}")
    ]
    table.add_read(ReadLine(question.words, figures))
    if question is OF_A_LEDGER[0]:
        _compare(table, readers, floors, ours)


def _compare(table: Table, readers: Sequence[Reader], floors: Sequence[Answers], ours: Sequence[Answers]) -> None:
    """Say whether a page is as quick in a large ledger as in a small one."""
    small, large = (each.percentile_ms(99) for each in ours)
    sizes = [f"{reader.history.transactions:,}" for reader in readers]
    bare_small, bare_large = (each.percentile_ms(99) for each in floors)
    table.add(
        Row(
            f"the newest: p99 of {sizes[1]} against {sizes[0]}",
            f"{large:.1f} ms against {small:.1f} ms",
            f"{bare_large:.1f} ms against {bare_small:.1f} ms (the same SQL)",
            None,
            f"equal (within {EQUAL_WITHIN:.0%})",
            large <= (1 + EQUAL_WITHIN) * small,
        )
    )


async def _reader(system: System, rows: int) -> Reader:
    """Return somebody with a ledger of so many transactions, who is made once."""
    reader = system.readers.get(rows)
    if reader is None:
        person = system.a_person()
        connection = await system.connect("migrator")
        try:
            history = await write_history(connection, person.ledger_id, person.user_id, rows)
        finally:
            await connection.close()
        reader = system.readers[rows] = Reader(person, history)
    return reader


async def _statements(system: System, question: Question, reader: Reader) -> list[Statement]:
    """Ask a question as its route does, and return what that came to."""
    environment = system.stack.environment("gateway")
    ledger = NotingDatabase(settings_from(environment, LedgerDatabaseSettings), application="bench")
    users = NotingDatabase(settings_from(environment, UsersDatabaseSettings), application="bench")
    noted: list[Statement] = []
    ledger.note_in(noted)
    await ledger.start()
    try:
        # The users database is not open: what is measured asks the ledger's alone.
        await question.ask(Asking(ledger, users, reader.history))
    finally:
        await ledger.stop()
    return noted


def _http(system: System, question: Question, reader: Reader, seconds: float) -> Side:
    path = f"/api/v1/ledgers/{reader.person.ledger_id}{question.path(reader.history)}"
    request = request_bytes("GET", path, reader.person.bearer)
    requests = [repeat(request) for _ in range(CONNECTIONS)]
    return partial(load, system.gateway_port, requests, seconds=seconds, status=200, pid=system.stack.pid("gateway"))


async def _sql(pool: _Pool, statements: Sequence[Statement], seconds: float) -> Answers:
    """Ask the database the same as often at once, and do nothing with the rows."""
    answers = Answers()
    began, cpu_began = time.perf_counter(), time.process_time()

    async def go_on() -> None:
        while (sent_at := time.perf_counter()) < began + seconds:
            async with pool.acquire() as connection:
                for statement in statements:
                    await connection.fetch(statement.text, *statement.arguments)
            answers.latencies_s.append(time.perf_counter() - sent_at)

    await asyncio.gather(*(go_on() for _ in range(CONNECTIONS)))
    answers.seconds, answers.cpu_s = time.perf_counter() - began, time.process_time() - cpu_began
    return answers


async def _keep(_: Any) -> None:
    """Leave a returned connection as it is, as the gateway's pool does."""
