"""The bench's reads: a page of the newest at two sizes of history, and the accounts with their balances."""

import asyncio
import time
from functools import partial
from itertools import repeat
from typing import Any

import asyncpg

from gateway.queries import accounts, transactions
from tests.bench.http_load import Answers, Side, in_turns, load, request_bytes
from tests.bench.sizes import Sizes
from tests.bench.system import Person, System
from tests.bench.table import Row, Table

CONNECTIONS = 16
LIMIT = 50
#: At 16 connections p99 moves by this much from round to round of one and the same request.
EQUAL_WITHIN = 0.2

_FILL = """
WITH new AS (
  INSERT INTO transactions (ledger_id, id, revision, sequence, kind, booked_on, booked_at, submitted_at, recorded_at,
                            user_id, operation_id, description)
  SELECT ledgers.id, uuidv7(), 1, ledgers.sequence + number, 'expense', day::date, day, now(), now(),
         $2, uuidv7(), 'Receipt ' || number || ' of the bench'
  FROM ledgers, generate_series(1, $3::bigint) AS number,
       LATERAL (SELECT timestamptz '2015-01-01' + interval '3000 days' * (number::float8 / $3::bigint) AS day)
  WHERE ledgers.id = $1
  RETURNING ledger_id, id, sequence, booked_on
)
INSERT INTO postings (ledger_id, transaction_id, sequence, position, source_account_id, destination_account_id,
                      amount_minor, currency, booked_on)
SELECT ledger_id, new.id, sequence, 0, $4, ($5::uuid[])[1 + sequence % cardinality($5::uuid[])], 1 + sequence % 50000,
       'EUR', booked_on
FROM new
"""
_ADVANCE = "UPDATE ledgers SET sequence = sequence + $2 WHERE id = $1"


async def measure_reads(system: System, table: Table, sizes: Sizes) -> None:
    """Measure against the same SQL by raw asyncpg at the same concurrency."""
    small, large = system.a_person(), system.a_person()
    for person, rows in ((small, sizes.list_small), (large, sizes.list_large)):
        await system.open_ledger(person)
        await _fill(system, person, rows)
    pool = await asyncpg.create_pool(
        min_size=CONNECTIONS, max_size=CONNECTIONS, **system.connection_arguments("gateway")
    )
    try:
        await _lists(system, table, sizes, pool, small, large)
        await _accounts(system, table, sizes, pool, large)
    finally:
        await pool.close()


async def _fill(system: System, person: Person, rows: int) -> None:
    """Give a ledger a history of so many rows, written by the server itself; totals stay as they were."""
    connection = await system.connect("migrator")
    try:
        kinds = await connection.fetch("SELECT id, kind FROM accounts WHERE ledger_id = $1", person.ledger_id)
        cash = next(row["id"] for row in kinds if row["kind"] == "asset")
        categories = [row["id"] for row in kinds if row["kind"] == "expense"]
        async with connection.transaction():
            await connection.execute(_FILL, person.ledger_id, person.user_id, rows, cash, categories, timeout=300)
            await connection.execute(_ADVANCE, person.ledger_id, rows)
        # Autovacuum would do it in the middle of a round.
        await connection.execute("VACUUM (ANALYZE) transactions, postings", timeout=300)
    finally:
        await connection.close()


async def _lists(
    system: System, table: Table, sizes: Sizes, pool: "asyncpg.Pool[asyncpg.Record]", small: Person, large: Person
) -> None:
    def ours(person: Person) -> Side:
        return _http(system, person, f"/api/v1/transactions?limit={LIMIT}", sizes)

    def floor(person: Person) -> Side:
        query = transactions._FIRST_PAGE
        return partial(_sql, pool, query, (person.ledger_id, person.user_id, LIMIT + 1), sizes.round_s)

    await ours(small)()
    bare_small, bare_large, mine_small, mine_large = await in_turns(
        sizes.rounds, floor(small), floor(large), ours(small), ours(large)
    )
    for rows, mine, bare in ((sizes.list_small, mine_small, bare_small), (sizes.list_large, mine_large, bare_large)):
        ratio = mine.per_second / bare.per_second
        table.add(
            Row(
                f"list {LIMIT} newest of {rows:,}, {CONNECTIONS} connections",
                mine.text(),
                f"{bare.text()} (the same SQL)",
                ratio,
                "≥ 40 %",
                ratio >= 0.4,
            )
        )
    p99_small, p99_large = mine_small.percentile_ms(99), mine_large.percentile_ms(99)
    table.add(
        Row(
            f"list: p99 at {sizes.list_large:,} rows against {sizes.list_small:,}",
            f"{p99_large:.1f} ms against {p99_small:.1f} ms",
            f"{bare_large.percentile_ms(99):.1f} ms against {bare_small.percentile_ms(99):.1f} ms (the same SQL)",
            None,
            f"equal (within {EQUAL_WITHIN:.0%})",
            p99_large <= (1 + EQUAL_WITHIN) * p99_small,
        )
    )


async def _accounts(
    system: System, table: Table, sizes: Sizes, pool: "asyncpg.Pool[asyncpg.Record]", person: Person
) -> None:
    arguments = (person.ledger_id, person.user_id, accounts.ACCOUNTS_MAX)
    bare, mine = await in_turns(
        sizes.rounds,
        partial(_sql, pool, accounts._LIST, arguments, sizes.round_s),
        _http(system, person, "/api/v1/accounts", sizes),
    )
    ratio = mine.per_second / bare.per_second
    table.add(
        Row(
            f"accounts with balances (25), {CONNECTIONS} connections",
            mine.text(),
            f"{bare.text()} (the same SQL)",
            ratio,
            "≥ 50 %",
            ratio >= 0.5,
        )
    )


def _http(system: System, person: Person, path: str, sizes: Sizes) -> Side:
    request = request_bytes("GET", path, person.bearer)
    pid = system.stack.pid("gateway")
    requests = [repeat(request) for _ in range(CONNECTIONS)]
    return partial(load, system.gateway_port, requests, seconds=sizes.round_s, status=200, pid=pid)


async def _sql(pool: "asyncpg.Pool[asyncpg.Record]", query: str, arguments: tuple[Any, ...], seconds: float) -> Answers:
    """Ask the database the same on as many connections, and do nothing with the rows."""
    answers = Answers()
    began, cpu_began = time.perf_counter(), time.process_time()

    async def go_on() -> None:
        async with pool.acquire() as connection:
            statement = await connection.prepare(query)
            while (sent_at := time.perf_counter()) < began + seconds:
                await statement.fetch(*arguments)
                answers.latencies_s.append(time.perf_counter() - sent_at)

    await asyncio.gather(*(go_on() for _ in range(CONNECTIONS)))
    answers.seconds, answers.cpu_s = time.perf_counter() - began, time.process_time() - cpu_began
    return answers
