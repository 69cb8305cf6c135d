"""Which errors of PostgreSQL say "later": whoever takes one of them for a defect makes dead letters of good records."""

import asyncpg
import pytest
from asyncpg.exceptions._base import DataError

from infra.errors import TookTooLong, Unavailable
from infra.postgres.engine import unavailable, without_rows

LATER = [
    asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation"),
    asyncpg.CannotConnectNowError("the database system is starting up"),
    asyncpg.AdminShutdownError("terminating connection due to administrator command"),
    # Seen in the kill tests, a few times in each kill of a server with connections waiting in pools.
    asyncpg.InternalClientError("cannot switch to state 12; another operation (2) is in progress"),
    asyncpg.DeadlockDetectedError("deadlock detected"),
    asyncpg.SerializationError("could not serialize access"),
    asyncpg.LockNotAvailableError("canceling statement due to lock timeout"),
    asyncpg.InterfaceError("connection is closed"),
    ConnectionResetError(104, "Connection reset by peer"),
    TimeoutError(),
]


@pytest.mark.parametrize("error", LATER, ids=lambda error: type(error).__name__)
async def test_what_says_later_is_unavailable_and_keeps_its_cause(error: Exception) -> None:
    with pytest.raises(Unavailable, match="read a ledger") as raised:
        async with unavailable("read a ledger"):
            raise error
    assert raised.value.__cause__ is error


async def test_a_database_transaction_that_took_too_long_says_so() -> None:
    with pytest.raises(TookTooLong):
        async with unavailable("read a ledger"):
            raise asyncpg.TransactionTimeoutError("terminating connection due to transaction timeout")


WRONG = [
    asyncpg.UndefinedColumnError("column does not exist"),
    DataError("invalid input for query argument $1: 'many' ('str' object cannot be interpreted as an integer)"),
    asyncpg.InterfaceError("the server expects 7 arguments for this query, 6 were passed"),
]


@pytest.mark.parametrize("error", WRONG, ids=lambda error: type(error).__name__)
async def test_a_mistake_of_ours_is_a_defect_and_not_tried_for_ever(error: Exception) -> None:
    with pytest.raises(type(error)):
        async with unavailable("read a ledger"):
            raise error


def test_a_row_that_was_refused_does_not_stand_in_the_error() -> None:
    error = asyncpg.NotNullViolationError('null value in column "username"')
    error.detail = "Failing row contains (ann@example.org, $argon2id$v=19$secret)."

    assert "ann@example.org" not in str(without_rows(error))
