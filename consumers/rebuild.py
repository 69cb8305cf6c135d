"""Rebuild the ledger database from its journal: ``python -m consumers.rebuild``; ``cash ledger rebuild`` runs it.

1. Make a shadow database beside the live one and take in the journal to its end. 2. Compare the two, by their state
hash, at one moment: at a snapshot of the live one, whose last entries the shadow waits for. 3. With ``--switch-over``
nobody may record from before the comparison to the end; then the shadow gets the live one's name.

Until that last step, which is one database transaction, the live database is only read.
"""

import argparse
import asyncio
import json
import shlex
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

import asyncpg
import uvloop
from alembic import command

from consumers.ledger import SUBSCRIPTIONS
from consumers.process import GC_CONTAINERS
from consumers.shadow import JournalDamaged, Shadow, Taken
from contracts import topics
from infra.errors import Unavailable
from infra.kafka.groups import count_members, set_offsets
from infra.kafka.reading import TopicReader, reading
from infra.memory import collect_seldom
from infra.postgres.bootstrap import LedgerRolePasswords, LedgerServerSettings, as_superuser, ensure_database
from infra.postgres.engine import Connection, Database, reading_whole_tables
from infra.postgres.migrate import alembic_config
from infra.postgres.revisions import newest_revision
from infra.postgres.state_hash import StateHash, hash_state, list_differing_ledgers
from infra.settings import KafkaSettings, LedgerDatabaseSettings, read

LIVE = "ledger"
SHADOW = "ledger_rebuild"
#: ``cashrebu``: the advisory lock of the one rebuild that may run.
LOCK_KEY = 0x6361_7368_7265_6275

SAY_EVERY_S = 2.0
ASK_EVERY_S = 0.3
#: How long the relay may take for what the live database decided last, or an operator for stopping a process.
SENT_WITHIN_S = 30.0
STOPPED_WITHIN_S = 600.0
UNTOUCHED = "The live database is as it was."
#: Statements of a rebuild read or write millions of rows.
_ANSWER_TIMEOUT_S = 6 * 3600.0

_SEQUENCES = "SELECT id, sequence FROM ledgers WHERE sequence > 0"
_UNSENT = "SELECT count(*) FROM outbox WHERE sent_at IS NULL"
_RELAYS = "SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND application_name = 'relay'"
_SEND_AWAY = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = ANY ($1::name[])"


class RebuildFailed(Exception):
    """The rebuild cannot go on; the message is one sentence that says what to do."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the operator chose; the arguments of :func:`main` say what each means."""

    switch_over: bool = False
    force: bool = False
    json: bool = False
    stop_with: Sequence[str] = ()


@dataclass(slots=True)
class Outcome:
    """What came of a rebuild: for people and, as JSON, for programs."""

    entries: int = 0
    repeats: int = 0
    ledgers: int = 0
    seconds: float = 0.0
    live: StateHash | None = None
    rebuilt: StateHash | None = None
    live_is_gone: bool = False
    differing: dict[str, list[str]] = field(default_factory=dict)
    missing: dict[str, tuple[int, int]] = field(default_factory=dict)
    offsets: dict[str, dict[int, int]] = field(default_factory=dict)
    switched_over: bool = False
    kept_as: str | None = None

    @property
    def equal(self) -> bool:
        """Whether both databases were there and knew the same."""
        return self.live is not None and not self.differing and not self.missing


class Servers:
    """The servers of a rebuild, and the roles it takes there."""

    def __init__(self, superuser: LedgerServerSettings, passwords: LedgerRolePasswords, kafka: KafkaSettings) -> None:
        """Remember where they are."""
        self.superuser = superuser
        self.kafka = kafka
        self._passwords = passwords

    def settings(self, database: str, role: str) -> LedgerDatabaseSettings:
        """Return the settings of a database of this server for the ledger's migrator or consumer."""
        server = self.superuser
        return LedgerDatabaseSettings(
            host=server.host,
            port=server.port,
            name=database,
            user=f"ledger_{role}",
            password=self._passwords.of(role),  # type: ignore[arg-type]  # pydantic makes a secret of it
            sslmode=server.sslmode,
            ssl_cafile=server.ssl_cafile,
            pool_size=2,
        )

    @asynccontextmanager
    async def opened(self, database: str) -> AsyncIterator[Database]:
        """Lend a database to the ledger consumer's role."""
        opened = Database(
            self.settings(database, "consumer"), application="rebuild", answer_timeout_s=_ANSWER_TIMEOUT_S
        )
        await opened.start()
        try:
            yield opened
        finally:
            await opened.stop()


