"""Whose tries are counted, and what everybody may ask, while a registration is under way."""

from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest

from contracts.messages import OperationState
from contracts.sessions import REFRESH_GRACE_S
from gateway.queries.operations import Operation
from gateway.routes import registrations
from gateway.routes.operations import get_registration_operation
from gateway.routes.sessions import REFRESH_WAIT_S


@pytest.mark.parametrize("address", ["ann@example.org", None])
async def test_tries_count_on_the_address_and_on_the_id_where_there_is_none(
    monkeypatch: pytest.MonkeyPatch, address: str | None
) -> None:
    async def find(_: object, __: UUID) -> str | None:
        return address

    monkeypatch.setattr(registrations, "find_email_key", find)
    services: Any = SimpleNamespace(users=None)
    registration_id = uuid4()

    assert await registrations._subject(services, registration_id) == (address or str(registration_id))


@pytest.mark.parametrize(("user_id", "status"), [(None, b"recorded"), (uuid4(), b"pending")])
async def test_only_what_nobody_signed_in_for_is_told_to_everybody(user_id: UUID | None, status: bytes) -> None:
    operation = Operation(
        id=uuid4(),
        subject_id=uuid4(),
        user_id=user_id,
        noun="registration",
        state=OperationState.RECORDED,
        resource_id=None,
        refusal_code=None,
        refusal_detail=None,
        refusal_field=None,
        request_hash="",
    )

    async def find(_: UUID) -> Operation:
        return operation

    services: Any = SimpleNamespace(identity_outcomes=SimpleNamespace(find=find))
    handler: Any = get_registration_operation.fn
    answer = await handler(operation.subject_id, operation.id, services)

    assert b'"status":"%s"' % status in answer._body


def test_a_refresh_may_be_tried_again_within_the_grace() -> None:
    assert 2 * REFRESH_WAIT_S < REFRESH_GRACE_S
