"""Ledgers: yours and those you share, opened and renamed by events, read from the ledger database."""

from uuid import UUID

import msgspec
from litestar import get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from pydantic import Field

from contracts.ledgers import (
    PERSONAL_LEDGER_NAME,
    LedgerChangeSubmitted,
    LedgerSubmitted,
    further_ledger_id,
)
from contracts.members import Role
from gateway.auth import require_member
from gateway.errors import FieldProblem, Invalid, NotFound
from gateway.fields import AccountName, Body, HomeCurrency, HomeZone, LedgerName
from gateway.queries.ledgers import Ledger, find_ledger, list_ledgers
from gateway.requests import WRITE, JsonRequest, asking_of
from gateway.routes.answers import API, AcceptedChange, JsonAnswer, answer_of, answer_write, problems
from gateway.services import Services
from gateway.tokens import Principal
from infra.postgres.engine import Database


class NewLedger(Body):
    """Another ledger beside your own, with you as its owner."""

    name: LedgerName
    base_currency: HomeCurrency | None = Field(None, description="Absent: your home currency.")
    time_zone: HomeZone | None = Field(None, description="Absent: your home zone.")

    def to_event(self, ledger_id: UUID) -> LedgerSubmitted:
        """Return the message; what was not sent stays absent."""
        return LedgerSubmitted(ledger_id=ledger_id, **self.model_dump(exclude_unset=True))


class LedgerChange(Body):
    """Another name, or another default account; what is absent stays as it is."""

    name: LedgerName | None = None
    default_account: AccountName | None = Field(None, description="Name or id of an asset or liability.")

    def to_event(self, ledger_id: UUID) -> LedgerChangeSubmitted:
        """Return the message; what was not sent stays absent."""
        return LedgerChangeSubmitted(ledger_id=ledger_id, **self.model_dump(exclude_unset=True))


class LedgerList(msgspec.Struct):
    """Your ledgers, your own first."""

    items: list[Ledger]


_ACCEPTED = answer_of(AcceptedChange, "Accepted; ask for the operation at Location.")
_OPENED = {
    202: _ACCEPTED,
    201: answer_of(Ledger, "Opened (with `Prefer: wait`)."),
    200: answer_of(Ledger, "Opened earlier under the same key (with `Prefer: wait`)."),
    **problems(400, 401, 413, 415, 422, 503),
}
_CHANGED = {
    202: _ACCEPTED,
    200: answer_of(Ledger, "Changed (with `Prefer: wait`)."),
    **problems(400, 401, 404, 413, 415, 422, 503),
}


@get("/ledgers", responses={200: answer_of(LedgerList, "The ledgers."), **problems(401, 503)}, tags=["ledgers"])
async def list_own_ledgers(request: JsonRequest, services: NamedDependency[Services]) -> JsonAnswer:
    """List the ledgers you are a member of; your own is among them before it is open."""
    items = await list_ledgers(services.ledger, request.user.user_id)
    if not (items and items[0].personal):
        items.insert(0, _before_it_is_open(request.user))
    return JsonAnswer(LedgerList(items))


@post("/ledgers", status_code=202, responses=_OPENED, opt=WRITE, tags=["ledgers"])
async def open_ledger(
    request: JsonRequest, data: JSONBody[NewLedger], services: NamedDependency[Services]
) -> JsonAnswer:
    """Open another ledger, with an account for its cash."""
    asking, principal = asking_of(request), request.user
    ledger_id = further_ledger_id(principal.user_id, asking.key)
    submitted = await services.publisher.submit(data.to_event(ledger_id), asking, by=principal)
    return await answer_write(
        submitted,
        asking,
        lambda: read_ledger(services.ledger, ledger_id, principal),
        status=201,
        location=f"{API}/ledgers/{ledger_id}",
    )


@get(
    "/ledgers/{ledger_id:uuid}",
    responses={200: answer_of(Ledger, "The ledger."), **problems(401, 404, 503)},
    tags=["ledgers"],
)
async def get_ledger(
    ledger_id: FromPath[UUID], request: JsonRequest, services: NamedDependency[Services]
) -> JsonAnswer:
    """Read a ledger you are a member of."""
    return JsonAnswer(await read_ledger(services.ledger, ledger_id, request.user))


@patch("/ledgers/{ledger_id:uuid}", status_code=202, responses=_CHANGED, opt=WRITE, tags=["ledgers"])
async def change_ledger(
    request: JsonRequest,
    ledger_id: FromPath[UUID],
    data: JSONBody[LedgerChange],
    services: NamedDependency[Services],
) -> JsonAnswer:
    """Rename a ledger of yours, or choose another default account."""
    if data.name is None and data.default_account is None:
        raise Invalid([FieldProblem("", "Send name or default_account: there is nothing to change.")])
    asking = asking_of(request)
    submitted = await services.publisher.submit(data.to_event(ledger_id), asking, by=request.user)
    return await answer_write(submitted, asking, lambda: read_ledger(services.ledger, ledger_id, request.user))


async def read_ledger(ledger: Database, ledger_id: UUID, principal: Principal) -> Ledger:
    """Read a ledger for one of its members.

    Raises:
        NotFound: there is none, or it is a stranger's.
    """
    found = await find_ledger(ledger, ledger_id, principal.user_id)
    if found is not None:
        return found
    await require_member(ledger, ledger_id, principal)
    if ledger_id != principal.ledger_id:
        raise NotFound("There is no such ledger, or you are not a member of it.", "ledger_id")
    return _before_it_is_open(principal)


def _before_it_is_open(principal: Principal) -> Ledger:
    return Ledger(
        id=principal.ledger_id,
        name=PERSONAL_LEDGER_NAME,
        role=Role.OWNER,
        base_currency=principal.base_currency,
        time_zone=principal.time_zone,
        personal=True,
        default_account=None,
        opened_at=None,
    )
