"""Alembic's entry for the ledger database."""

from infra.postgres.ledger_tables import metadata
from infra.postgres.migrations.environment import run

run(metadata)
