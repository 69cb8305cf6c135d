"""How PostgreSQL answers each question: ``python -m tests.bench.plans`` writes ``docs/plans.md`` anew.

The databases are made for it: a ledger with a history, and some thousand people. With another size, nothing is written;
what differs is printed.
"""

import argparse
import asyncio
import json
import re
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from difflib import unified_diff
from functools import partial
from hashlib import md5
from pathlib import Path
from typing import Any
from uuid import UUID

from infra.local.plan import Choices
from infra.local.postgres import remove_postgres
from infra.local.processes import PROJECT
from infra.local.stack import LocalStack
from infra.postgres.bootstrap import LedgerServerSettings, as_superuser, ensure_database
from infra.postgres.migrate import migrate
from infra.settings import LedgerDatabaseSettings, PostgresSettings, UsersDatabaseSettings
from tests.bench.histories import write_history
from tests.bench.questions import OF_A_LEDGER, OF_PEOPLE, Asking, Question
from tests.bench.statements import NotingDatabase, Statement
from tests.builders.settings import settings_from

PAGE = PROJECT / "docs" / "plans.md"
TRANSACTIONS, OTHERS = 20_000, 250
_LEDGER_ID, _USER_ID = UUID(int=7), UUID(int=8)
#: One of those that :func:`add_others` adds.
_SMALL_ID = UUID(md5(b"ledger 1", usedforsecurity=False).hexdigest())
_SETTINGS: Mapping[str, type[PostgresSettings]] = {"ledger": LedgerDatabaseSettings, "users": UsersDatabaseSettings}


@dataclass(frozen=True, slots=True)
class Scan:
    """A node that reads a table: by which index, and by which of its columns the rows are found."""

    node: str
    table: str
    index: str | None
    columns: Sequence[str]
    first_column: str | None


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan as lines, one a node, and what of it reads tables."""

    lines: Sequence[str]
    scans: Sequence[Scan]


@dataclass(frozen=True, slots=True)
class Planned:
    """A statement with the plan for any values, that for the values it was asked with, and that for a small ledger."""

    statement: Statement
    generic: Plan
    custom: Plan
    small: Plan


@dataclass(frozen=True, slots=True)
class Answered:
    """A question with the statements that it came to, in order."""

    question: Question
    planned: Sequence[Planned]


@asynccontextmanager
async def databases(stack: LocalStack, transactions: int) -> AsyncIterator[Asking]:
    """Make both databases, with one ledger, beside those of a stack; lend them as the gateway reads them; drop them."""
    server = settings_from(stack.environment("bootstrap-postgres"), LedgerServerSettings)
    readers: dict[str, NotingDatabase] = {}
    async with as_superuser(server) as superuser:
        try:
            for which, settings in _SETTINGS.items():
                name = f"plans_{which}"
                await superuser.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
                await ensure_database(superuser, name, roles_of=which)
                owner, reader = (
                    settings_from(stack.recipes.database(which, role), settings).model_copy(update={"name": name})
                    for role in ("migrator", "gateway")
                )
                await asyncio.to_thread(migrate, [(owner, which)])
                readers[which] = NotingDatabase(reader, application="bench")
                await readers[which].start()
            async with as_superuser(server, "plans_users") as connection:
                await connection.execute(_PEOPLE)
                await connection.execute("VACUUM (ANALYZE)")
            async with as_superuser(server, "plans_ledger") as connection:
                history = await write_history(connection, _LEDGER_ID, _USER_ID, transactions)
                await connection.execute(_OPERATIONS, _LEDGER_ID, _USER_ID)
                await connection.execute(_INVITATIONS, _LEDGER_ID, _USER_ID)
                await connection.execute("VACUUM (ANALYZE)")
            yield Asking(readers["ledger"], readers["users"], history)
        finally:
            for database in readers.values():
                await database.stop()
            for which in _SETTINGS:
                await superuser.execute(f"DROP DATABASE IF EXISTS plans_{which} WITH (FORCE)")


async def add_others(stack: LocalStack) -> None:
    """Give as many other ledgers the same accounts and the first transactions."""
    server = settings_from(stack.environment("bootstrap-postgres"), LedgerServerSettings)
    async with as_superuser(server, "plans_ledger") as connection:
        for table, key, condition in _OF_OTHERS:
            columns = await connection.fetchval(_COLUMNS_BUT, table, key)
            await connection.execute(
                f"INSERT INTO {table} ({key}, {columns}) SELECT md5('ledger ' || number)::uuid, {columns} "
                f"FROM {table}, generate_series(1, {OTHERS}) AS number WHERE {key} = $1 AND {condition}",
                _LEDGER_ID,
            )
        await connection.execute("VACUUM (ANALYZE)")


async def answer_all(asking: Asking) -> list[Answered]:
    """Ask every question and have what it came to planned."""
    return [await _answer(asking, question) for question in (*OF_A_LEDGER, *OF_PEOPLE)]


async def _answer(asking: Asking, question: Question) -> Answered:
    noted: list[Statement] = []
    for database in (asking.ledger, asking.users):
        assert isinstance(database, NotingDatabase)
        database.note_in(noted)
    await question.ask(asking)
    # A question may ask the same again, as long as it finds too little.
    statements = {statement.text: statement for statement in noted}
    return Answered(question, [await _plan(statement) for statement in statements.values()])


async def _plan(statement: Statement) -> Planned:
    async with statement.database.unnoted("explain") as connection, connection.transaction():
        indexes = await _indexes(connection)
        explained = await connection.fetchval(f"{_EXPLAIN} {statement.text}", *statement.arguments)
        custom = _read(json.loads(explained)[0]["Plan"], indexes)
        elsewhere = [_SMALL_ID if value == _LEDGER_ID else value for value in statement.arguments]
        explained = await connection.fetchval(f"{_EXPLAIN} {statement.text}", *elsewhere)
        small = _read(json.loads(explained)[0]["Plan"], indexes)
        await connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        await connection.execute(f"PREPARE explained AS {statement.text}")
        values = f"({', '.join(['NULL'] * len(statement.arguments))})" if statement.arguments else ""
        explained = await connection.fetchval(f"{_EXPLAIN} EXECUTE explained{values}")
        await connection.execute("DEALLOCATE explained")
    return Planned(statement, _read(json.loads(explained)[0]["Plan"], indexes), custom, small)


async def _indexes(connection: Any) -> dict[str, Sequence[str]]:
    return {row["name"]: row["columns"] for row in await connection.fetch(_INDEXES)}


def _read(root: Mapping[str, Any], indexes: Mapping[str, Sequence[str]]) -> Plan:
    scans: list[Scan] = []

    def walk(node: Mapping[str, Any], depth: int, table: str | None) -> Iterator[str]:
        table = node.get("Relation Name", table)
        yield "  " * depth + _words(node, indexes)
        # A bitmap is read where the indexes below it say so.
        if node["Node Type"] != "Bitmap Heap Scan" and ("Relation Name" in node or "Index Name" in node):
            index = node.get("Index Name")
            columns = indexes[index] if index else ()
            scans.append(
                Scan(node["Node Type"], table or "", index, _found_by(node, columns), next(iter(columns), None))
            )
        for child in node.get("Plans", ()):
            yield from walk(child, depth + 1, table)

    return Plan([*walk(root, 0, None)], scans)


def _words(node: Mapping[str, Any], indexes: Mapping[str, Sequence[str]]) -> str:
    """Return what a node does, in PostgreSQL's words, without costs or numbers."""
    words: str = node["Node Type"]
    if node.get("Join Type", "Inner") != "Inner":
        words += f" {node['Join Type']}"
    if index := node.get("Index Name"):
        words += f" {index} ({', '.join(_found_by(node, indexes[index]))})"
        words += " backward" if node.get("Scan Direction") == "Backward" else ""
    if table := node.get("Relation Name"):
        words += f" on {table}"
    if called := node.get("CTE Name") or node.get("Function Name"):
        words += f" {called}"
    if name := node.get("Subplan Name"):
        words = f"{name}: {words}"
    return words


