"""The expiry job on a real database."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from consumers.jobs.expiry import expire_due, tidy_away
from consumers.repositories.outbox import read_messages
from contracts.catalog import read_journal_entry
from contracts.messages import JournalEntry
from contracts.registrations import RegistrationExpired
from contracts.sessions import SessionEnded, SessionEnding
from infra.local.stack import LocalStack
from infra.postgres.engine import Database
from tests.builders.users_database import a_users_database

pytestmark = pytest.mark.stack


class Rows:
    """The users database, row by row."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def run(self, statement: str, *arguments: Any) -> list[Any]:
        async with self.database.connection("test") as connection:
            return await connection.fetch(statement, *arguments)

    async def registration(self, state: str, *, expires: str, code_expires: str = "10 minutes") -> UUID:
        registration_id = uuid4()
        await self.run(
            "INSERT INTO registrations (id, state, email, email_key, base_currency, time_zone, issue, created_at,"
            f" expires_at, code_expires_at) VALUES ($1, $2, 'a@b.c', 'a@b.c', 'EUR', 'UTC', 1, now(),"
            f" now() + interval '{expires}', now() + interval '{code_expires}')",
            registration_id,
            state,
        )
        return registration_id

    async def user(self) -> UUID:
        user_id = uuid4()
        registration_id = await self.registration("completed", expires="1 day")
        await self.run(
            "INSERT INTO users (id, registration_id, username, username_key, email, email_key, password_hash,"
            " base_currency, time_zone, registered_at) VALUES ($1, $2, $3, $3, $3, $3, 'x', 'EUR', 'UTC', now())",
            user_id,
            registration_id,
            str(user_id),
        )
        return user_id

    async def session(self, user_id: UUID, *, expires: str) -> UUID:
        session_id = uuid4()
        await self.run(
            "INSERT INTO sessions (id, user_id, refresh_hash, started_at, refreshed_at, expires_at)"
            f" VALUES ($1, $2, '\\x00', now(), now(), now() + interval '{expires}')",
            session_id,
            user_id,
        )
        return session_id

    async def journal(self) -> list[JournalEntry]:
        return [
            read_journal_entry(dict(headers)["ce_type"].decode(), value)
            for row in await self.run("SELECT messages FROM outbox ORDER BY id")
            for _, headers, value in read_messages(row["messages"])
        ]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def database(stack: LocalStack) -> AsyncIterator[Database]:
    async with a_users_database(stack) as database:
        yield database


@pytest_asyncio.fixture(loop_scope="session")
async def rows(database: Database) -> Rows:
    rows = Rows(database)
    for table in ("outbox", "operations", "sessions", "users", "registrations"):
        await rows.run(f"DELETE FROM {table}")
    return rows


async def test_what_is_over_ends_once_with_an_entry_in_the_journal(rows: Rows) -> None:
    over = [await rows.registration(state, expires="-1 second") for state in ("pending", "verified")]
    alive = [await rows.registration(state, expires="1 minute") for state in ("pending", "verified")]
    user_id = await rows.user()
    old, young = await rows.session(user_id, expires="-1 second"), await rows.session(user_id, expires="1 minute")

    await asyncio.gather(*(expire_due(rows.database) for _ in range(3)))
    await expire_due(rows.database)

    states = {row["id"]: row["state"] for row in await rows.run("SELECT id, state FROM registrations")}
    assert [states[each] for each in over] == ["expired", "expired"]
    assert [states[each] for each in alive] == ["pending", "verified"]
    endings = {row["id"]: row["ending"] for row in await rows.run("SELECT id, ending FROM sessions")}
    assert endings == {old: "expired", young: None}
    expected = [RegistrationExpired(registration_id=each) for each in over]
    ended = SessionEnded(user_id=user_id, session_id=old, ending=SessionEnding.EXPIRED)
    assert sorted(await rows.journal(), key=repr) == sorted([*expected, ended], key=repr)


async def test_a_code_whose_time_is_over_is_cleared_and_its_registration_lives_on(rows: Rows) -> None:
    over = await rows.registration("pending", expires="1 day", code_expires="-1 second")
    alive = await rows.registration("pending", expires="1 day", code_expires="1 minute")

    await expire_due(rows.database)

    codes = {
        row["id"]: row["code_expires_at"] for row in await rows.run("SELECT id, code_expires_at FROM registrations")
    }
    assert codes[over] is None
    assert codes[alive] is not None
    assert await rows.journal() == []


async def test_it_waits_for_no_consumer_and_comes_again_for_what_it_passed_over(rows: Rows) -> None:
    held, free = [await rows.registration("pending", expires="-1 second") for _ in range(2)]
    user_id = await rows.user()
    await rows.session(user_id, expires="-1 second")

    async with rows.database.transaction("hold") as connection:
        await connection.execute("SELECT FROM registrations WHERE id = $1 FOR NO KEY UPDATE", held)
        await connection.execute("SELECT FROM users WHERE id = $1 FOR NO KEY UPDATE", user_id)
        await asyncio.wait_for(expire_due(rows.database), 2)
        assert await rows.journal() == [RegistrationExpired(registration_id=free)]

    await expire_due(rows.database)
    assert len(await rows.journal()) == 3


async def test_a_thousand_end_in_one_run(rows: Rows) -> None:
    await rows.run(
        "INSERT INTO registrations (id, state, expires_at)"
        " SELECT gen_random_uuid(), 'pending', now() - interval '1 s' FROM generate_series(1, 1200)"
    )

    await expire_due(rows.database)

    assert len(await rows.journal()) == 1200


async def test_only_old_rows_are_tidied_away(rows: Rows) -> None:
    for kept in ("6 days 23 hours", "7 days 1 hour"):
        await rows.run(
            "INSERT INTO outbox (topic, message_count, messages, sent_at, created_at)"
            f" VALUES ('{kept}', 0, '', now() - interval '{kept}', now() - interval '{kept}')"
        )
    await rows.run(
        "INSERT INTO outbox (topic, message_count, messages, created_at)"
        " VALUES ('unsent', 0, '', now() - interval '1 year')"
    )
    for kept in ("44 days", "46 days"):
        await rows.run(
            "INSERT INTO operations (id, subject_id, noun, idempotency_key, state, request_hash, request, recorded_at,"
            " source_topic, source_partition, source_offset) VALUES (gen_random_uuid(), gen_random_uuid(), 'user',"
            f" '{kept}', 'recorded', '', '', now() - interval '{kept}', 't', 0, 0)"
        )

    await tidy_away(rows.database)

    assert {row["topic"] for row in await rows.run("SELECT topic FROM outbox")} == {"6 days 23 hours", "unsent"}
    assert [row[0] for row in await rows.run("SELECT idempotency_key FROM operations")] == ["44 days"]
