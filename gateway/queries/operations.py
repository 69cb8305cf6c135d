"""Read operations, the consumers' answers, from either database; those of a transaction come with it, in one query."""

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import groupby
from operator import itemgetter
from uuid import UUID

import asyncpg
import msgspec

from contracts.messages import OperationState
from gateway.fields import field_of
from gateway.queries.paging import MomentKeys, cursor_text, read_cursor
from gateway.queries.transactions import COLUMNS, JOINS, Transaction, read_transactions
from infra.postgres.engine import Database


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """How a consumer decided a submission. ``request_hash`` is of the content it decided, SHA-256 in hex."""

    id: UUID
    subject_id: UUID
    user_id: UUID | None
    noun: str
    state: OperationState
    resource_id: UUID | None
    refusal_code: str | None
    refusal_detail: str | None
    refusal_field: str | None
    request_hash: str
    transaction: Transaction | None = None


class OwnOperation(msgspec.Struct, kw_only=True):
    """What somebody asked of a ledger, and how it ended: ``code``, ``detail`` and ``field`` say why it was refused.

    ``noun`` is what was asked for, ``resource_id`` what came of it. An operation that was rebuilt from the journal has
    no ``idempotency_key``.
    """

    id: UUID
    at: datetime
    noun: str
    ledger_id: UUID
    status: OperationState
    resource_id: UUID | None
    code: str | None
    detail: str | None
    field: str | None
    idempotency_key: str | None


class OperationPage(msgspec.Struct):
    """Operations, the newest first, and the cursor of the next page; ``null`` on the last one.

    A page can be short, or empty where they are filtered, and yet have a next one.
    """

    items: list[OwnOperation]
    next_cursor: str | None


#: How many of somebody's operations a page with a filter looks at; the cursor goes on from there. So a page costs the
#: same however many there are, and however seldom one fits.
REACH = 2000

_OPERATION = """
o.id AS operation_id, o.subject_id, o.user_id, o.noun, o.state, o.resource_id,
o.refusal_code, o.refusal_detail, o.refusal_field, o.request_hash
"""
_IN_USERS = f"SELECT {_OPERATION} FROM operations o WHERE o.id = ANY($1::uuid[])"  # noqa: S608  # constants
_IN_LEDGER = f"""
SELECT {_OPERATION}, {COLUMNS}
FROM operations o
LEFT JOIN (transactions t {JOINS}) ON t.ledger_id = o.subject_id AND t.id = o.resource_id
  AND o.noun IN ('transaction', 'transaction-change', 'reversal')
  AND (SELECT true FROM members m WHERE m.ledger_id = o.subject_id AND m.user_id = o.user_id)
WHERE o.id = ANY($1::uuid[])
ORDER BY o.id, p.position
"""  # noqa: S608  # constants
_REQUEST = "SELECT request FROM operations WHERE id = $1"

_OWN = """
id, recorded_at, noun, subject_id, state, resource_id, refusal_code, refusal_detail, refusal_field, idempotency_key
"""
_OWN_REQUEST = f"SELECT {_OWN}, request FROM operations WHERE id = $1 AND user_id = $2"  # noqa: S608  # constants


def _page(condition: str) -> str:
    """Return the statement of a page: those that fit among so many looked at, and the last one looked at anyway."""
    return f"""
    SELECT * FROM (
        SELECT {_OWN}, ($5::uuid IS NULL OR subject_id = $5) AND ($6::text IS NULL OR state = $6) AS fits,
               row_number() OVER (ORDER BY recorded_at DESC, id DESC) = $7 AS is_last
        FROM operations
        WHERE user_id = $1 AND (recorded_at, id) < ($2, $3) {condition}
        ORDER BY recorded_at DESC, id DESC LIMIT $7
    ) looked
    WHERE fits OR is_last
    ORDER BY recorded_at DESC, id DESC LIMIT $4
    """  # noqa: S608  # constants


_NEWEST = _page("")
_NOT_RECORDED = _page("AND state <> 'recorded'")
_BEGINNING = MomentKeys(datetime(9999, 12, 31, tzinfo=UTC), UUID(int=2**128 - 1))


