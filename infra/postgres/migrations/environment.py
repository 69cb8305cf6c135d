"""What Alembic runs for either database: one online migration in one database transaction, over asyncpg."""

import asyncio

from alembic import context
from sqlalchemy import Connection, MetaData, pool, text
from sqlalchemy.ext.asyncio import create_async_engine


def run(metadata: MetaData) -> None:
    """Run the migrations Alembic was asked for against the URL in the configuration."""
    asyncio.run(_run(metadata))


async def _run(metadata: MetaData) -> None:
    attributes = context.config.attributes
    engine = create_async_engine(attributes["url"], connect_args={"ssl": attributes["ssl"]}, poolclass=pool.NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(_migrate, metadata)
        await connection.commit()
    await engine.dispose()


def _migrate(connection: Connection, metadata: MetaData) -> None:
    # Two starts at once (two Pods, two shells) must not migrate at once: the second waits and finds nothing to do.
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('cash-flow migrations'))"))
    context.configure(connection=connection, target_metadata=metadata, compare_type=True, compare_server_default=True)
    with context.begin_transaction():
        context.run_migrations()
