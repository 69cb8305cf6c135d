"""Who is told by mail that they were invited, and what an address becomes before anything travels."""

from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4, uuid5

import pytest

from consumers.domain.letters import decide_invitation_letter
from consumers.domain.mails import InvitationMail
from consumers.domain.sessions import Sessions
from contracts.envelope import operation_id, request_hash, to_value
from contracts.letters import InvitationLetterRequested
from contracts.members import InvitationSubmitted, Role
from contracts.messages import OperationState, Submission
from gateway.publishing import Submitted
from gateway.requests import Asking
from gateway.routes import invitations
from gateway.routes.invitations import InvitedRole, NewInvitation, invite
from infra.errors import Unavailable
from infra.secrets import SecretKey, address_proof, letter_key, nobodys_id
from tests.builders.gateway import a_key
from tests.builders.identity import NOON, an_asked, decide

KEY = SecretKey(a_key())


def a_letter(invited_user_id: UUID) -> InvitationLetterRequested:
    return InvitationLetterRequested(invited_user_id=invited_user_id, ledger_id=uuid4(), invitation_id=uuid4())


def test_somebody_gets_a_letter_about_their_invitation() -> None:
    user = Sessions(user_id=uuid4(), registered=True)
    message, inviter = a_letter(user.user_id), uuid4()
    asked = an_asked(message, user_id=inviter, traceparent="a trace")

    decision = decide(asked, user)

    assert (decision.refusal, decision.journal) == (None, ())
    assert user.mails == [
        InvitationMail(
            id=message.resource_id(asked.operation_id),
            user_id=user.user_id,
            inviter_id=inviter,
            ledger_id=message.ledger_id,
            invitation_id=message.invitation_id,
            due_at=NOON,
            traceparent="a trace",
        )
    ]


def test_a_letter_to_nobody_is_decided_like_any_other_and_written_to_nobody() -> None:
    nobody = Sessions(user_id=uuid4())
    asked = an_asked(a_letter(nobody.user_id), user_id=uuid4())

    decision = decide_invitation_letter(asked, nobody)
    nobody.apply(asked, decision)

    assert decision.refusal is None
    assert nobody.mails == []


def test_what_stands_for_an_address_is_always_the_same_and_of_no_other() -> None:
    ledger, other = uuid4(), uuid4()

    assert nobodys_id(KEY, "ann@example.org") == nobodys_id(KEY, "ann@example.org")
    assert nobodys_id(KEY, "ann@example.org") != nobodys_id(KEY, "bob@example.org")
    assert nobodys_id(KEY, "ann@example.org") != nobodys_id(SecretKey(a_key()), "ann@example.org")
    proofs = {address_proof(KEY, each, address) for each in (ledger, other) for address in ("ann@x.org", "bob@x.org")}
    assert len(proofs) == 4
    assert letter_key(KEY, ledger) != letter_key(KEY, other)


def test_nobodys_id_looks_like_somebodys() -> None:
    somebody = uuid5(uuid4(), "user")

    assert nobodys_id(KEY, "ann@example.org").version == somebody.version
    assert nobodys_id(KEY, "ann@example.org").variant == somebody.variant


class Stage:
    """The services an invitation needs, in place of the real ones, and what was done with them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, registered: dict[str, UUID]) -> None:
        self.steps: list[str] = []
        self.sent: list[tuple[Submission, Asking]] = []
        self.state: OperationState | None = None
        self.closed = False

        async def find(_: object, address: str) -> UUID | None:
            self.steps.append("find")
            return registered.get(address)

        monkeypatch.setattr(invitations, "find_by_address", find)
        self.services: Any = SimpleNamespace(
            settings=SimpleNamespace(key_proof=KEY),
            limits=SimpleNamespace(take=self._take),
            publisher=SimpleNamespace(submit=self._submit),
            users=None,
        )

    async def _take(self, action: str, *, subject: str, client: str | None) -> None:
        self.steps.append(f"count {action} of {subject} from {client}")
        if self.closed:
            raise Unavailable("count tries")

    async def _submit(self, message: Submission, asking: Asking, *, by: Any) -> Submitted:
        self.steps.append(f"send {message.noun}")
        self.sent.append((message, asking))
        asked_id = operation_id(message, by.user_id, asking.key)
        operation: Any = SimpleNamespace(state=self.state) if self.state else None
        return Submitted(asked_id, message.resource_id(asked_id), operation, waited=False, replayed=False)

    async def invite(self, email: str, ledger_id: UUID, user_id: UUID) -> None:
        request: Any = SimpleNamespace(
            scope={"asking": Asking("a key")},
            user=SimpleNamespace(user_id=user_id),
            client=SimpleNamespace(host="192.0.2.7"),
        )
        handler: Any = invite.fn
        await handler(request, ledger_id, NewInvitation(email=email, role=InvitedRole.VIEWER), self.services)


async def test_the_same_steps_are_taken_for_every_address(monkeypatch: pytest.MonkeyPatch) -> None:
    ann, user_id, ledger_id = uuid4(), uuid4(), uuid4()
    stage = Stage(monkeypatch, {"ann@example.org": ann})

    for email in ("Ann@Example.org", "nobody@example.org"):
        await stage.invite(email, ledger_id, user_id)

    assert stage.steps[:4] == stage.steps[4:]
    assert stage.steps[:4] == [
        f"count invite of {user_id} from 192.0.2.7", "find", "send invitation", "send invitation-letter",
    ]  # fmt: skip
    (known, _), (letter, asking), (unknown, _), (other_letter, _) = stage.sent
    assert isinstance(known, InvitationSubmitted)
    assert isinstance(unknown, InvitationSubmitted)
    assert isinstance(letter, InvitationLetterRequested)
    assert isinstance(other_letter, InvitationLetterRequested)
    assert (known.invited_user_id, unknown.invited_user_id) == (ann, nobodys_id(KEY, "nobody@example.org"))
    assert (letter.invited_user_id, other_letter.invited_user_id) == (ann, unknown.invited_user_id)
    assert letter.invitation_id == known.resource_id(operation_id(known, user_id, "a key"))
    assert asking.key == letter_key(KEY, letter.invitation_id)
    for message, _ in stage.sent:
        assert b"example" not in to_value(message)


@pytest.mark.parametrize(
    ("state", "letters"),
    [(None, 1), (OperationState.RECORDED, 1), (OperationState.REFUSED, 0), (OperationState.FAILED, 0)],
)
async def test_no_letter_is_asked_for_where_nobody_is_invited(
    monkeypatch: pytest.MonkeyPatch, state: OperationState | None, letters: int
) -> None:
    stage = Stage(monkeypatch, {})
    stage.state = state

    await stage.invite("ann@example.org", uuid4(), uuid4())

    assert stage.steps.count("send invitation-letter") == letters


async def test_nobody_is_invited_while_tries_cannot_be_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(monkeypatch, {})
    stage.closed = True

    with pytest.raises(Unavailable):
        await stage.invite("ann@example.org", uuid4(), uuid4())

    assert stage.sent == []


def test_the_hash_of_an_invitation_does_not_depend_on_whose_the_address_is() -> None:
    ledger_id = uuid4()
    hashes = {
        request_hash(to_value(message), message.unhashed)
        for user_id in (uuid4(), uuid4())
        for message in [
            InvitationSubmitted(ledger_id=ledger_id, invited_user_id=user_id, address_proof="0" * 64, role=Role.VIEWER)
        ]
    }

    assert len(hashes) == 1
