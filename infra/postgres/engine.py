"""PostgreSQL through asyncpg: a pool per database, one way to open a database transaction, one table of errors."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeAlias, TypedDict

import asyncpg

from infra.errors import TookTooLong, Unavailable
from infra.postgres.pools import POOLS
from infra.postgres.revisions import needed_by, require_revision
from infra.settings import PostgresSettings, SslMode

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

# Text, because asyncpg's classes are generic in its type stubs only.
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"

#: Errors that say "later", not "wrong": lost connections, a server starting or stopping, locks, deadlocks,
#: serialisation, time-outs, no room. Each rolls the database transaction back, so trying again is safe.
RETRYABLE: tuple[type[BaseException], ...] = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    # What asyncpg raises, before it sends anything, on an idle connection that a dying server has just taken leave on.
    asyncpg.InternalClientError,
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.LockNotAvailableError,
    asyncpg.QueryCanceledError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InvalidAuthorizationSpecificationError,
    # The database is gone, or another one is just getting its name (`cash ledger rebuild --switch-over`).
    asyncpg.InvalidCatalogNameError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.TransactionTimeoutError,
    asyncpg.PostgresSystemError,
    asyncpg.ReadOnlySQLTransactionError,
    OSError,
    TimeoutError,
)

#: Everything a process asks is by key. Without this a statement first planned while its tables were nearly empty is
#: planned to read them whole, and stays so as they grow, until statistics are next taken: a waiting POST took four
#: times as long after 20,000 others [measured]. What reads whole tables says so: :func:`reading_whole_tables`.
BY_KEY = {"enable_seqscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off"}

#: How long a statement waits for a lock, and a database transaction lives: what holds others up longer is rolled back.
TIMEOUTS = {"lock_timeout": "5s", "transaction_timeout": "30s"}


class DatabaseReplaced(Unavailable):
    """Another database has the name of the one that was used before: what a process knows of that one may be wrong."""


class _Arguments(TypedDict):
    host: str
    port: int
    database: str
    user: str
    password: str
    ssl: ssl.SSLContext | SslMode
    timeout: float
    command_timeout: float
    server_settings: dict[str, str]


class Database:
    """A pool of connections to one database. Open it with :meth:`start`, close it with :meth:`stop`."""

    def __init__(
        self,
        settings: PostgresSettings,
        *,
        application: str,
        answer_timeout_s: float = 35,
        tells_replacement: bool = False,
    ) -> None:
        """Keep the settings; ``application`` is the name PostgreSQL shows for our connections.

        ``answer_timeout_s`` is the longest wait for a statement: a server that hangs, or a network that swallows, is
        one that is down. By default a little more than a database transaction may take: the server is first to say.
        ``tells_replacement`` refuses the pool's connections, with :class:`DatabaseReplaced`, once another database has
        got the name of the first one.

        Tables that are older than this version needs are no database to work with: connections are refused with
        :class:`infra.postgres.revisions.SchemaBehind` until the migration has run.
        """
        self._settings = settings
        self._application = application
        self._answer_timeout_s = answer_timeout_s
        self._tells_replacement = tells_replacement
        self._oid: int | None = None
        self._needs = needed_by(settings)
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None

    @property
    def name(self) -> str:
        """The database's name, for logs and metrics."""
        return self._settings.name

    async def connect(self) -> "asyncpg.Connection[asyncpg.Record]":
        """Open one connection outside the pool, for a lock or LISTEN that lives as long as it.

        Raises:
            Unavailable: PostgreSQL does not answer.
        """
        async with unavailable(f"connect to {self.name}"):
            connection = await asyncpg.connect(**self._arguments())
            try:
                await self._check_revision(connection)
            except BaseException:
                connection.terminate()
                raise
            return connection

    async def start(self) -> None:
        """Open the pool, empty: connections are made when first needed, so a start does not wait for the server."""
        self._pool = await asyncpg.create_pool(
            min_size=0,
            max_size=self._settings.pool_size,
            max_inactive_connection_lifetime=300,
            reset=_keep,
            init=self._meet,
            **self._arguments(),
        )
        POOLS.add(self.name, self._pool)

    async def stop(self) -> None:
        """Close every connection; what is under way is given five seconds."""
        if self._pool is not None:
            pool, self._pool = self._pool, None
            POOLS.remove(pool)
            try:
                await asyncio.wait_for(pool.close(), 5)
            except TimeoutError:
                pool.terminate()

    @asynccontextmanager
    async def connection(self, operation: str) -> "AsyncIterator[Connection]":
        """Lend a connection for reading; ``operation`` names what is done, for the error.

        Raises:
            Unavailable: no connection could be had within 5 s, or it broke.
        """
        if self._pool is None:
            raise Unavailable(operation)
        async with unavailable(operation), self._pool.acquire(timeout=5) as connection:
            yield connection

    @asynccontextmanager
    async def transaction(self, operation: str, *, timeout_s: int | None = None) -> "AsyncIterator[Connection]":
        """Open a READ COMMITTED database transaction, committed at the end of the block, rolled back on any error.

        ``timeout_s`` replaces the time it may take, :data:`TIMEOUTS`; saying so costs a round trip.

        Raises:
            Unavailable: PostgreSQL is down, a lock was not had in time, or it chose us as a deadlock's victim.
        """
        async with self.connection(operation) as connection, connection.transaction():
            if timeout_s is not None:
                await connection.execute(f"SET LOCAL transaction_timeout = '{timeout_s}s'")
            yield connection

    async def ping(self) -> None:
        """Raise ``Unavailable`` unless the database answers a query within two seconds."""
        async with self.connection(f"ping {self.name}") as connection:
            await connection.fetchval("SELECT 1", timeout=2)

    async def _meet(self, connection: Connection) -> None:
        if self._tells_replacement:
            await self._recognise(connection)
        await self._check_revision(connection)

    async def _check_revision(self, connection: Connection) -> None:
        if self._needs is not None:
            await require_revision(connection, self.name, self._needs)
            self._needs = None  # a database that was migrated stays so

    async def _recognise(self, connection: Connection) -> None:
        oid = await connection.fetchval("SELECT oid FROM pg_database WHERE datname = current_database()")
        if self._oid is not None and oid != self._oid:
            raise DatabaseReplaced(f"connect to {self.name}: it is another database than before")
        self._oid = oid

    def _arguments(self) -> _Arguments:
        settings = self._settings
        return {
            "host": settings.host,
            "port": settings.port,
            "database": settings.name,
            "user": settings.user,
            "password": settings.password.get_secret_value(),
            "ssl": settings.tls(),
            "timeout": 5,
            "command_timeout": self._answer_timeout_s,
            "server_settings": {"application_name": self._application, "timezone": "UTC", **TIMEOUTS, **BY_KEY},
        }


