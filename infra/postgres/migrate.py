"""Bring the schema of both databases to the newest revision, by Alembic: ``python -m infra.postgres.migrate``."""

import sys
from collections.abc import Sequence
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import URL

from infra.settings import LedgerDatabaseSettings, PostgresSettings, UsersDatabaseSettings, read

MIGRATIONS = Path(__file__).parent / "migrations"


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
    config.attributes["ssl"] = settings.sslmode
    return config


def newest_revision(database: str) -> str | None:
    """Return the newest revision that the code knows of ``users`` or ``ledger``."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS / database))
    return ScriptDirectory.from_config(config).get_current_head()


def migrate(databases: Sequence[tuple[PostgresSettings, str]]) -> None:
    """Upgrade each database to its newest revision, and say so."""
    for settings, database in databases:
        command.upgrade(alembic_config(settings, database), "head")
        print(f"{database}: at revision {newest_revision(database)}")


def main() -> int:
    """Migrate both databases with the settings of the environment (the migrator roles)."""
    migrate([(read(UsersDatabaseSettings), "users"), (read(LedgerDatabaseSettings), "ledger")])
    return 0


if __name__ == "__main__":
    sys.exit(main())
