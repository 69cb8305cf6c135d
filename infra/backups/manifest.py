"""What an archive says of itself: first who made it and when, last what is in it."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec

KIND = "cash-flow backup"
VERSION = 1


class About(msgspec.Struct, frozen=True):
    """The first member: what this file is. ``version`` is that of the format, ``program`` that of cash-flow."""

    id: UUID
    made_at: datetime
    program: str
    kind: str = KIND
    version: int = VERSION


class Member(msgspec.Struct, frozen=True):
    """A member as it is stored: its name, how many bytes, and their SHA-256 (hex)."""

    name: str
    size: int
    sha256: str


class TablePart(msgspec.Struct, frozen=True):
    """A table's rows, in PostgreSQL's COPY text format, with these columns."""

    name: str
    columns: Sequence[str]
    rows: int


class DatabasePart(msgspec.Struct, frozen=True):
    """A database as it was at one moment (``seen_at``), and the migration its tables are of.

    The tables stand in an order in which none points to a later one.
    """

    name: str
    revision: str
    seen_at: datetime
    tables: Sequence[TablePart]

    @property
    def rows(self) -> int:
        """How many rows are in it."""
        return sum(table.rows for table in self.tables)

    def rows_of(self, name: str) -> int:
        """Return how many rows a table has; none where there is no such table."""
        return next((table.rows for table in self.tables if table.name == name), 0)


class JournalPart(msgspec.Struct, frozen=True):
    """The records of ``ledger.journal``, from its beginning to where it ended after the ledger database was read.

    ``lacking`` tells of ledgers whose last entries the database has and the journal has not, though they were sent.
    """

    records: int
    lacking: Sequence[str] = ()


class Manifest(msgspec.Struct, frozen=True):
    """The last member. ``offsets``: where each group that is named went on, before its database was read."""

    about: About
    databases: Sequence[DatabasePart]
    journal: JournalPart
    offsets: dict[str, dict[int, int]]
    keys: Sequence[str]
    members: Sequence[Member]

    def database(self, name: str) -> DatabasePart:
        """Return one database's part."""
        return next(part for part in self.databases if part.name == name)
