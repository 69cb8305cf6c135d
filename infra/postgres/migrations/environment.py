"""What Alembic runs for either database: what is missing, revision by revision, over asyncpg, one at a time."""

import asyncio
import time

from alembic import context
from sqlalchemy import Connection, MetaData, pool, text
from sqlalchemy.ext.asyncio import create_async_engine

#: How long a statement waits for a lock. While it waits, everybody else waits behind it: better to come again.
LOCK_TIMEOUT_S = 2.0
_TURN_EVERY_S = 0.5


def run(metadata: MetaData) -> None:
    """Run the migrations Alembic was asked for against the URL in the configuration."""
    asyncio.run(_run(metadata))


async def _run(metadata: MetaData) -> None:
    attributes = context.config.attributes
    engine = create_async_engine(attributes["url"], connect_args={"ssl": attributes["ssl"]}, poolclass=pool.NullPool)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_migrate, metadata)
    finally:
        await engine.dispose()


def _migrate(connection: Connection, metadata: MetaData) -> None:
    _wait_for_turn(connection)
    connection.execute(text(f"SET lock_timeout = {LOCK_TIMEOUT_S * 1000:.0f}"))
    connection.commit()
    context.configure(
        connection=connection,
        target_metadata=metadata,
        compare_type=True,
        compare_server_default=True,
        # Each revision holds its locks for itself alone, and one that failed is tried again without those before it.
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


def _wait_for_turn(connection: Connection) -> None:
    """Wait until nobody else migrates; it is our turn for as long as the connection lives.

    Two starts at once (two Pods, two shells) must not migrate at once: the second finds nothing to do. It asks again
    and again: one that waited in a statement would hold up ``CREATE INDEX CONCURRENTLY``, which waits for all of them.
    """
    while not connection.scalar(text("SELECT pg_try_advisory_lock(hashtext('cash-flow migrations'))")):
        connection.commit()
        time.sleep(_TURN_EVERY_S)
    connection.commit()
