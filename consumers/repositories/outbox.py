"""The outbox: what was decided, written with the decision in one database transaction, sent later by the relay."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from uuid import UUID

import msgspec

from contracts.envelope import Envelope, Headers, to_headers
from contracts.messages import JournalEntry, LedgerEntry
from contracts.users import UserRegistered
from infra.postgres.engine import Connection

ROW_MESSAGES_MAX = 1000
SOURCE = "cashflow/consumers"

OutboxMessage = tuple[bytes, Headers, bytes]
"""Key, headers and value of a record to be sent."""


async def insert_outbox(
    connection: Connection,
    entries: Sequence[JournalEntry],
    recorded_at: datetime,
    traceparents: Mapping[UUID, str | None] = MappingProxyType({}),
) -> None:
    """Write journal entries to the outbox, in their order, in rows of at most a thousand.

    ``recorded_at`` becomes their CloudEvents time, ``traceparents`` (by operation id, or subject id where an entry has
    none) their trace. Entries of one key keep their order because rows are sent by id and all rows of a key are written
    under its lock.
    """
    by_topic: dict[str, list[OutboxMessage]] = {}
    shared: dict[tuple[str, UUID, str | None], Headers] = {}
    for entry in entries:
        subject_id = entry.subject_id
        traceparent = traceparents.get(_cause(entry))
        headers = shared.get((entry.type, subject_id, traceparent))
        if headers is None:
            envelope = Envelope(
                id="",
                type=entry.type,
                source=SOURCE,
                time=recorded_at,
                subject=str(subject_id),
                traceparent=traceparent,
            )
            # Entries of one kind, subject and trace differ in their id alone: the rest is made once.
            headers = [header for header in to_headers(envelope) if header[0] != "ce_id"]
            shared[entry.type, subject_id, traceparent] = headers
        message = (
            str(subject_id).encode(),
            [("ce_id", str(entry.event_id).encode()), *headers],
            entry.model_dump_json(exclude_defaults=True).encode(),
        )
        by_topic.setdefault(entry.topic.name, []).append(message)
    rows = [
        (topic, len(chunk), msgspec.msgpack.encode(chunk))
        for topic, messages in by_topic.items()
        for chunk in (messages[at : at + ROW_MESSAGES_MAX] for at in range(0, len(messages), ROW_MESSAGES_MAX))
    ]
    # One statement each: rows must get their ids in this order, which INSERT … SELECT does not promise.
    await connection.executemany("INSERT INTO outbox (topic, message_count, messages) VALUES ($1, $2, $3)", rows)


def _cause(entry: JournalEntry) -> UUID:
    """Return the id under which the trace of what caused an entry is found."""
    if isinstance(entry, LedgerEntry):
        return entry.operation_id
    return entry.registration_id if isinstance(entry, UserRegistered) else entry.subject_id


def read_messages(packed: bytes) -> list[OutboxMessage]:
    """Read the messages of an outbox row."""
    return msgspec.msgpack.decode(packed, type=list[OutboxMessage])
