"""A users database of a test's own, on the stack's PostgreSQL server, so that the stack's jobs leave its rows alone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import asyncpg

from infra.local.stack import LocalStack
from infra.postgres.bootstrap import UsersServerSettings
from infra.postgres.engine import Database
from infra.postgres.migrate import migrate
from infra.settings import UsersDatabaseSettings
from tests.builders.settings import settings_from


@asynccontextmanager
async def a_users_database(stack: LocalStack) -> AsyncIterator[Database]:
    """Create and migrate a database, lend it as the consumers' role, drop it."""
    name = f"users_{uuid4().hex[:12]}"
    server = settings_from(stack.environment("bootstrap-postgres"), UsersServerSettings)
    superuser = await asyncpg.connect(
        host=server.host,
        port=server.port,
        user=server.user,
        password=server.password.get_secret_value(),
        database="postgres",
    )
    try:
        await superuser.execute(f"CREATE DATABASE {name} OWNER users_migrator")
        migrator = settings_from(stack.environment("migrate"), UsersDatabaseSettings)
        await asyncio.to_thread(migrate, [(migrator.model_copy(update={"name": name}), "users")])
        consumer = settings_from(stack.environment("identity-consumer"), UsersDatabaseSettings)
        database = Database(consumer.model_copy(update={"name": name}), application="tests")
        await database.start()
        try:
            yield database
        finally:
            await database.stop()
            await superuser.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await superuser.close()
