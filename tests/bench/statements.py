"""What the gateway's questions ask PostgreSQL: each statement with its arguments, noted while it is asked."""

import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

from infra.postgres.engine import Connection, Database


@dataclass(frozen=True, slots=True)
class Statement:
    """What a database was asked; ``name`` is the constant's, or that of the function that put it together."""

    name: str
    text: str
    arguments: tuple[Any, ...]
    database: "NotingDatabase" = field(repr=False)


class NotingDatabase(Database):
    """A database that notes what it is asked."""

    _noted: list[Statement] | None = None

    def note_in(self, noted: list[Statement]) -> None:
        """Note it here from now on."""
        self._noted = noted

    def note(self, statement: Statement) -> None:
        """Note a statement, where somebody wants to know."""
        if self._noted is not None:
            self._noted.append(statement)

    @asynccontextmanager
    async def connection(self, operation: str) -> "AsyncIterator[Connection]":
        async with self.unnoted(operation) as connection:
            yield cast("Connection", _Noting(connection, self))

    def unnoted(self, operation: str) -> "AbstractAsyncContextManager[Connection]":
        """Lend a connection as it is."""
        return super().connection(operation)


class _Noting:
    """A connection that notes what it is asked, in the ways in which the gateway's questions ask."""

    def __init__(self, connection: Connection, database: NotingDatabase) -> None:
        self._connection = connection
        self._database = database

    async def fetch(self, query: str, *arguments: Any) -> Any:
        self._note(query, arguments)
        return await self._connection.fetch(query, *arguments)

    async def fetchrow(self, query: str, *arguments: Any) -> Any:
        self._note(query, arguments)
        return await self._connection.fetchrow(query, *arguments)

    async def fetchval(self, query: str, *arguments: Any) -> Any:
        self._note(query, arguments)
        return await self._connection.fetchval(query, *arguments)

    def _note(self, query: str, arguments: tuple[Any, ...]) -> None:
        asker = sys._getframe(2)
        constants = {value: name for name, value in asker.f_globals.items() if type(value) is str}
        module = asker.f_globals["__name__"].removeprefix("gateway.queries.")
        name = f"{module}.{constants.get(query, asker.f_code.co_qualname)}"
        self._database.note(Statement(name, query, arguments, self._database))
