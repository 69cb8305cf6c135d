"""Invitations: by e-mail address, answered alike whether somebody has it or not; accepted, declined, withdrawn."""

from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from contracts.letters import InvitationLetterRequested
from contracts.members import InvitationAnswerSubmitted, InvitationEnding, InvitationSubmitted, Role
from contracts.messages import OperationState
from contracts.text import email_key
from gateway.auth import require_member
from gateway.errors import NotFound
from gateway.fields import Body, Email, saying
from gateway.publishing import Submitted
from gateway.queries.invitations import (
    Invitation,
    OwnInvitation,
    find_invitation,
    list_invitations,
    list_own_invitations,
)
from gateway.queries.ledgers import Ledger
from gateway.queries.users import find_by_address
from gateway.requests import WRITE, Asking, JsonRequest, asking_of, client_of
from gateway.routes.answers import API, AcceptedChange, JsonAnswer, answer_of, answer_write, no_content, problems
from gateway.routes.ledgers import read_ledger
from gateway.routes.members import nothing
from gateway.services import Services
from gateway.tokens import Principal
from infra.secrets import address_proof, letter_key, nobodys_id


class InvitedRole(StrEnum):
    """What somebody can be invited to be: an editor records and changes, a viewer only reads."""

    EDITOR = "editor"
    VIEWER = "viewer"


class NewInvitation(Body):
    """Somebody's e-mail address, and what they are to be in the ledger."""

    email: Email
    role: Annotated[InvitedRole, saying("Send editor or viewer.")]

    def to_event(self, ledger_id: UUID, invited_user_id: UUID, proof: str) -> InvitationSubmitted:
        """Return the message, with an id and a proof in place of the address."""
        return InvitationSubmitted(
            ledger_id=ledger_id, invited_user_id=invited_user_id, address_proof=proof, role=Role(self.role)
        )


class InvitationList(msgspec.Struct):
    """A ledger's invitations, the newest first."""

    items: list[Invitation]


class OwnInvitationList(msgspec.Struct):
    """The open invitations for you, the newest first."""

    items: list[OwnInvitation]


_ACCEPTED = answer_of(AcceptedChange, "Accepted; ask for the operation at Location.")
_OVER = {202: _ACCEPTED, 204: no_content("Done (with `Prefer: wait`)."), **problems(400, 401, 422, 503)}


@post(
    "/ledgers/{ledger_id:uuid}/invitations",
    status_code=202,
    responses={
        202: _ACCEPTED,
        201: answer_of(Invitation, "Invited (with `Prefer: wait`)."),
        200: answer_of(Invitation, "Invited earlier under the same key (with `Prefer: wait`)."),
        **problems(400, 401, 404, 413, 415, 422, 429, 503),
    },
    opt=WRITE,
    tags=["members"],
)
async def invite(
    request: JsonRequest,
    ledger_id: FromPath[UUID],
    data: JSONBody[NewInvitation],
    services: NamedDependency[Services],
) -> JsonAnswer:
    """Invite somebody to your ledger by their e-mail address; if they have an account, a mail tells them.

    The answer does not depend on whether they do, and neither does what the invitation looks like later.
    """
    asking, principal, key = asking_of(request), request.user, services.settings.key_proof
    await services.limits.take("invite", subject=str(principal.user_id), client=client_of(request))
    address = email_key(data.email)
    # Both are found out each time, so that an address that is somebody's takes no other time than one that is nobody's.
    nobody = nobodys_id(key, address)
    invited_user_id = await find_by_address(services.users, address) or nobody
    event = data.to_event(ledger_id, invited_user_id, address_proof(key, ledger_id, address))
    submitted = await services.publisher.submit(event, asking, by=principal)
    if submitted.status in (OperationState.PENDING, OperationState.RECORDED):
        await _ask_for_letter(services, event, submitted, principal)

    async def read() -> Invitation:
        return await _invitation(services, ledger_id, submitted.resource_id, principal)

    location = f"{API}/ledgers/{ledger_id}/invitations/{submitted.resource_id}"
    return await answer_write(submitted, asking, read, status=201, location=location)


@get(
    "/ledgers/{ledger_id:uuid}/invitations",
    responses={200: answer_of(InvitationList, "The invitations."), **problems(401, 404, 503)},
    tags=["members"],
)
async def list_ledger_invitations(
    ledger_id: FromPath[UUID], request: JsonRequest, services: NamedDependency[Services]
) -> JsonAnswer:
    """List the invitations to your ledger."""
    items = await list_invitations(services.ledger, services.users, ledger_id, request.user.user_id)
    if not items:
        await _require_owner(services, ledger_id, request.user)
    return JsonAnswer(InvitationList(items))


