"""The command that opens psql at a database, to look around: it reads everything and changes nothing."""

import os
import sys
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.connection.programs import find_program
from cli.operating.operator_settings import settings_of
from cli.terminal.output import fail

if TYPE_CHECKING:
    from infra.settings import PostgresSettings

#: What an operator may see is what the consumers write. Whoever really means to write takes another role.
_READ_ONLY = "-c default_transaction_read_only=on"


class Which(StrEnum):
    """Our databases."""

    USERS = "users"
    LEDGER = "ledger"


def register(app: typer.Typer) -> None:
    """Add this command to ``cash``."""
    app.command("psql")(psql)


def psql(
    which: Annotated[Which, typer.Argument(metavar="DATABASE", help="users or ledger.")],
    words: Annotated[
        list[str] | None, typer.Argument(metavar="-- WORDS", help="What psql itself is told, such as -c and a query.")
    ] = None,
) -> None:
    """Look into a database with psql; nothing can be changed there.

    The database is that of the local stack, or the one that CASH_USERS_DB_HOST, CASH_LEDGER_DB_HOST and their
    companions name. docs/database.md says what is in the tables.

    Examples:
        cash psql ledger
        cash psql users -- -c "SELECT username, registered_at FROM users"
    """
    from infra.settings import LedgerDatabaseSettings, UsersDatabaseSettings

    settings = settings_of(UsersDatabaseSettings if which is Which.USERS else LedgerDatabaseSettings)
    program = _find_psql(settings.host)
    sys.stdout.flush()
    # psql takes this process's place: Ctrl-C, the terminal and the exit code are its own.
    os.execve(program, [program, *(words or ())], {**os.environ, **_environment(settings)})  # noqa: S606 - no shell


def _find_psql(host: str) -> str:
    """Return where psql is: on the path, else the one that came with the local stack's server."""
    from infra.local.downloads import find_postgres
    from infra.local.home import StackError
    from infra.local.ports import LOOPBACK

    # The local stack's own psql is as new as its server; it speaks no TLS, which other servers ask for.
    found = None if host == LOOPBACK else find_program("psql")
    if found is None:
        try:
            packaged = find_postgres() / "psql"
        except StackError:
            packaged = Path()
        found = str(packaged) if packaged.is_file() else find_program("psql")
    if found is None:
        fail("there is no psql on this machine; install PostgreSQL's client programs, version 18")
    return found


def _environment(settings: "PostgresSettings") -> Mapping[str, str]:
    """Return what tells psql where to connect; nobody else sees a process's environment, its words everybody."""
    certificates = getattr(settings, "ssl_cafile", None)
    return {
        "PGHOST": settings.host,
        "PGPORT": str(settings.port),
        "PGDATABASE": settings.name,
        "PGUSER": settings.user,
        "PGPASSWORD": settings.password.get_secret_value(),
        "PGSSLMODE": settings.sslmode,
        "PGAPPNAME": "cash psql",
        "PGOPTIONS": _READ_ONLY,
        **({"PGSSLROOTCERT": str(certificates)} if certificates else {}),
    }
