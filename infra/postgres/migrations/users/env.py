"""Alembic's entry for the users database."""

from infra.postgres.migrations.environment import run
from infra.postgres.users_tables import metadata

run(metadata)
