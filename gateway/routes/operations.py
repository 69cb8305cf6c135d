"""Operations: what was asked, and how it ended. One not decided and one of somebody else look the same: pending."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath
from pydantic import Field

from contracts.messages import OperationState
from gateway.auth import OPEN_TO_ALL
from gateway.fields import CursorText, Limit, Query, field_of, saying
from gateway.queries.operations import Operation, OperationPage, find_own_operation, list_operations
from gateway.queries.transactions import Transaction
from gateway.requests import JsonRequest, asks, query_of
from gateway.routes.answers import JsonAnswer, answer_of, problems
from gateway.services import Services

#: What the request of an operation has only for us.
_NOT_SHOWN = frozenset({"address_proof", "ledger_id"})


class OperationsAsked(Query):
    """Which operations, and how many of them."""

    state: (
        Annotated[Literal["recorded", "refused", "failed"], saying("Send recorded, refused or failed; or nothing.")]
        | None
    ) = Field(None, description="Only those that ended so.")
    ledger: Annotated[UUID, saying("Send the id of a ledger.")] | None = Field(
        None, description="Only what was asked of this ledger. Such a page may be short, or empty, and yet have a next."
    )
    limit: Limit = 50
    cursor: CursorText | None = None


class OperationStatus(msgspec.Struct, omit_defaults=True, kw_only=True):
    """How an operation ended; ``code``, ``detail`` and ``field`` say why it was refused.

    One of a ledger comes with what was asked: its noun, the ``request`` as it was sent, for as long as it is kept, and
    the idempotency key.
    """

    id: UUID
    status: OperationState
    at: datetime | None = None
    noun: str | None = None
    ledger_id: UUID | None = None
    resource_id: UUID | None = None
    transaction: Transaction | None = None
    code: str | None = None
    detail: str | None = None
    field: str | None = None
    idempotency_key: str | None = None
    request: dict[str, Any] | None = None


_DONE = answer_of(OperationStatus, "How it ended; `Retry-After` while it is pending.")


@get(
    "/operations",
    responses={200: answer_of(OperationPage, "A page."), **problems(400, 401, 503)},
    opt=asks(OperationsAsked),
    tags=["operations"],
)
async def list_own_operations(request: JsonRequest, services: NamedDependency[Services]) -> JsonAnswer:
    """List what you asked of ledgers, the newest first, and how each ended; they are kept for 45 days."""
    asked = query_of(request, OperationsAsked)
    page = await list_operations(
        services.ledger,
        request.user.user_id,
        state=OperationState(asked.state) if asked.state else None,
        ledger_id=asked.ledger,
        cursor=asked.cursor,
        limit=asked.limit,
    )
    return JsonAnswer(page)


@get("/operations/{operation_id:uuid}", responses={200: _DONE, **problems(401, 503)}, tags=["operations"])
async def get_operation(
    operation_id: FromPath[UUID], request: JsonRequest, services: NamedDependency[Services]
) -> JsonAnswer:
    """Read what one of your operations asked, and how it ended."""
    user_id = request.user.user_id
    found = await services.ledger_outcomes.find(operation_id)
    if found and found.user_id == user_id and (own := await find_own_operation(services.ledger, operation_id, user_id)):
        status = _status(found)
        status.at, status.noun, status.ledger_id = own[0].at, own[0].noun, own[0].ledger_id
        status.idempotency_key = own[0].idempotency_key
        status.request = _shown(own[1]) if own[1] else None
        return JsonAnswer(status)
    found = found or await services.identity_outcomes.find(operation_id)
    return _answer(operation_id, found if found and found.user_id == user_id else None)


@get(
    "/registrations/{registration_id:uuid}/operations/{operation_id:uuid}",
    responses={200: _DONE, **problems(503)},
    opt=OPEN_TO_ALL,
    tags=["registrations"],
)
async def get_registration_operation(
    registration_id: FromPath[UUID], operation_id: FromPath[UUID], services: NamedDependency[Services]
) -> JsonAnswer:
    """Read how an operation of a registration ended; who knows the registration's id may ask."""
    found = await services.identity_outcomes.find(operation_id)
    # What somebody signed in has asked for is theirs alone, whatever its subject is.
    is_open = found is not None and found.user_id is None and found.subject_id == registration_id
    return _answer(operation_id, found if is_open else None)


def _answer(operation_id: UUID, operation: Operation | None) -> JsonAnswer:
    if operation is None:
        status = OperationStatus(id=operation_id, status=OperationState.PENDING)
        return JsonAnswer(status, headers={"Retry-After": "1"})
    return JsonAnswer(_status(operation))


def _status(operation: Operation) -> OperationStatus:
    return OperationStatus(
        id=operation.id,
        status=operation.state,
        resource_id=operation.resource_id,
        transaction=operation.transaction,
        code=operation.refusal_code,
        detail=operation.refusal_detail,
        field=operation.refusal_field and field_of(operation.refusal_field),
    )


def _shown(request: bytes) -> dict[str, Any]:
    """Return a request by the names people sent its fields under."""
    return {field_of(name): value for name, value in msgspec.json.decode(request).items() if name not in _NOT_SHOWN}