def _found_by(node: Mapping[str, Any], columns: Sequence[str]) -> Sequence[str]:
    """Return the columns of an index that its condition names; those of other tables stand behind a dot there."""
    condition = node.get("Index Cond", "")
    return [column for column in columns if re.search(rf"(?<![\w.]){re.escape(column)}(?!\w)", condition)]


def page_of(answered: Sequence[Answered]) -> str:
    """Return the page; a statement that several questions ask is shown where it is asked first."""
    lines = [_HEAD.format(transactions=TRANSACTIONS, others=OTHERS)]
    shown: set[tuple[str, tuple[str, ...]]] = set()
    for each in answered:
        words = each.question.words
        lines += [f"## {words[0].upper()}{words[1:]}", ""]
        for planned in each.planned:
            name, generic, custom = planned.statement.name, planned.generic, planned.custom
            if (name, (*generic.lines, *custom.lines)) in shown:
                lines += [f"`{name}`, as above", ""]
                continue
            shown.add((name, (*generic.lines, *custom.lines)))
            lines += [f"`{name}`", "", "```text", *generic.lines, "```", ""]
            if custom.lines != generic.lines:
                lines += ["For these values:", "", "```text", *custom.lines, "```", ""]
    return "\n".join(lines)


async def _write(stack: LocalStack, transactions: int) -> None:
    async with databases(stack, transactions) as asking:
        await add_others(stack)
        page = page_of(await answer_all(asking))
    if transactions == TRANSACTIONS:
        PAGE.write_text(page, "utf-8")
        print(PAGE)
        return
    written = PAGE.read_text("utf-8").splitlines()
    print("\n".join(unified_diff(written, page.splitlines(), str(TRANSACTIONS), str(transactions), lineterm="", n=4)))