class Rebuild:
    """One rebuild, from an empty shadow to its end."""

    def __init__(self, servers: Servers, options: Options, superuser: "asyncpg.Connection[asyncpg.Record]") -> None:
        """Begin; ``superuser`` is connected to neither database."""
        self._servers = servers
        self._options = options
        self._superuser = superuser
        self.outcome = Outcome()

    async def run(self) -> Outcome:
        """Rebuild, compare and, if asked, switch over."""
        began_at = time.monotonic()
        outcome = self.outcome
        say(f"Making the database {SHADOW} beside {LIVE}.")
        await self._make_shadow()
        live_is_there = await self._live_is_there()
        outcome.live_is_gone = not live_is_there
        async with (
            self._servers.opened(SHADOW) as database,
            reading(self._servers.kafka, topics.LEDGER_JOURNAL.name, "rebuild") as reader,
        ):
            ends = await reader.ends()
            shadow = Shadow(database, Progress(sum(ends.values()) - sum((await reader.beginnings()).values())))
            await shadow.read_to(reader, ends)
            await self._tidy_up()
            if self._options.switch_over:
                await self._stop_consumers(is_live=live_is_there)
            if live_is_there:
                async with self._servers.opened(LIVE) as live:
                    await self._compare(live, database, shadow, reader)
            else:
                await shadow.read_to(reader, await reader.ends())
                async with _snapshot(database) as connection:
                    outcome.rebuilt = await hash_state(connection)
            outcome.entries, outcome.repeats = shadow.taken.entries, shadow.taken.repeats
            outcome.ledgers = outcome.rebuilt.rows["ledgers"] if outcome.rebuilt else 0
            outcome.seconds = time.monotonic() - began_at
            if self._options.switch_over:
                self._refuse_loss()
                if not outcome.equal:
                    await self._set_offsets(shadow.taken)
        if self._options.switch_over:
            await self._switch_over()
        elif outcome.equal:
            await self._superuser.execute(f"DROP DATABASE IF EXISTS {SHADOW} WITH (FORCE)")
        return outcome

    async def _make_shadow(self) -> None:
        """Make the shadow anew, whatever an earlier run has left."""
        await self._superuser.execute(f"DROP DATABASE IF EXISTS {SHADOW} WITH (FORCE)")
        await ensure_database(self._superuser, SHADOW, roles_of="ledger")
        settings = self._servers.settings(SHADOW, "migrator")
        # Alembic runs an event loop of its own.
        await asyncio.to_thread(command.upgrade, alembic_config(settings, "ledger"), "head")
        # What a crash loses here is made again; the switch-over is on disk before it counts, and all before it.
        await self._superuser.execute(f"ALTER DATABASE {SHADOW} SET synchronous_commit = off")

    async def _live_is_there(self) -> bool:
        """Return whether there is a live database with tables in it: one that was just made anew knows nothing."""
        if not await self._superuser.fetchval("SELECT true FROM pg_database WHERE datname = $1", LIVE):
            say(f"There is no database {LIVE}: nothing to compare with.")
            return False
        async with as_superuser(self._servers.superuser, LIVE) as connection:
            if not await connection.fetchval("SELECT to_regclass('public.ledgers') IS NOT NULL"):
                say(f"The database {LIVE} has no tables: nothing to compare with.")
                return False
            revision = await connection.fetchval("SELECT version_num FROM alembic_version")
        if revision != newest_revision("ledger"):
            raise RebuildFailed(
                f"the live database is at revision {revision}, and this version makes {newest_revision('ledger')};"
                " migrate it first (python -m infra.postgres.migrate), so that the two can be compared"
            )
        return True

    async def _tidy_up(self) -> None:
        """Let PostgreSQL learn what was written: reads are quick from the first one on."""
        say("Taking statistics of the new tables.")
        async with as_superuser(self._servers.superuser, SHADOW) as connection:
            await connection.execute("VACUUM (ANALYZE)")

    async def _stop_consumers(self, *, is_live: bool) -> None:
        """Have nobody record any more, and everything recorded in the journal: what is read then is all there is."""
        groups = [group for _, group, _ in SUBSCRIPTIONS.values()]
        await self._stop("ledger-consumer", partial(_count_members, self._servers.kafka, groups))
        if not is_live:
            return
        async with self._servers.opened(LIVE) as live:
            await self._await_sent(live)
        await self._stop("relay", partial(self._superuser.fetchval, _RELAYS, LIVE))

    async def _stop(self, process: str, count: Callable[[], Awaitable[int]]) -> None:
        """Stop a process, or have the operator do it and wait until none of it is left."""
        if self._options.stop_with:
            say(f"Stopping {process}.")
            stopping = await asyncio.create_subprocess_exec(*self._options.stop_with, process)
            if await stopping.wait():
                raise RebuildFailed(f"{process} could not be stopped. {UNTOUCHED}")
            return
        deadline = time.monotonic() + STOPPED_WITHIN_S
        said = False
        while left := await count():
            if not said:
                say(f"Stop every {process} now, and start them again when this is done; {left} still run.")
                said = True
            if time.monotonic() > deadline:
                raise RebuildFailed(f"{left} of {process} still run; stop them and run this again. {UNTOUCHED}")
            await asyncio.sleep(ASK_EVERY_S)

    async def _await_sent(self, live: Database) -> None:
        """Wait until the relay has sent what was decided."""
        deadline = time.monotonic() + SENT_WITHIN_S
        while True:
            async with live.connection("count what is not sent yet") as connection:
                unsent = await connection.fetchval(_UNSENT)
            if not unsent:
                return
            if time.monotonic() > deadline:
                if self._options.force:
                    say(f"{unsent} rows of the outbox are not in the journal; they are left behind, as --force says.")
                    return
                raise RebuildFailed(
                    f"{unsent} rows of the outbox are not in the journal after {SENT_WITHIN_S:.0f} s; see that the"
                    f" relay runs, and run this again. {UNTOUCHED}"
                )
            await asyncio.sleep(ASK_EVERY_S)

    async def _compare(self, live: Database, database: Database, shadow: Shadow, reader: TopicReader) -> None:
        """Hash both databases at the same entry of every ledger: the last one of a snapshot of the live one."""
        outcome = self.outcome
        async with _snapshot(live) as seen:
            wanted = await _sequences(seen)
            say("Taking in what was recorded meanwhile.")
            await self._catch_up(database, shadow, reader, wanted)
            say("Comparing.")
            async with _snapshot(database) as made:
                has = await _sequences(made)
                outcome.missing = {
                    str(ledger_id): (has.get(ledger_id, 0) + 1, last)
                    for ledger_id, last in wanted.items()
                    if has.get(ledger_id, 0) < last
                }
                first, second = await asyncio.gather(hash_state(seen), hash_state(made))
                outcome.live, outcome.rebuilt = first, second
                for table in first.differing(second):
                    outcome.differing[table] = await list_differing_ledgers(seen, made, table)

    async def _catch_up(
        self, database: Database, shadow: Shadow, reader: TopicReader, wanted: Mapping[UUID, int]
    ) -> None:
        """Take in the journal until the shadow is where the live database was, or nothing more comes for too long."""
        until = None if self._options.switch_over else wanted
        before, heard_at = -1, time.monotonic()
        while True:
            await shadow.read_to(reader, await reader.ends(), until)
            async with database.connection("read how far the shadow is") as connection:
                has = await _sequences(connection)
            if all(has.get(ledger_id, 0) >= last for ledger_id, last in wanted.items()):
                return
            if shadow.taken.entries > before:
                before, heard_at = shadow.taken.entries, time.monotonic()
            # With the consumers stopped and all sent, what is not there now never will be.
            if self._options.switch_over or time.monotonic() - heard_at > SENT_WITHIN_S:
                return
            await asyncio.sleep(ASK_EVERY_S)

    def _refuse_loss(self) -> None:
        """Refuse to replace a database by one that knows less."""
        if missing := self.outcome.missing:
            if not self._options.force:
                ledger_id, (first, last) = next(iter(missing.items()))
                raise RebuildFailed(
                    f"the journal lacks what the live database knows: of {len(missing)} ledgers, such as {ledger_id},"
                    f" entries {first} to {last}. It was not switched over; --force does it all the same and loses them"
                )
            say(f"The journal lacks entries of {len(missing)} ledgers; they are lost, as --force says.")

    async def _set_offsets(self, taken: Taken) -> None:
        """Let the consumers go on behind what the journal knows, so that they take again what only the old one knew.

        It comes before the switch-over: what is delivered again to a database that has it already changes nothing.
        """
        for topic, group, _ in SUBSCRIPTIONS.values():
            # A member with a name stays in its group until its session is over, though its process has ended.
            await self._await_empty(group)
            offsets = {number: last + 1 for number, last in taken.offsets.get(topic.name, {}).items()}
            await set_offsets(self._servers.kafka, group, topic.name, offsets)
            self.outcome.offsets[group] = offsets
            say(f"{group} goes on behind the last journaled record of {topic.name}.")

    async def _await_empty(self, group: str) -> None:
        deadline = time.monotonic() + SENT_WITHIN_S
        while members := await count_members(self._servers.kafka, group):
            if time.monotonic() > deadline:
                raise RebuildFailed(
                    f"the group {group} still has {members} members; stop every ledger-consumer and run this again."
                    f" {UNTOUCHED}"
                )
            await asyncio.sleep(ASK_EVERY_S)

    async def _switch_over(self) -> None:
        """Give the shadow the live database's name, which is kept under another, in one database transaction."""
        superuser, outcome = self._superuser, self.outcome
        there = await superuser.fetchval("SELECT true FROM pg_database WHERE datname = $1", LIVE)
        kept_as = f"{LIVE}_{datetime.now(UTC):%Y%m%d_%H%M%S}" if there else None
        await superuser.execute(f"ALTER DATABASE {SHADOW} RESET synchronous_commit")

        async def rename() -> None:
            # Its lock lets nobody in any more, and it waits five seconds for those inside to leave.
            async with superuser.transaction():
                if kept_as:
                    await superuser.execute(f"ALTER DATABASE {LIVE} RENAME TO {kept_as}")
                await superuser.execute(f"ALTER DATABASE {SHADOW} RENAME TO {LIVE}")

        async with as_superuser(self._servers.superuser) as second:
            renaming = asyncio.create_task(rename())
            while not renaming.done():
                await second.execute(_SEND_AWAY, [LIVE, SHADOW])
                await asyncio.wait({renaming}, timeout=0.05)
            await renaming
        outcome.switched_over, outcome.kept_as = True, kept_as


