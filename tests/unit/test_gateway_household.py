"""What people send about shared ledgers, as messages."""

from typing import Any
from uuid import uuid4

import pytest

from contracts.envelope import to_value
from contracts.members import Role
from gateway.errors import Invalid
from gateway.fields import Body
from gateway.requests import read_body
from gateway.routes.changes import _before
from gateway.routes.invitations import InvitedRole, NewInvitation
from gateway.routes.ledgers import LedgerChange, NewLedger
from gateway.routes.members import MemberChange

LEDGER = uuid4()


def sent(body: Body, *arguments: Any) -> Any:
    message: Any = body.to_event(*arguments)  # type: ignore[attr-defined]
    return to_value(message)


def test_what_was_not_sent_stays_absent() -> None:
    assert sent(NewLedger(name="Car"), LEDGER) == b'{"ledger_id":"%s","name":"Car"}' % str(LEDGER).encode()
    change = LedgerChange(default_account="Bank")
    assert sent(change, LEDGER) == b'{"ledger_id":"%s","default_account":"Bank"}' % str(LEDGER).encode()


def test_a_role_and_an_invitation_become_messages_without_an_address() -> None:
    member, invited = uuid4(), uuid4()

    change = MemberChange(role=Role.OWNER).to_event(LEDGER, member)
    assert (change.ledger_id, change.member_id, change.role) == (LEDGER, member, Role.OWNER)
    invitation = NewInvitation(email="ann@example.org", role=InvitedRole.EDITOR).to_event(LEDGER, invited, "0" * 64)
    assert (invitation.invited_user_id, invitation.role) == (invited, Role.EDITOR)
    assert b"example" not in to_value(invitation)


@pytest.mark.parametrize(
    ("model", "body", "field"),
    [
        (NewLedger, b"{}", "name"),
        (NewLedger, b'{"name": " "}', "name"),
        (NewLedger, b'{"name": "Car", "base_currency": "XXX"}', "base_currency"),
        (NewLedger, b'{"name": "Car", "time_zone": "Mars/Base"}', "time_zone"),
        (NewLedger, b'{"name": "Car", "owner": "ann"}', "owner"),
        (LedgerChange, b'{"name": "a\\nb"}', "name"),
        (LedgerChange, b'{"base_currency": "EUR"}', "base_currency"),
        (MemberChange, b'{"role": "king"}', "role"),
        (MemberChange, b'{"role": null}', "role"),
        (NewInvitation, b'{"email": "ann", "role": "viewer"}', "email"),
        (NewInvitation, b'{"email": "ann@example.org", "role": "owner"}', "role"),
        (NewInvitation, b'{"email": "ann@example.org"}', "role"),
    ],
)
def test_a_field_that_is_wrong_is_named(model: type[Body], body: bytes, field: str) -> None:
    with pytest.raises(Invalid) as refused:
        read_body(model, body)

    assert [problem.field for problem in refused.value.problems] == [field]


def test_a_cursor_is_read_or_named() -> None:
    assert _before(None) is None
    assert _before("57") == 57
    with pytest.raises(Invalid) as refused:
        _before("5x")
    assert [problem.field for problem in refused.value.problems] == ["cursor"]
