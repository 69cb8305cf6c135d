"""Registers: what happened to an account, line by line, with the balance after each."""

from uuid import UUID

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath

from gateway.errors import NotFound
from gateway.fields import CursorText, Limit, Query
from gateway.queries.registers import RegisterPage, list_register
from gateway.requests import JsonRequest, asks, query_of
from gateway.routes.answers import JsonAnswer, answer_of, problems
from gateway.services import Services


class RegisterAsked(Query):
    """How many transactions of the register, and from where on."""

    limit: Limit = 50
    cursor: CursorText | None = None


@get(
    "/ledgers/{ledger_id:uuid}/accounts/{account_id:uuid}/register",
    responses={200: answer_of(RegisterPage, "A page."), **problems(400, 401, 404, 503)},
    opt=asks(RegisterAsked),
    tags=["accounts"],
)
async def list_account_register(
    request: JsonRequest,
    ledger_id: FromPath[UUID],
    account_id: FromPath[UUID],
    services: NamedDependency[Services],
) -> JsonAnswer:
    """List the transactions of an account or category, the newest first, each with the balance after it."""
    asked = query_of(request, RegisterAsked)
    page = await list_register(
        services.ledger, ledger_id, request.user.user_id, account_id, limit=asked.limit, cursor=asked.cursor
    )
    if page is None:
        raise NotFound("There is no such account in this ledger.", "account_id")
    return JsonAnswer(page)
