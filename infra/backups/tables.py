"""The rows of a database's tables: into an archive, and out of it.

Which tables there are, the database says. What they are like is not in an archive: the migration that it names makes
them. Rows travel in COPY's text format, which every version of PostgreSQL reads and people can, too.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import asyncpg

from infra.backups.archive import ArchiveReader, ArchiveWriter
from infra.backups.chunks import ChunkWriter, read_chunks
from infra.backups.manifest import DatabasePart, TablePart
from infra.postgres.engine import unavailable
from infra.postgres.revisions import find_revision
from infra.settings import PostgresSettings

if TYPE_CHECKING:
    PlainConnection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

APPLICATION = "backup"
#: Alembic's own table: it says of which migration the others are.
REVISION_TABLE = "alembic_version"
#: A statement here reads or writes a whole table.
_ANSWER_TIMEOUT_S = 12 * 3600.0
#: Rows that are not kept: what was sent is in the journal.
_LEFT_OUT = {"outbox": "sent_at IS NOT NULL"}

_COLUMNS = """
    SELECT c.relname AS table, array_agg(a.attname::text ORDER BY a.attnum) AS columns
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND c.relname <> $1
      AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
    GROUP BY c.relname ORDER BY c.relname
"""
_REFERENCES = """
    SELECT o.relname AS from_table, r.relname AS to_table
    FROM pg_constraint k JOIN pg_class o ON o.oid = k.conrelid JOIN pg_class r ON r.oid = k.confrelid
    WHERE k.contype = 'f' AND o.relnamespace = 'public'::regnamespace AND o.oid <> r.oid
"""
_COUNTERS = """
    SELECT c.relname AS table, a.attname AS column
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attidentity <> ''
"""


class Shape(NamedTuple):
    """A table, and its columns that are not computed."""

    name: str
    columns: Sequence[str]


@asynccontextmanager
async def connected(settings: PostgresSettings) -> "AsyncIterator[PlainConnection]":
    """Lend a connection that may take its time, whatever the tables are like.

    Raises:
        Unavailable: PostgreSQL does not answer.
    """
    async with unavailable(f"connect to the database {settings.name}"):
        connection = await asyncpg.connect(
            host=settings.host,
            port=settings.port,
            database=settings.name,
            user=settings.user,
            password=settings.password.get_secret_value(),
            ssl=settings.tls(),
            timeout=10,
            command_timeout=_ANSWER_TIMEOUT_S,
            server_settings={"application_name": APPLICATION, "timezone": "UTC", "lock_timeout": "10s"},
        )
    try:
        yield connection
    finally:
        await connection.close(timeout=5)


async def read_shapes(connection: "PlainConnection") -> list[Shape]:
    """Return the tables in an order in which none points to a later one."""
    shapes = {row["table"]: Shape(*row) for row in await connection.fetch(_COLUMNS, REVISION_TABLE)}
    order: TopologicalSorter[str] = TopologicalSorter(dict.fromkeys(shapes, ()))
    for from_table, to_table in await connection.fetch(_REFERENCES):
        order.add(from_table, to_table)
    return [shapes[name] for name in order.static_order()]


async def is_empty(connection: "PlainConnection") -> bool:
    """Return whether no table has a row."""
    for shape in await read_shapes(connection):
        if await connection.fetchval(f'SELECT EXISTS (SELECT FROM "{shape.name}")'):  # noqa: S608 - a table of ours
            return False
    return True


async def dump(connection: "PlainConnection", name: str, archive: ArchiveWriter) -> DatabasePart:
    """Put every row that the connection's snapshot sees into the archive.

    Memory does not grow with the number of rows. The connection must be in a database transaction with one snapshot.
    """
    seen_at = await connection.fetchval("SELECT now()")
    revision = await find_revision(connection)
    assert revision is not None  # whoever calls has looked
    tables = []
    for shape in await read_shapes(connection):
        chunks = ChunkWriter(archive, f"{name}/{shape.name}")
        condition = f" WHERE NOT ({_LEFT_OUT[shape.name]})" if shape.name in _LEFT_OUT else ""
        query = f'SELECT {_quoted(shape.columns)} FROM "{shape.name}"{condition}'  # noqa: S608 - names of our own tables
        status = await connection.copy_from_query(query, output=chunks.take)
        await chunks.flush()
        tables.append(TablePart(shape.name, shape.columns, _count(status)))
    return DatabasePart(name, revision, seen_at, tables)


async def empty(connection: "PlainConnection") -> None:
    """Delete every row."""
    if shapes := await read_shapes(connection):
        await connection.execute(f"TRUNCATE {_quoted([shape.name for shape in shapes])}")


async def load(connection: "PlainConnection", part: DatabasePart, archive: ArchiveReader) -> None:
    """Put a part's rows into tables that are empty and of its migration, and set what counts their ids."""
    for table in part.tables:
        await connection.copy_to_table(
            table.name,
            columns=list(table.columns),
            source=read_chunks(archive, f"{part.name}/{table.name}"),
        )
    for table_name, column in await connection.fetch(_COUNTERS):
        await connection.execute(
            f"SELECT setval(pg_get_serial_sequence('{table_name}', '{column}'),"  # noqa: S608 - names of our own tables
            f' coalesce((SELECT max("{column}") FROM "{table_name}"), 0) + 1, false)'
        )


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _count(status: str) -> int:
    """Return the rows that COPY says it copied: ``COPY 42``."""
    return int(status.split()[-1])
