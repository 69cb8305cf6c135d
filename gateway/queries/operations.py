"""Read operations, the consumers' answers, from either database; those of a transaction come with it, in one query."""

from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from uuid import UUID

import asyncpg
import msgspec

from contracts.messages import OperationState
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
