"""Members: who belongs to a ledger and as what; other roles, handing over, leaving and removing by events."""

from typing import Annotated
from uuid import UUID

import msgspec
from litestar import delete, get, patch
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from pydantic import Field

from contracts.members import MemberChangeSubmitted, Role
from gateway.auth import require_member
from gateway.errors import NotFound
from gateway.fields import Body, saying
from gateway.queries.members import Member, find_member, list_members
from gateway.requests import WRITE, JsonRequest, asking_of
from gateway.routes.answers import AcceptedChange, JsonAnswer, answer_of, answer_write, no_content, problems
from gateway.services import Services


class MemberChange(Body):
    """Another role."""

    role: Annotated[Role, saying("Send owner, editor or viewer.")] = Field(
        description="`owner` hands the ledger over to them; you become an editor."
    )

    def to_event(self, ledger_id: UUID, member_id: UUID) -> MemberChangeSubmitted:
        """Return the message."""
        return MemberChangeSubmitted(ledger_id=ledger_id, member_id=member_id, role=self.role)


class MemberList(msgspec.Struct):
    """A ledger's members, those who joined first before the others."""

    items: list[Member]


_ACCEPTED = answer_of(AcceptedChange, "Accepted; ask for the operation at Location.")


@get(
    "/ledgers/{ledger_id:uuid}/members",
    responses={
        200: answer_of(MemberList, "The members; none while your own ledger is not open."),
        **problems(401, 404, 503),
    },
    tags=["members"],
)
async def list_ledger_members(
    ledger_id: FromPath[UUID], request: JsonRequest, services: NamedDependency[Services]
) -> JsonAnswer:
    """List the members of a ledger you belong to."""
    items = await list_members(services.ledger, services.users, ledger_id, request.user.user_id)
    if not items:
        await require_member(services.ledger, ledger_id, request.user)
    return JsonAnswer(MemberList(items))


@patch(
    "/ledgers/{ledger_id:uuid}/members/{user_id:uuid}",
    status_code=202,
    responses={
        202: _ACCEPTED,
        200: answer_of(Member, "Changed (with `Prefer: wait`)."),
        **problems(400, 401, 404, 413, 415, 422, 503),
    },
    opt=WRITE,
    tags=["members"],
)
async def change_member(
    request: JsonRequest,
    ledger_id: FromPath[UUID],
    user_id: FromPath[UUID],
    data: JSONBody[MemberChange],
    services: NamedDependency[Services],
) -> JsonAnswer:
    """Give a member of your ledger another role, or hand the ledger over to them."""
    asking = asking_of(request)

    async def read() -> Member:
        member = await find_member(services.ledger, services.users, ledger_id, request.user.user_id, user_id)
        if member is None:
            raise NotFound("That is no member of this ledger any more; list its members.", "user_id")
        return member

    submitted = await services.publisher.submit(data.to_event(ledger_id, user_id), asking, by=request.user)
    return await answer_write(submitted, asking, read)


@delete(
    "/ledgers/{ledger_id:uuid}/members/{user_id:uuid}",
    status_code=202,
    responses={
        202: _ACCEPTED,
        204: no_content("A member no more (with `Prefer: wait`)."),
        **problems(400, 401, 404, 422, 503),
    },
    opt=WRITE,
    tags=["members"],
)
async def remove_member(
    request: JsonRequest,
    ledger_id: FromPath[UUID],
    user_id: FromPath[UUID],
    services: NamedDependency[Services],
) -> JsonAnswer:
    """Remove a member from your ledger, or leave one yourself, by your own id. Reading ends with it at once."""
    asking = asking_of(request)
    event = MemberChangeSubmitted(ledger_id=ledger_id, member_id=user_id, role=None)
    submitted = await services.publisher.submit(event, asking, by=request.user)
    return await answer_write(submitted, asking, nothing, status=204)


async def nothing() -> None:
    """Read what is left of what is gone."""
