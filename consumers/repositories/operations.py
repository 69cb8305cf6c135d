"""Operations: the claim that makes a submission take effect once, and the answer people ask for later."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from consumers.records import Received
from contracts.messages import OperationState, Source
from contracts.refusals import Refusal
from infra.postgres.engine import Connection

_CLAIM = """
    INSERT INTO operations (id, subject_id, user_id, noun, idempotency_key, state, resource_id, request_hash, request,
                            recorded_at, source_topic, source_partition, source_offset)
    SELECT id, subject_id, user_id, noun, idempotency_key, $12, resource_id, request_hash, request,
           (SELECT clock_timestamp()), topic, part, off
    FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::uuid[], $7::bytea[], $8::bytea[],
                $9::text[], $10::int[], $11::bigint[])
      AS claim (id, subject_id, user_id, noun, idempotency_key, resource_id, request_hash, request, topic, part, off)
    ON CONFLICT (id) DO NOTHING
    RETURNING id, recorded_at
"""

_FAILED = """
    SELECT id, request_hash, source_topic, source_partition, source_offset
    FROM operations WHERE id = ANY($1::uuid[]) AND state = 'failed'
    ORDER BY id FOR UPDATE
"""
_LET_GO = "DELETE FROM operations WHERE id = ANY($1::uuid[])"

_HASHES = "SELECT id, request_hash FROM operations WHERE id = ANY($1::uuid[])"

_REFUSE = """
    UPDATE operations
    SET state = 'refused', refusal_code = refused.code, refusal_detail = refused.detail, refusal_field = refused.field,
        resource_id = NULL
    FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[]) AS refused (id, code, detail, field)
    WHERE operations.id = refused.id
"""


async def claim(
    connection: Connection, received: Sequence[Received], state: OperationState
) -> tuple[list[Received], datetime | None]:
    """Insert one operation per record; return the records that are ours to decide, and the moment they count as known.

    The moment is the database's clock, read once by this statement and so after the locks: what one ledger records
    never goes back in time. It is ``None`` where nothing is ours.

    An id that exists already, here or in another database transaction we then wait for, was or is being decided
    elsewhere; it can be had again only where it failed, by a replay of the same request. Rows go in sorted by id, so
    that two claimers never wait for each other; of two equal ids in the batch the first by position owns it. They are
    inserted as ``state`` with the resource they will have: only refusals are written again.
    """
    owners = await _let_go_of_failed(connection, received)
    for each in received:
        owners.setdefault(each.operation_id, each)
    rows = sorted(owners.items(), key=lambda item: item[0].bytes)
    claimed = await connection.fetch(
        _CLAIM,
        [operation_id for operation_id, _ in rows],
        [each.message.subject_id for _, each in rows],
        [each.envelope.user_id for _, each in rows],
        [each.message.noun for _, each in rows],
        [each.idempotency_key for _, each in rows],
        [None if state is OperationState.FAILED else each.message.resource_id(operation) for operation, each in rows],
        [bytes.fromhex(each.request_hash) for _, each in rows],
        [_stored_request(each) for _, each in rows],
        [each.source.topic for _, each in rows],
        [each.source.partition for _, each in rows],
        [each.source.offset for _, each in rows],
        state,
    )
    ids = {row["id"] for row in claimed}
    ours = [each for each in received if each.operation_id in ids and owners[each.operation_id] is each]
    return ours, claimed[0]["recorded_at"] if claimed else None


async def _let_go_of_failed(connection: Connection, received: Sequence[Received]) -> dict[UUID, Received]:
    """Delete the failed operations that replays in the batch may claim; return these replays, by operation id.

    Not so where the replay is the very record that failed last, delivered again, or one that was sent before it: those
    were tried. It is all in the claim's database transaction: whatever happens, the operation has failed or is claimed.
    """
    replays: dict[UUID, list[Received]] = {}
    for each in received:
        if each.is_replay:
            replays.setdefault(each.operation_id, []).append(each)
    if not replays:
        return {}
    claimers: dict[UUID, Received] = {}
    for row in await connection.fetch(_FAILED, list(replays)):
        tried = Source(topic=row["source_topic"], partition=row["source_partition"], offset=row["source_offset"])
        for each in replays[row["id"]]:
            if bytes.fromhex(each.request_hash) == row["request_hash"] and _is_later(each.source, tried):
                claimers.setdefault(row["id"], each)
    await connection.execute(_LET_GO, list(claimers))
    return claimers


def _is_later(source: Source, tried: Source) -> bool:
    is_same_way = (source.topic, source.partition) == (tried.topic, tried.partition)
    return source.offset > tried.offset if is_same_way else True


async def request_hashes(connection: Connection, operation_ids: Sequence[UUID]) -> dict[UUID, str]:
    """Return the hashes (hex) of what operations decided."""
    rows = await connection.fetch(_HASHES, operation_ids)
    return {row["id"]: row["request_hash"].hex() for row in rows}


async def refuse(connection: Connection, refusals: Sequence[tuple[UUID, Refusal]]) -> None:
    """Mark claimed operations as refused, with their reasons."""
    await connection.execute(
        _REFUSE,
        [operation_id for operation_id, _ in refusals],
        [refusal.code for _, refusal in refusals],
        [refusal.detail for _, refusal in refusals],
        [refusal.field for _, refusal in refusals],
    )


def _stored_request(received: Received) -> bytes:
    """Return the request to keep: as sent, less the fields that are secrets of the moment."""
    unhashed = received.message.unhashed
    if not unhashed:
        return received.value
    fields = msgspec.json.decode(received.value)
    return msgspec.json.encode({name: value for name, value in fields.items() if name not in unhashed})
