"""Making a system from a backup again: one that is empty, or what it has lost.

Nothing is changed before every byte of the archive is checked and the system is seen to be empty and at rest. Then the
databases are filled, each in one database transaction; the journal is written while these are open; and they are
committed at the end, the ledger's last. Killed anywhere, it leaves empty databases and a beginning of the journal that
is marked as this archive's, on which a ledger consumer refuses to begin; the next run starts over.
"""

import asyncio
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import UUID

from alembic import command

from contracts import topics
from infra.backups.archive import ArchiveReader
from infra.backups.journal import all_entries, measure, read_heights, survey_journal, write_journal
from infra.backups.losses import Lost
from infra.backups.making import GROUP, Say, Servers
from infra.backups.manifest import DatabasePart
from infra.backups.tables import connected, empty, is_empty, load
from infra.kafka.emptying import empty_topics
from infra.kafka.groups import count_members, measure_lags, set_offsets
from infra.postgres.engine import unavailable
from infra.postgres.migrate import alembic_config
from infra.postgres.revisions import find_revision, is_newer, newest_revision
from infra.settings import PostgresSettings

if TYPE_CHECKING:
    from infra.backups.tables import PlainConnection

#: So long a process that was told to stop may still be seen: a member with a name stays until its session is over.
STOPPED_WITHIN_S = 60.0
_ASK_EVERY_S = 0.5
#: How our processes call themselves where they are connected to a database.
PROCESSES = ("gateway", "identity-consumer", "ledger-consumer", "ledger-consumer-bulk", "relay", "celery-worker")

_CONNECTED = """
    SELECT DISTINCT application_name FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = ANY ($1::text[]) ORDER BY 1
"""
_END_SESSIONS = "UPDATE sessions SET ended_at = now(), ending = 'expired' WHERE ended_at IS NULL"
#: What was about to expire at the backup was used in time, and is used again late: it must not have expired meanwhile.
_KEEP_OPEN = """
    UPDATE registrations SET code_expires_at = greatest(code_expires_at, now() + interval '1 hour'),
                             expires_at = greatest(expires_at, now() + interval '1 hour')
    WHERE state IN ('pending', 'verified');
    UPDATE sessions SET expires_at = greatest(expires_at, now() + interval '1 hour') WHERE ended_at IS NULL
"""
_NEW_SCHEMA = "DROP SCHEMA public CASCADE; CREATE SCHEMA public; GRANT USAGE ON SCHEMA public TO PUBLIC"


class RestoreFailed(Exception):
    """The restore cannot begin or go on; the message is one sentence that says what to do."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the operator chose: ``only`` what was lost; give up what is there (``replace``); leave people signed in."""

    only: Lost | None = None
    replace: bool = False
    keep_sessions: bool = False


@dataclass(slots=True)
class Outcome:
    """What came of a restore: rows by database, entries of the journal, what is to be said besides."""

    rows: dict[str, int] = field(default_factory=dict)
    entries: int = 0
    ledgers: int = 0
    seconds: float = 0.0
    warnings: list[str] = field(default_factory=list)