def main() -> int:
    """Run PostgreSQL in a folder of its own, which is deleted afterwards."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.plans", description=__doc__)
    parser.add_argument("--transactions", type=int, default=TRANSACTIONS, help="another size, to compare")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="cash-flow-plans-"))
    stack = LocalStack(folder, Choices(processes=("postgres",), any_ports=True), partial(print, file=sys.stderr))
    try:
        stack.start()
        asyncio.run(_write(stack, arguments.transactions))
    finally:
        stack.stop()
        remove_postgres(stack.home)
        shutil.rmtree(folder, ignore_errors=True)
    return 0


_HEAD = """# Query plans

Written by `.venv/bin/python -m tests.bench.plans`; `tests/integration/test_read_plans.py` shows that it is true.

How PostgreSQL 18 answers every question that the gateway asks, about a ledger of {transactions:,} transactions in four
years beside {others} small ones, with the settings of our connections: the plan for any values, and, where that is
another one, the plan for the values asked with. A statement has the name of its constant below `gateway/queries`, or of
the function that puts it together.

In parentheses stand the columns by which an index finds its rows. No table is read whole: of every index the first
column is given, which is the ledger wherever there is one. Another size can be compared:
`.venv/bin/python -m tests.bench.plans --transactions 1000000`.
"""
_EXPLAIN = "EXPLAIN (FORMAT JSON, COSTS OFF)"
_INDEXES = """
SELECT c.relname AS name,
       array_agg(pg_get_indexdef(i.indexrelid, place, true) ORDER BY place) AS columns
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
CROSS JOIN LATERAL generate_series(1, i.indnkeyatts) AS place
WHERE c.relnamespace = 'public'::regnamespace
GROUP BY c.relname
"""
_COLUMNS_BUT = """
SELECT string_agg(attname, ', ' ORDER BY attnum) FROM pg_attribute
WHERE attrelid = $1::regclass AND attnum > 0 AND attname <> $2
"""
_OF_OTHERS = (
    ("ledgers", "id", "true"),
    ("members", "ledger_id", "true"),
    ("accounts", "ledger_id", "true"),
    ("balances", "ledger_id", "true"),
    ("monthly_balances", "ledger_id", "month < '2022-02-01'"),
    ("transactions", "ledger_id", "sequence < 60"),
    ("postings", "ledger_id", "sequence < 60"),
)
_OPERATIONS = """
INSERT INTO operations (id, subject_id, user_id, noun, state, resource_id, request_hash, recorded_at, source_topic,
                        source_partition, source_offset)
SELECT operation_id, $1, $2, 'transaction', CASE WHEN sequence % 100 = 7 THEN 'refused' ELSE 'recorded' END, id,
       sha256(id::text::bytea), recorded_at, 'ledger.submissions', 0, sequence
FROM transactions WHERE ledger_id = $1 ORDER BY sequence
"""
_INVITATIONS = """
INSERT INTO invitations (ledger_id, id, invited_user_id, role, user_id, recorded_at, expires_at, ending)
SELECT $1, md5('invitation ' || number)::uuid, md5('person ' || number)::uuid, 'viewer', $2, timestamptz '2025-01-01',
       timestamptz '2025-01-15', CASE WHEN number % 3 = 0 THEN 'declined' END
FROM generate_series(1, 300) AS number
"""
_PEOPLE = """
INSERT INTO registrations (id, state, email, email_key, created_at, expires_at)
SELECT md5('person ' || number)::uuid, 'completed', email, email, timestamptz '2025-01-01', timestamptz '2025-01-02'
FROM generate_series(1, 5000) AS number, LATERAL (SELECT 'person' || number || '@example.org' AS email) AS named;
INSERT INTO users (id, registration_id, username, username_key, email, email_key, password_hash, base_currency,
                   time_zone, registered_at)
SELECT id, id, split_part(email, '@', 1), split_part(email, '@', 1), email, email_key, 'none', 'EUR', 'Europe/Berlin',
       created_at
FROM registrations;
INSERT INTO sessions (id, user_id, refresh_hash, started_at, refreshed_at, expires_at, ended_at)
SELECT md5(id::text || number)::uuid, id, sha256(id::text::bytea), registered_at, registered_at,
       registered_at + interval '60 days', CASE WHEN number > 1 THEN registered_at + interval '1 day' END
FROM users, generate_series(1, 4) AS number;
INSERT INTO operations (id, subject_id, user_id, noun, state, request_hash, recorded_at, source_topic,
                        source_partition, source_offset)
SELECT id, user_id, user_id, 'session', 'recorded', refresh_hash, started_at, 'identity.submissions', 0, 1
FROM sessions;
INSERT INTO mails (registration_id, issue, kind, message_id, state, due_at, created_at)
SELECT id, 1, 'verification_code', id::text, 'sent', created_at, created_at FROM registrations;
INSERT INTO mails (user_id, kind, message_id, state, due_at, created_at)
SELECT id, 'password_changed', id::text, 'sent', registered_at, registered_at FROM users
"""


if __name__ == "__main__":
    sys.exit(main())