async def find_identity_operations(users: Database, operation_ids: Sequence[UUID]) -> dict[UUID, Operation]:
    """Find operations of registrations, users and sessions; those not decided yet are missing."""
    async with users.connection("find operations") as connection:
        rows = await connection.fetch(_IN_USERS, operation_ids)
    return {row["operation_id"]: _operation(row, None) for row in rows}


async def find_ledger_operations(ledger: Database, operation_ids: Sequence[UUID]) -> dict[UUID, Operation]:
    """Find operations of ledgers; those not decided yet are missing.

    With one that recorded, changed or deleted a transaction comes that transaction as it stands now, unless who asked
    for it is a member of the ledger no more.
    """
    async with ledger.connection("find operations") as connection:
        rows = await connection.fetch(_IN_LEDGER, operation_ids)
    found: dict[UUID, Operation] = {}
    for operation_id, group in groupby(rows, key=itemgetter("operation_id")):
        lines = list(group)
        recorded = read_transactions(lines) if lines[0]["id"] else iter(())
        found[operation_id] = _operation(lines[0], next(recorded, None))
    return found


async def list_operations(
    ledger: Database,
    user_id: UUID,
    *,
    state: OperationState | None = None,
    ledger_id: UUID | None = None,
    cursor: str | None = None,
    limit: int,
) -> OperationPage:
    """List a page of what somebody asked of ledgers, the newest decision first.

    Raises:
        CursorError: the cursor is not one of this list, filtered so.
    """
    of = f"operations {state} {ledger_id}"
    before = _BEGINNING if cursor is None else read_cursor(cursor, MomentKeys, of)
    statement = _NOT_RECORDED if state in (OperationState.REFUSED, OperationState.FAILED) else _NEWEST
    # One more than asked for says whether there is a next page; without a filter all that are looked at fit.
    reach = limit + 1 if state is None and ledger_id is None else REACH
    async with ledger.connection("list operations") as connection:
        rows = await connection.fetch(statement, user_id, *before, limit + 1, ledger_id, state, reach)
    fitting = [row for row in rows if row["fits"]]
    items = [_own_operation(row) for row in fitting[:limit]]
    last = fitting[limit - 1] if len(fitting) > limit else next((row for row in rows if row["is_last"]), None)
    return OperationPage(items, None if last is None else cursor_text(MomentKeys(last["recorded_at"], last["id"]), of))


async def find_own_operation(
    ledger: Database, operation_id: UUID, user_id: UUID
) -> tuple[OwnOperation, bytes | None] | None:
    """Find what somebody asked of a ledger, with the request as JSON, where it was kept."""
    async with ledger.connection("find an operation") as connection:
        row = await connection.fetchrow(_OWN_REQUEST, operation_id, user_id)
    return (_own_operation(row), row["request"]) if row else None


async def find_request(database: Database, operation_id: UUID) -> bytes | None:
    """Find the content an operation decided, as JSON, without the fields its hash leaves out."""
    async with database.connection("find a request") as connection:
        request: bytes | None = await connection.fetchval(_REQUEST, operation_id)
    return request


def _operation(row: asyncpg.Record, transaction: Transaction | None) -> Operation:
    return Operation(
        id=row["operation_id"],
        subject_id=row["subject_id"],
        user_id=row["user_id"],
        noun=row["noun"],
        state=OperationState(row["state"]),
        resource_id=row["resource_id"],
        refusal_code=row["refusal_code"],
        refusal_detail=row["refusal_detail"],
        refusal_field=row["refusal_field"],
        request_hash=row["request_hash"].hex(),
        transaction=transaction,
    )


def _own_operation(row: asyncpg.Record) -> OwnOperation:
    return OwnOperation(
        id=row["id"],
        at=row["recorded_at"],
        noun=row["noun"],
        ledger_id=row["subject_id"],
        status=OperationState(row["state"]),
        resource_id=row["resource_id"],
        code=row["refusal_code"],
        detail=row["refusal_detail"],
        field=row["refusal_field"] and field_of(row["refusal_field"]),
        idempotency_key=row["idempotency_key"],
    )