class Progress:
    """Says now and then how far the journal is taken in."""

    def __init__(self, records: int) -> None:
        """Expect so many records."""
        self._records = records
        self._began_at = time.monotonic()
        self._said_at = self._began_at
        say(f"Taking in the journal: {records:,} records.")

    def __call__(self, taken: Taken) -> None:
        """Say it, at most every two seconds."""
        now = time.monotonic()
        if now - self._said_at < SAY_EVERY_S:
            return
        self._said_at = now
        done = taken.entries + taken.repeats
        say(f"  {done:,} of {self._records:,} ({done / (now - self._began_at):,.0f} entries/s)")


async def _count_members(settings: KafkaSettings, groups: Sequence[str]) -> int:
    return sum([await count_members(settings, group) for group in groups])


@asynccontextmanager
async def _snapshot(database: Database) -> AsyncIterator[Connection]:
    """Lend a connection that sees the database as it is now, however long it reads."""
    async with (
        database.connection("read a snapshot") as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        await reading_whole_tables(connection)
        yield connection


async def _sequences(connection: Connection) -> dict[UUID, int]:
    return {row["id"]: row["sequence"] for row in await connection.fetch(_SEQUENCES)}


def say(sentence: str) -> None:
    """Tell the operator, on stderr."""
    print(sentence, file=sys.stderr, flush=True)


def show(outcome: Outcome) -> None:
    """Print for people what came of it."""
    rebuilt = outcome.rebuilt
    assert rebuilt is not None
    print(f"Entries: {outcome.entries:,}; repeats left out: {outcome.repeats:,}; ledgers: {outcome.ledgers:,}")
    print(f"Seconds: {outcome.seconds:.1f}\n")
    live = outcome.live
    print(f"{'table':22}{'rows':>12}  {'live' if live else '':14}rebuilt")
    for name, digest in rebuilt.tables.items():
        shown = live.tables[name][:12] if live else ""
        mark = f"  differs, for example in ledger {outcome.differing[name][0]}" if outcome.differing.get(name) else ""
        print(f"{name:22}{rebuilt.rows[name]:>12,}  {shown:14}{digest[:12]}{mark}")
    print(f"\nState hash, rebuilt: {rebuilt.total}")
    if live:
        print(f"State hash, live:    {live.total}")
    for ledger_id, (first, last) in list(outcome.missing.items())[:10]:
        print(f"The journal lacks entries {first} to {last} of ledger {ledger_id}.")
    if outcome.equal:
        print("The rebuilt database equals the live one.")
    elif live:
        print(f"The rebuilt database differs from the live one in {', '.join(outcome.differing) or 'no table'}.")
    if outcome.switched_over:
        kept = f" The old one is kept as {outcome.kept_as}; drop it when you are sure." if outcome.kept_as else ""
        print(f"The rebuilt database is the live one now.{kept}")
    elif live and not outcome.equal:
        print(f"Nothing was changed. The rebuilt database stays as {SHADOW} until the next rebuild.")
    elif not live:
        print(f"It stays as {SHADOW}; make it the live one with --switch-over.")


def as_json(outcome: Outcome) -> str:
    """Return what came of it for programs."""
    hashes = {
        name: {"state": each.total, "tables": dict(each.tables), "rows": dict(each.rows)} if each else None
        for name, each in (("live", outcome.live), ("rebuilt", outcome.rebuilt))
    }
    plain = {name: value for name, value in asdict(outcome).items() if name not in hashes}
    return json.dumps({**plain, **hashes, "equal": outcome.equal}, indent=2)


async def run(servers: Servers, options: Options) -> Outcome:
    """Rebuild while nobody else does.

    Raises:
        RebuildFailed: it cannot go on.
        JournalDamaged: the journal is not whole.
        Unavailable: a server does not answer.
    """
    async with as_superuser(servers.superuser) as superuser:
        if not await superuser.fetchval("SELECT pg_try_advisory_lock($1)", LOCK_KEY):
            raise RebuildFailed("another rebuild is running; wait for its end")
        return await Rebuild(servers, options, superuser).run()


def main(arguments: Sequence[str]) -> int:
    """Rebuild with the settings of the environment; return 1 where they differ and it was not switched over."""
    parser = argparse.ArgumentParser(prog="python -m consumers.rebuild", description=__doc__)
    parser.add_argument("--switch-over", action="store_true", help="make the rebuilt database the live one")
    parser.add_argument("--force", action="store_true", help="switch over though the journal lacks entries: loses them")
    parser.add_argument("--json", action="store_true", help="print JSON for programs")
    parser.add_argument(
        "--stop-with", type=shlex.split, default=(), metavar="COMMAND", help="what stops the process named after it"
    )
    options = Options(**vars(parser.parse_args(arguments)))
    servers = Servers(read(LedgerServerSettings), read(LedgerRolePasswords), read(KafkaSettings))
    collect_seldom(GC_CONTAINERS)
    try:
        outcome = uvloop.run(run(servers, options))
    except (RebuildFailed, JournalDamaged) as error:
        say(f"error: {error}")
        return 1
    except (Unavailable, asyncpg.PostgresError, OSError) as error:
        why = f"{error} ({error.__cause__})" if error.__cause__ else str(error)
        say(f"error: a server does not answer, or refuses: {why}. {UNTOUCHED} Run this again.")
        return 3
    except KeyboardInterrupt:
        say(f"error: interrupted. {UNTOUCHED}")
        return 130
    print(as_json(outcome)) if options.json else show(outcome)
    return 0 if outcome.equal or outcome.switched_over or outcome.live_is_gone else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
