"""Operations: how a submission ended. One that is not decided and one of somebody else look the same: pending."""

from uuid import UUID

import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath

from contracts.messages import OperationState
from gateway.auth import OPEN_TO_ALL
from gateway.fields import field_of
from gateway.queries.operations import Operation
from gateway.queries.transactions import Transaction
from gateway.requests import JsonRequest
from gateway.routes.answers import JsonAnswer, answer_of, problems
from gateway.services import Services


class OperationStatus(msgspec.Struct, omit_defaults=True, kw_only=True):
    """How an operation ended; ``code``, ``detail`` and ``field`` say why it was refused."""

    id: UUID
    status: OperationState
    resource_id: UUID | None = None
    transaction: Transaction | None = None
    code: str | None = None
    detail: str | None = None
    field: str | None = None


_DONE = answer_of(OperationStatus, "How it ended; `Retry-After` while it is pending.")


@get("/operations/{operation_id:uuid}", responses={200: _DONE, **problems(401, 503)}, tags=["operations"])
async def get_operation(
    operation_id: FromPath[UUID], request: JsonRequest, services: NamedDependency[Services]
) -> JsonAnswer:
    """Read how one of your operations ended."""
    found = await services.ledger_outcomes.find(operation_id) or await services.identity_outcomes.find(operation_id)
    return _answer(operation_id, found if found and found.user_id == request.user.user_id else None)


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
    return JsonAnswer(
        OperationStatus(
            id=operation_id,
            status=operation.state,
            resource_id=operation.resource_id,
            transaction=operation.transaction,
            code=operation.refusal_code,
            detail=operation.refusal_detail,
            field=operation.refusal_field and field_of(operation.refusal_field),
        )
    )
