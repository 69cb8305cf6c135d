"""Which revision of its tables a database is at, and which one this version of the code needs.

Revisions are numbered: a database at the needed one or a later one will do, since a later one takes nothing away that
is still used (docs/upgrading.md). Alembic is not asked, which would be a library to load for every process.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from infra.errors import Unavailable
from infra.settings import LedgerDatabaseSettings, PostgresSettings, UsersDatabaseSettings

if TYPE_CHECKING:
    from infra.postgres.engine import Connection

MIGRATIONS = Path(__file__).parent / "migrations"
#: How many digits of a migration's file name are its revision.
_DIGITS = 4


class SchemaBehind(Unavailable):
    """A database has not been migrated to what this version needs; that may happen any moment."""


def newest_revision(database: str) -> str:
    """Return the newest revision that the code knows of ``users`` or ``ledger``."""
    return max(path.name[:_DIGITS] for path in (MIGRATIONS / database / "versions").glob("[0-9]*.py"))


def is_newer(revision: str | None, known: str) -> bool:
    """Return whether a database's revision came after the newest one that the code knows."""
    return revision is not None and int(revision) > int(known)


def needed_by(settings: PostgresSettings) -> str | None:
    """Return the revision that a database of ours must have at least; ``None`` for one that is none of ours."""
    if isinstance(settings, UsersDatabaseSettings):
        return newest_revision("users")
    if isinstance(settings, LedgerDatabaseSettings):
        return newest_revision("ledger")
    return None


async def find_revision(connection: "Connection") -> str | None:
    """Return the revision a database is at; ``None`` where it has no tables yet."""
    # Asked first: a statement that fails would be an error in the server's log, at every first start. Who may not read
    # it comes while the first migration runs, whose last step grants that.
    if not await connection.fetchval("SELECT has_table_privilege(to_regclass('alembic_version'), 'SELECT')"):
        return None
    revision: str | None = await connection.fetchval("SELECT version_num FROM alembic_version")
    return revision


async def require_revision(connection: "Connection", name: str, needed: str) -> None:
    """Raise unless a database is at this revision or a later one.

    Raises:
        SchemaBehind: it is not, in words for whoever operates it.
    """
    revision = await find_revision(connection)
    if revision is None or int(revision) < int(needed):
        at = f"at revision {revision}" if revision else "without tables"
        raise SchemaBehind(
            f"the {name} database is {at}, this version needs {needed}: run the migration"
            " (python -m infra.postgres.migrate)"
        )
