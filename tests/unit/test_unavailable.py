"""Which errors of PostgreSQL say "later": whoever takes one of them for a defect makes dead letters of good records."""

import asyncpg
import pytest

from infra.errors import Unavailable
from infra.postgres.engine import unavailable

LATER = [
    asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation"),
    asyncpg.CannotConnectNowError("the database system is starting up"),
    asyncpg.AdminShutdownError("terminating connection due to administrator command"),
    # Seen in the kill tests, a few times in each kill of a server with connections waiting in pools.
    asyncpg.InternalClientError("cannot switch to state 12; another operation (2) is in progress"),
    asyncpg.DeadlockDetectedError("deadlock detected"),
    asyncpg.SerializationError("could not serialize access"),
    asyncpg.LockNotAvailableError("canceling statement due to lock timeout"),
    ConnectionResetError(104, "Connection reset by peer"),
    TimeoutError(),
]


@pytest.mark.parametrize("error", LATER, ids=lambda error: type(error).__name__)
async def test_what_says_later_is_unavailable_and_keeps_its_cause(error: Exception) -> None:
    with pytest.raises(Unavailable, match="read a ledger") as raised:
        async with unavailable("read a ledger"):
            raise error
    assert raised.value.__cause__ is error


async def test_a_mistake_in_a_statement_is_a_defect() -> None:
    with pytest.raises(asyncpg.UndefinedColumnError):
        async with unavailable("read a ledger"):
            raise asyncpg.UndefinedColumnError("column does not exist")
