"""Bring the tables of both databases to the newest revision, by Alembic: ``python -m infra.postgres.migrate``.

Safe to run at any time, twice at once, and by a version that is older than the tables: an image that is rolled back
must not fail at tables that have what it needs and more.
"""

import asyncio
import sys
import time
from collections.abc import Sequence

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.util.exc import CommandError
from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError

from infra.errors import Unavailable
from infra.postgres.engine import unavailable
from infra.postgres.revisions import MIGRATIONS, find_revision, is_newer, newest_revision
from infra.settings import LedgerDatabaseSettings, PostgresSettings, UsersDatabaseSettings, read

#: How long a server that does not answer, roles that are not made yet, or tables in use are waited for.
WITHIN_S = 300.0
AGAIN_AFTER_S = 2.0
#: Classes of SQLSTATE, and states, after which the same may work a moment later.
_LATER = {
    "08": "the connection was lost",
    "57": "the server is stopping",
    "55P03": "a table is in use",
    "40P01": "two waited for each other",
}


class MigrationFailed(Exception):
    """A database could not be migrated, in words for whoever started it."""


def alembic_config(settings: PostgresSettings, database: str) -> Config:
    """Return Alembic's configuration for one database (``users`` or ``ledger``); no ini file is read."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS / database))
    config.attributes["url"] = URL.create(
        "postgresql+asyncpg",
        username=settings.user,
        password=settings.password.get_secret_value(),
        host=settings.host,
        port=settings.port,
        database=settings.name,
    )
    config.attributes["ssl"] = settings.tls()
    return config


def migrate(databases: Sequence[tuple[PostgresSettings, str]], *, within_s: float = WITHIN_S) -> None:
    """Upgrade each database to the newest revision that is known here, waiting for what is not to be had yet.

    Raises:
        MigrationFailed: it was not possible within ``within_s`` seconds, with the last reason.
    """
    deadline = time.monotonic() + within_s
    for settings, database in databases:
        while reason := _upgrade(settings, database):
            if time.monotonic() + AGAIN_AFTER_S > deadline:
                raise MigrationFailed(f"{database}: {reason}, for {within_s:.0f} s")
            print(f"{database}: {reason}; trying again", flush=True)
            time.sleep(AGAIN_AFTER_S)


def _upgrade(settings: PostgresSettings, database: str) -> str | None:
    """Upgrade and say so; return why not where the same may work a moment later."""
    newest = newest_revision(database)
    try:
        revision = asyncio.run(_revision_of(settings))
        if not is_newer(revision, newest):
            command.upgrade(alembic_config(settings, database), "head")
            revision = newest
    except Unavailable as error:
        return error.in_full()
    except OSError as error:
        return f"the server does not answer ({error})"
    except CommandError as error:
        # A newer version has migrated it between the look and the upgrade: the next look sees it.
        return str(error)
    except DBAPIError as error:
        state = str(getattr(error.orig, "sqlstate", None) or "")
        if reason := _LATER.get(state) or _LATER.get(state[:2]):
            return reason
        raise
    if is_newer(revision, newest):
        print(f"{database}: at revision {revision}, later than this version knows ({newest}); nothing to do")
    else:
        print(f"{database}: at revision {revision}")
    return None


async def _revision_of(settings: PostgresSettings) -> str | None:
    async with unavailable(f"connect to {settings.host}:{settings.port}"):
        connection = await asyncpg.connect(
            host=settings.host,
            port=settings.port,
            user=settings.user,
            password=settings.password.get_secret_value(),
            database=settings.name,
            ssl=settings.tls(),
            timeout=5,
        )
        try:
            return await find_revision(connection)
        finally:
            await connection.close()


def main() -> int:
    """Migrate both databases with the settings of the environment (the migrator roles)."""
    try:
        migrate([(read(UsersDatabaseSettings), "users"), (read(LedgerDatabaseSettings), "ledger")])
    except MigrationFailed as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
