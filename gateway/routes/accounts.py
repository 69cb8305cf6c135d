"""Accounts and categories with their balances, read from the ledger database."""

from uuid import UUID

import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath

from gateway.auth import require_member
from gateway.queries.accounts import AccountLine, list_accounts
from gateway.requests import JsonRequest
from gateway.routes.answers import JsonAnswer, answer_of, problems
from gateway.services import Services
from gateway.tokens import Principal
from infra.postgres.engine import Database


class AccountList(msgspec.Struct):
    """A ledger's open accounts and categories."""

    items: list[AccountLine]


_READ = {200: answer_of(AccountList, "The accounts."), **problems(401, 404, 503)}


@get("/accounts", responses=_READ, tags=["accounts"])
async def list_own_accounts(request: JsonRequest, services: NamedDependency[Services]) -> JsonAnswer:
    """List the accounts and categories of your personal ledger, with their balances."""
    return await _list(request.user.ledger_id, request.user, services.ledger)


@get("/ledgers/{ledger_id:uuid}/accounts", responses=_READ, tags=["accounts"])
async def list_ledger_accounts(
    ledger_id: FromPath[UUID], request: JsonRequest, services: NamedDependency[Services]
) -> JsonAnswer:
    """List the accounts and categories of a ledger you are a member of, with their balances."""
    return await _list(ledger_id, request.user, services.ledger)


async def _list(ledger_id: UUID, principal: Principal, ledger: Database) -> JsonAnswer:
    items = await list_accounts(ledger, ledger_id, principal.user_id)
    if not items:
        await require_member(ledger, ledger_id, principal)
    return JsonAnswer(AccountList(items))
