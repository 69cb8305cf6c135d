"""The state hash: one number for all that a ledger database knows, so that two of them can be compared.

Each table's rows are read in the order of their primary key and hashed (SHA-256) as PostgreSQL's COPY writes them: a
line each, all columns in the order of the table's definition, in UTC. The hash of the state is that of the tables'
hashes. Left out is what no journal entry says: operations, the outbox, and ledgers that were never opened.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Table, Text
from sqlalchemy.types import TypeEngine

from infra.postgres.engine import Connection
from infra.postgres.ledger_tables import ledgers, metadata, operations, outbox

#: The tables that are the state, in the order they are hashed in.
STATE_TABLES: tuple[Table, ...] = tuple(
    table for table in sorted(metadata.tables.values(), key=lambda each: each.name) if table not in (operations, outbox)
)


@dataclass(frozen=True, slots=True)
class StateHash:
    """The hashes (hex) and the numbers of rows of one database's tables, by name."""

    tables: Mapping[str, str]
    rows: Mapping[str, int]

    @property
    def total(self) -> str:
        """The hash of the whole state."""
        lines = "".join(f"{name} {digest}\n" for name, digest in sorted(self.tables.items()))
        return hashlib.sha256(lines.encode()).hexdigest()

    def differing(self, other: "StateHash") -> list[str]:
        """Return the names of the tables that the two databases do not agree on."""
        return [name for name in self.tables if self.tables[name] != other.tables[name]]


class _Hashing:
    """Takes the pieces of a COPY as they come."""

    def __init__(self) -> None:
        self.digest = hashlib.sha256()
        self.rows = 0

    async def take(self, piece: bytes) -> None:
        self.digest.update(piece)
        # COPY ends each row with a line feed, and escapes those in it.
        self.rows += piece.count(b"\n")


async def hash_state(connection: Connection, ledger_ids: Sequence[UUID] | None = None) -> StateHash:
    """Hash the state of the database, or of some of its ledgers.

    Memory does not grow with the number of rows. The connection must be in a database transaction with one snapshot in
    which whole tables may be read (:func:`infra.postgres.engine.reading_whole_tables`) and whose time zone is UTC.
    """
    tables: dict[str, str] = {}
    rows: dict[str, int] = {}
    for table in STATE_TABLES:
        hashing = _Hashing()
        await connection.copy_from_query(_query(table, ledger_ids), output=hashing.take)
        tables[table.name], rows[table.name] = hashing.digest.hexdigest(), hashing.rows
    return StateHash(tables, rows)


async def list_differing_ledgers(first: Connection, second: Connection, table_name: str, limit: int = 3) -> list[str]:
    """Return the ids of some ledgers whose rows in a table the two databases do not agree on, smallest first."""
    table = metadata.tables[table_name]
    query = _query(table, None, f"{_ledger_column(table)}::text AS ledger_id, md5(r.*::text)")
    summary = f"SELECT ledger_id, md5(string_agg(md5, '' ORDER BY md5)) FROM ({query}) AS hashed GROUP BY 1"  # noqa: S608 - names of our own tables
    found = [{(row[0], row[1]) for row in await connection.fetch(summary)} for connection in (first, second)]
    differing = {str(ledger_id) for ledger_id, _ in found[0] ^ found[1]}
    return sorted(differing)[:limit]


def _ledger_column(table: Table) -> str:
    return "id" if table is ledgers else "ledger_id"


def _query(table: Table, ledger_ids: Sequence[UUID] | None, columns: str | None = None) -> str:
    """Return the query for a table's rows in their order.

    COPY takes no parameters; ids are written into it, which their type keeps harmless.
    """
    columns = columns or ", ".join(f'"{column.name}"' for column in table.columns)
    conditions = ["r.sequence > 0"] if table is ledgers else []
    if ledger_ids is not None:
        listed = ", ".join(f"'{ledger_id}'" for ledger_id in ledger_ids)
        conditions.append(f"{_ledger_column(table)} = ANY (ARRAY[{listed}]::uuid[])")
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    order = ", ".join(_sortable(column.name, column.type) for column in table.primary_key.columns)
    return f"SELECT {columns} FROM {table.name} AS r{where} ORDER BY {order}"  # noqa: S608 - as the docstring says


def _sortable(name: str, kind: TypeEngine[object]) -> str:
    """Order text by its bytes: the order must not depend on the server's language."""
    return f'"{name}" COLLATE "C"' if isinstance(kind, Text) else f'"{name}"'