async def reading_whole_tables(connection: Connection) -> None:
    """Let the rest of this database transaction be planned for reading whole tables, and take its time."""
    settings = [*(f"{name} = on" for name in BY_KEY), "transaction_timeout = 0"]
    await connection.execute("; ".join(f"SET LOCAL {setting}" for setting in settings))


def without_rows(error: Exception) -> Exception:
    """Take out of an error what PostgreSQL shows of the row it refused: somebody's address or hash may stand in it."""
    if isinstance(error, asyncpg.PostgresError):
        error.detail = None
    return error


async def _keep(_: object) -> None:
    """Leave a returned connection as it is: nothing of ours outlives its database transaction (SET LOCAL).

    Asyncpg would spend a round trip on each return to undo what nobody did.
    """


@asynccontextmanager
async def unavailable(operation: str) -> AsyncIterator[None]:
    """Turn the errors that say "later" into :class:`Unavailable`, keeping their cause."""
    try:
        yield
    except RETRYABLE as error:
        if isinstance(error, asyncpg.InterfaceError) and _is_wrong(error):
            raise
        kind = TookTooLong if isinstance(error, asyncpg.TransactionTimeoutError) else Unavailable
        raise kind(operation) from error


def _is_wrong(error: asyncpg.InterfaceError) -> bool:
    """Return whether asyncpg complains of what it was given: among its errors of this kind, most say a connection went.

    The same again would fail for ever: it is a defect, and delivery must find the record.
    """
    return isinstance(error, ValueError) or "the server expects" in str(error)
