"""Making a backup while the system runs: nobody waits for it, and its parts fit together.

In this order: where the identity consumer goes on, the ledger database at one moment, the journal up to where it ends
then, the users database at one moment. So the journal has every entry that the ledger database has sent; whoever has a
ledger is in the users database; and what the users database does not know yet stands behind the noted offsets.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, BinaryIO, TypeAlias
from uuid import UUID, uuid4

import msgspec

from contracts import topics
from infra.backups.archive import ArchiveWriter
from infra.backups.journal import dump_journal, find_place, read_heights, read_outbox
from infra.backups.manifest import About, JournalPart, Manifest
from infra.backups.tables import connected, dump
from infra.kafka.groups import find_offsets
from infra.postgres.engine import unavailable
from infra.postgres.revisions import find_revision
from infra.settings import KafkaSettings, LedgerDatabaseSettings, PostgresSettings, UsersDatabaseSettings
from infra.version import own_version

if TYPE_CHECKING:
    from infra.backups.tables import PlainConnection

KEYS = "keys.json"
#: Whose records are taken again after the users database alone was restored.
GROUP = topics.IDENTITY_SUBMISSIONS.group

Say: TypeAlias = Callable[[str], None]


class BackupFailed(Exception):
    """There is nothing to be backed up; the message is one sentence that says what to do."""


@dataclass(frozen=True, slots=True)
class Servers:
    """Where a system's data is, and as whom it is read or written."""

    users: UsersDatabaseSettings
    ledger: LedgerDatabaseSettings
    kafka: KafkaSettings


async def make(servers: Servers, stream: BinaryIO, keys: Mapping[str, str], say: Say) -> tuple[Manifest, int]:
    """Write a backup; return what is in it, and how many bytes it has.

    Args:
        servers: as the operator, who may read everything.
        stream: it is written from its beginning to its end; a pipe will do.
        keys: the system's keys by name, as far as they are to be in it.
        say: is told what is being done.

    Raises:
        BackupFailed: a database has no tables, or lacks what its journal tells.
        ArchiveNotWritten: the disk is full, or the pipe was closed.
        Unavailable: a server does not answer.
    """
    offsets = {GROUP: await find_offsets(servers.kafka, GROUP, topics.IDENTITY_SUBMISSIONS.name)}
    archive = ArchiveWriter(stream, About(uuid4(), datetime.now(UTC), own_version()))
    say("Reading the ledger database.")
    async with _snapshot(servers.ledger) as connection:
        ledger = await dump(connection, "ledger", archive)
        known, unsent = await read_heights(connection), await _first_unsent(connection)
    say("Reading the journal.")
    records, heights = await dump_journal(servers.kafka, archive)
    if records and not known:
        raise BackupFailed(
            "the ledger database is empty and its journal is not; run `cash ledger rebuild --switch-over` first"
        )
    say("Reading the users database.")
    async with _snapshot(servers.users) as connection:
        users = await dump(connection, "users", archive)
    if keys:
        archive.add(KEYS, msgspec.json.encode(keys))
    sent = {ledger_id: unsent.get(ledger_id, last + 1) - 1 for ledger_id, last in known.items()}
    journal = JournalPart(records, [str(ledger_id) for ledger_id in heights.lacking(sent)])
    manifest = Manifest(archive.about, (ledger, users), journal, offsets, sorted(keys), archive.members)
    archive.close(manifest)
    return manifest, archive.size


async def _first_unsent(connection: "PlainConnection") -> dict[UUID, int]:
    """Return, by ledger, the first entry that the outbox holds and that is not known to be in the journal."""
    first: dict[UUID, int] = {}
    async for entries in read_outbox(connection, unsent_only=True):
        for entry in entries:
            if place := find_place(entry):
                first.setdefault(*place)
    return first


@asynccontextmanager
async def _snapshot(settings: PostgresSettings) -> "AsyncIterator[PlainConnection]":
    """Lend a connection that sees a database as it is now, however long it reads."""
    async with (
        connected(settings) as connection,
        unavailable(f"read the database {settings.name}"),
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        if await find_revision(connection) is None:
            raise BackupFailed(f"the database {settings.name} has no tables; there is nothing to be backed up")
        yield connection
