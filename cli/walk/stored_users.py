"""Holding the stored users against the identity journal, where Kafka and the users database can be reached."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from cli.operating.operator_settings import settings_of
from cli.terminal.output import ExitCode, fail
from contracts.topics import IDENTITY_JOURNAL
from contracts.users import UserRegistered

_RECORDS = 1000
#: What is younger is still on its way from the outbox to the journal.
_UNDERWAY = timedelta(seconds=30)


@dataclass(frozen=True)
class Users:
    """Who was registered according to the journal, and who is stored; the journal forgets after its retention."""

    written: frozenset[UUID]
    stored: dict[UUID, datetime]

    def differences(self) -> list[str]:
        """Return who is in one and not in the other, a sentence each."""
        now = datetime.now(UTC)
        since, until = now - (IDENTITY_JOURNAL.retention or timedelta.max) + timedelta(days=1), now - _UNDERWAY
        expected = {user for user, registered_at in self.stored.items() if since < registered_at < until}
        lost = [f"the user {user} is in the journal and not stored" for user in self.written - self.stored.keys()]
        extra = [f"the user {user} is stored, and the journal has none of it" for user in expected - self.written]
        return lost + extra


def read_users() -> Users:
    """Read the identity journal and the users database.

    Raises:
        Failure: one of the two cannot be reached from here.
    """
    from infra.errors import Unavailable

    try:
        return asyncio.run(_read())
    except Unavailable as error:
        fail(f"users cannot be compared: {error} did not work ({error.__cause__})", ExitCode.UNREACHABLE)


async def _read() -> Users:
    from infra.kafka.reading import reading
    from infra.postgres.engine import Database
    from infra.settings import KafkaSettings, UsersDatabaseSettings

    written = set()
    async with reading(settings_of(KafkaSettings), IDENTITY_JOURNAL.name, "cash-test") as reader:
        async for records in reader.read_to(await reader.ends(), records_max=_RECORDS):
            for record in records:
                if dict(record.headers).get("ce_type") == UserRegistered.type.encode():
                    written.add(UserRegistered.model_validate_json(record.value).user_id)
    database = Database(settings_of(UsersDatabaseSettings), application="cash-test")
    await database.start()
    try:
        async with database.connection("list users") as connection:
            rows = await connection.fetch("SELECT id, registered_at FROM users")
    finally:
        await database.stop()
    return Users(frozenset(written), {row["id"]: row["registered_at"] for row in rows})