@get(
    "/ledgers/{ledger_id:uuid}/invitations/{invitation_id:uuid}",
    responses={200: answer_of(Invitation, "The invitation."), **problems(401, 404, 503)},
    tags=["members"],
)
async def get_invitation(
    ledger_id: FromPath[UUID],
    invitation_id: FromPath[UUID],
    request: JsonRequest,
    services: NamedDependency[Services],
) -> JsonAnswer:
    """Read one invitation to your ledger."""
    return JsonAnswer(await _invitation(services, ledger_id, invitation_id, request.user))


@delete(
    "/ledgers/{ledger_id:uuid}/invitations/{invitation_id:uuid}",
    status_code=202,
    responses=_OVER,
    opt=WRITE,
    tags=["members"],
)
async def withdraw_invitation(
    request: JsonRequest,
    ledger_id: FromPath[UUID],
    invitation_id: FromPath[UUID],
    services: NamedDependency[Services],
) -> JsonAnswer:
    """Withdraw an invitation to your ledger that nobody has answered yet."""
    return await _end(request, ledger_id, invitation_id, InvitationEnding.WITHDRAWN, services, nothing, status=204)


@post(
    "/ledgers/{ledger_id:uuid}/invitations/{invitation_id:uuid}/accept",
    status_code=202,
    responses={
        202: _ACCEPTED,
        200: answer_of(Ledger, "You are a member of this ledger now (with `Prefer: wait`)."),
        **problems(400, 401, 404, 422, 503),
    },
    opt=WRITE,
    tags=["members"],
)
async def accept_invitation(
    request: JsonRequest,
    ledger_id: FromPath[UUID],
    invitation_id: FromPath[UUID],
    services: NamedDependency[Services],
) -> JsonAnswer:
    """Accept an invitation: you become a member of the ledger."""
    principal = request.user

    async def joined() -> Ledger:
        return await read_ledger(services.ledger, ledger_id, principal)

    return await _end(request, ledger_id, invitation_id, InvitationEnding.ACCEPTED, services, joined, status=200)


@post(
    "/ledgers/{ledger_id:uuid}/invitations/{invitation_id:uuid}/decline",
    status_code=202,
    responses=_OVER,
    opt=WRITE,
    tags=["members"],
)
async def decline_invitation(
    request: JsonRequest,
    ledger_id: FromPath[UUID],
    invitation_id: FromPath[UUID],
    services: NamedDependency[Services],
) -> JsonAnswer:
    """Decline an invitation; its owner sees that you did."""
    return await _end(request, ledger_id, invitation_id, InvitationEnding.DECLINED, services, nothing, status=204)


@get(
    "/invitations",
    responses={200: answer_of(OwnInvitationList, "The invitations."), **problems(401, 503)},
    tags=["members"],
)
async def list_invitations_for_me(request: JsonRequest, services: NamedDependency[Services]) -> JsonAnswer:
    """List the open invitations for you."""
    return JsonAnswer(
        OwnInvitationList(await list_own_invitations(services.ledger, services.users, request.user.user_id))
    )


async def _ask_for_letter(
    services: Services, event: InvitationSubmitted, submitted: Submitted, principal: Principal
) -> None:
    """Have the letter written. For an address that is nobody's too: that none is, the identity consumer finds out."""
    letter = InvitationLetterRequested(
        invited_user_id=event.invited_user_id, ledger_id=event.ledger_id, invitation_id=submitted.resource_id
    )
    asking = Asking(letter_key(services.settings.key_proof, submitted.resource_id))
    await services.publisher.submit(letter, asking, by=principal)


async def _invitation(services: Services, ledger_id: UUID, invitation_id: UUID, principal: Principal) -> Invitation:
    found = await find_invitation(services.ledger, services.users, ledger_id, principal.user_id, invitation_id)
    if found is None:
        raise NotFound("There is no such invitation to a ledger of yours; list its invitations.", "invitation_id")
    return found


async def _require_owner(services: Services, ledger_id: UUID, principal: Principal) -> None:
    if await require_member(services.ledger, ledger_id, principal) is not Role.OWNER:
        raise NotFound("Only the owner of a ledger sees its invitations; ask them.", "ledger_id")


async def _end(
    request: JsonRequest,
    ledger_id: UUID,
    invitation_id: UUID,
    answer: InvitationEnding,
    services: Services,
    read: Callable[[], Awaitable[Any]],
    *,
    status: int,
) -> JsonAnswer:
    """Submit how an invitation is to end, and answer with what ``read`` finds then."""
    asking = asking_of(request)
    event = InvitationAnswerSubmitted(ledger_id=ledger_id, invitation_id=invitation_id, answer=answer)
    submitted = await services.publisher.submit(event, asking, by=request.user)
    return await answer_write(submitted, asking, read, status=status)