class Restore:
    """One restore of an archive that was verified."""

    def __init__(self, servers: Servers, archive: ArchiveReader, options: Options, say: Say) -> None:
        """Restore as those who own the tables and administer Kafka."""
        self._servers = servers
        self._archive = archive
        self._manifest = archive.manifest
        self._options = options
        self._say = say
        self.outcome = Outcome()

    async def run(self) -> Outcome:
        """Restore.

        Raises:
            RestoreFailed: it cannot be done; the sentence says what became of the system.
            ArchiveDamaged: the archive is not as it was written.
            Unavailable: a server does not answer.
        """
        began_at = time.monotonic()
        self._refuse_unknown()
        await self._await_rest()
        match self._options.only:
            case None:
                await self._restore_all()
            case Lost.USERS:
                await self._restore_users()
            case Lost.JOURNAL:
                await self._restore_journal()
        self.outcome.seconds = time.monotonic() - began_at
        return self.outcome

    def _refuse_unknown(self) -> None:
        for part in self._manifest.databases:
            if is_newer(part.revision, newest_revision(part.name)):
                raise RestoreFailed(
                    f"its {part.name} database is at revision {part.revision}, which this version does not know; it"
                    f" was made by cash-flow {self._manifest.about.program}: use that version or a newer one"
                )

    async def _await_rest(self) -> None:
        """Wait until none of our processes runs; what one of them did meanwhile would be lost, or told twice."""
        deadline = time.monotonic() + STOPPED_WITHIN_S
        said = False
        while running := await self._find_running():
            if not said:
                self._say(f"Waiting until these have stopped: {', '.join(running)}.")
                said = True
            if time.monotonic() > deadline:
                raise RestoreFailed(
                    f"{', '.join(running)} still run; stop them and run this again; nothing was changed"
                )
            await asyncio.sleep(_ASK_EVERY_S)

    async def _find_running(self) -> list[str]:
        found: set[str] = set()
        for settings in (self._servers.users, self._servers.ledger):
            async with connected(settings) as connection, unavailable("look who is connected"):
                found |= {row[0] for row in await connection.fetch(_CONNECTED, PROCESSES)}
        for topic in topics.SUBMISSION_TOPICS:
            if await count_members(self._servers.kafka, topic.group):
                found.add(topic.group)
        return sorted(found)

    async def _restore_all(self) -> None:
        await self._make_room()
        users_part, ledger_part = self._manifest.database("users"), self._manifest.database("ledger")
        for part, settings in ((users_part, self._servers.users), (ledger_part, self._servers.ledger)):
            await self._ensure_revision(settings, part)
        async with AsyncExitStack() as opened:
            ledger = await opened.enter_async_context(connected(self._servers.ledger))
            users = await opened.enter_async_context(connected(self._servers.users))
            await opened.enter_async_context(unavailable("restore the databases"))
            filling_ledger, filling_users = ledger.transaction(), users.transaction()
            await filling_ledger.start()
            await filling_users.start()
            await self._fill(ledger, ledger_part)
            await self._fill(users, users_part)
            await self._write_journal(ledger, await read_heights(ledger))
            if not self._options.keep_sessions:
                await users.execute(_END_SESSIONS)
            await filling_users.commit()
            await filling_ledger.commit()
        await self._finish(self._servers.users, "users")
        await self._finish(self._servers.ledger, "ledger")

    async def _restore_users(self) -> None:
        """Restore the users database beside a Kafka that was not lost, and have taken again what came later."""
        part = self._manifest.database("users")
        if not self._options.replace:
            await self._refuse_rows(self._servers.users, "users")
        await self._ensure_revision(self._servers.users, part)
        async with (
            connected(self._servers.users) as users,
            unavailable("restore the users database"),
            users.transaction(),
        ):
            await self._fill(users, part)
            await users.execute(_KEEP_OPEN)
            # Before the commit: what is taken again though it is known changes nothing.
            await self._take_again()
        await self._finish(self._servers.users, "users")

    async def _take_again(self) -> None:
        noted = self._manifest.offsets.get(GROUP, {})
        (lag,) = await measure_lags(self._servers.kafka, [topics.IDENTITY_SUBMISSIONS])
        gone = sum(max(0, each.beginning - noted.get(each.partition, 0)) for each in lag.partitions)
        beyond = any(noted.get(each.partition, 0) > each.end for each in lag.partitions)
        if beyond:
            raise RestoreFailed(
                "identity.submissions is not the topic that this backup was made beside: it ends before the noted"
                " offsets. Where Kafka was lost as well, restore everything; nothing was changed"
            )
        if gone:
            self.outcome.warnings.append(
                f"{gone:,} records of identity.submissions that came after the backup are no longer kept: who"
                " registered or changed a password then has to do it again"
            )
        offsets = {each.partition: max(each.beginning, noted.get(each.partition, 0)) for each in lag.partitions}
        await set_offsets(self._servers.kafka, GROUP, topics.IDENTITY_SUBMISSIONS.name, offsets)
        count = sum(each.end - offsets[each.partition] for each in lag.partitions)
        self._say(f"The identity consumer will take {count:,} records again, from where it was at the backup.")

    async def _restore_journal(self) -> None:
        """Write the journal anew, beside a ledger database that was not lost: from the archive and its outbox."""
        async with connected(self._servers.ledger) as ledger, unavailable("restore the journal"):
            if (revision := await find_revision(ledger)) is None:
                raise RestoreFailed("the ledger database has no tables; restore everything, without --only")
            self._say(f"Looking how far the archive and the outbox go (the ledger database is at {revision}).")
            async with ledger.transaction(isolation="repeatable_read", readonly=True):
                known = await read_heights(ledger)
                heights = await measure(all_entries(self._archive, ledger))
                if lacking := heights.lacking(known):
                    ledger_id = lacking[0]
                    raise RestoreFailed(
                        f"neither the backup nor the outbox has entry {heights.get(ledger_id, 0) + 1} of ledger"
                        f" {ledger_id} ({len(lacking):,} ledgers lack some); use a newer backup; nothing was changed"
                    )
                await self._empty_journal(known)
                await self._write_journal(ledger, known)

    async def _make_room(self) -> None:
        """See that the system is empty, or empty it."""
        if self._options.replace:
            self._say("Deleting what is there.")
            for settings in (self._servers.ledger, self._servers.users):
                async with connected(settings) as connection, unavailable(f"empty {settings.name}"):
                    await empty(connection)
            await empty_topics(self._servers.kafka, [topic.name for topic in topics.TOPICS])
            return
        await self._refuse_rows(self._servers.users, "users")
        await self._refuse_rows(self._servers.ledger, "ledger")
        await self._empty_journal()

    async def _refuse_rows(self, settings: PostgresSettings, name: str) -> None:
        async with connected(settings) as connection, unavailable(f"look at {settings.name}"):
            if not await is_empty(connection):
                raise RestoreFailed(
                    f"the {name} database is not empty; nothing was changed. With --replace everything that the system"
                    " has is deleted first, its journal and what it was sent included"
                    if self._options.only is None
                    else f"the {name} database is not empty; nothing was changed. With --replace its rows are deleted"
                )

    async def _empty_journal(self, known: Mapping[UUID, int] | None = None) -> None:
        """Empty the journal of what an interrupted restore of this archive has left, or of what may be replaced.

        Args:
            known: the last entry of each ledger in a database that stays; more than that must not get lost.
        """
        found = await survey_journal(self._servers.kafka)
        if not found.marks:
            return
        if known is not None and (beyond := found.beyond(known)):
            raise RestoreFailed(
                f"the journal knows later entries than the ledger database, such as of ledger {beyond[0]}; nothing was"
                " changed. Run `cash ledger rebuild --switch-over` first"
            )
        if found.marks == {str(self._manifest.about.id)}:
            self._say("An earlier restore of this backup was interrupted; beginning anew.")
        elif not self._options.replace:
            raise RestoreFailed(
                "the journal holds entries; nothing was changed. Where only the ledger database was lost, run"
                " `cash ledger rebuild --switch-over`: it loses nothing. With --replace what is there is deleted first"
            )
        await empty_topics(self._servers.kafka, [topics.LEDGER_JOURNAL.name])

    async def _ensure_revision(self, settings: PostgresSettings, part: DatabasePart) -> None:
        """Have tables as the archive's rows need them; the database is empty."""
        async with connected(settings) as connection, unavailable(f"prepare {settings.name}"):
            if await find_revision(connection) == part.revision:
                return
            await connection.execute(_NEW_SCHEMA)
        await _upgrade(settings, part.name, part.revision)

    async def _fill(self, connection: "PlainConnection", part: DatabasePart) -> None:
        self._say(f"Filling the {part.name} database: {part.rows:,} rows.")
        await empty(connection)
        await load(connection, part, self._archive)
        self.outcome.rows[part.name] = part.rows

    async def _write_journal(self, ledger: "PlainConnection", known: Mapping[UUID, int]) -> None:
        self._say("Writing the journal.")
        entries = all_entries(self._archive, ledger)
        count, heights = await write_journal(self._servers.kafka, entries, known, self._manifest.about.id)
        self.outcome.entries, self.outcome.ledgers = count, len(known)
        if lacking := heights.lacking(known):
            self.outcome.warnings.append(
                f"the journal lacks the last entries of {len(lacking):,} ledgers, such as {lacking[0]}, which the"
                " ledger database has: it lacked them when the backup was made; see docs/rebuild.md"
            )

    async def _finish(self, settings: PostgresSettings, name: str) -> None:
        """Bring tables to the newest migration, and let PostgreSQL learn what is in them."""
        if self._manifest.database(name).revision != newest_revision(name):
            self._say(f"Migrating the {name} database.")
            await _upgrade(settings, name, "head")
        async with connected(settings) as connection, unavailable(f"take statistics of {settings.name}"):
            await connection.execute("VACUUM (ANALYZE)")


async def _upgrade(settings: PostgresSettings, name: str, revision: str) -> None:
    # Alembic runs an event loop of its own.
    await asyncio.to_thread(command.upgrade, alembic_config(settings, name), revision)
