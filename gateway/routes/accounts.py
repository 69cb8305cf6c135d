"""Accounts and categories: opened and changed by events, read with their balances from the ledger database."""

from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from pydantic import Field

from contracts.accounts import AccountChangeSubmitted, AccountKind, AccountSubmitted
from gateway.auth import require_member
from gateway.errors import FieldProblem, Invalid, NotFound
from gateway.fields import (
    AccountTitle,
    Body,
    Booked,
    CategoryName,
    Currency,
    Flag,
    GroupName,
    Position,
    Query,
    SignedAmount,
    saying,
)
from gateway.queries.accounts import Account, AccountLine, find_account, list_accounts
from gateway.requests import VERSIONED, WRITE, Asking, JsonRequest, asking_of, asks, query_of, version_of
from gateway.routes.answers import (
    API,
    AcceptedChange,
    JsonAnswer,
    answer_of,
    answer_write,
    etag_of,
    problems,
)
from gateway.services import Services
from gateway.tokens import Principal
from infra.postgres.engine import Database


class NewAccount(Body):
    """An account or category to be opened."""

    name: AccountTitle
    kind: Annotated[AccountKind, saying("Send one of asset, liability, income, expense or equity.")]
    currency: Currency | None = Field(None, description="Of an asset or liability; absent: the ledger's.")
    opening_balance: SignedAmount | None = Field(None, description="What was in it before; below zero is owed.")
    date: Booked | None = Field(None, description="The day of the opening balance; absent: now.")
    group: GroupName | None = None
    position: Position | None = None

    def to_event(self, ledger_id: UUID) -> AccountSubmitted:
        """Return the message; what was not sent stays absent."""
        sent: dict[str, Any] = {_MESSAGE_FIELDS.get(name, name): getattr(self, name) for name in self.model_fields_set}
        return AccountSubmitted(ledger_id=ledger_id, **sent)


class AccountChange(Body):
    """How an account is to stand; what is absent stays as it is, ``group`` and ``position`` are taken away by null."""

    name: AccountTitle | None = None
    closed: Annotated[bool, saying("Send true to close it, false to reopen it.")] | None = None
    group: GroupName | None = None
    position: Position | None = None
    merge_into: CategoryName | None = Field(
        None, description="Name or id of the category of the same kind that stands for this one from now."
    )

    def to_event(self, ledger_id: UUID, account_id: UUID, version: int | None) -> AccountChangeSubmitted:
        """Return the message; what was not sent stays absent.

        Raises:
            Invalid: nothing is to be changed.
        """
        sent: dict[str, Any] = {name: getattr(self, name) for name in self.model_fields_set}
        if not any(name in ("group", "position") or value is not None for name, value in sent.items()):
            raise Invalid([FieldProblem("", "Send what to change: name, closed, group, position or merge_into.")])
        if version is not None:
            sent["version"] = version
        return AccountChangeSubmitted(ledger_id=ledger_id, account_id=account_id, **sent)


_MESSAGE_FIELDS = {"date": "opened"}


class AccountsAsked(Query):
    """Which accounts are listed."""

    closed: Flag = Field(False, description="Whether those that were closed are listed too.")


class AccountList(msgspec.Struct):
    """A ledger's accounts and categories by kind, position, group and name.

    Those that were merged into another are not listed. ``more`` says that there are more than one answer holds.
    """

    items: list[AccountLine]
    more: bool


_ACCEPTED = answer_of(AcceptedChange, "Accepted; ask for the operation at Location.")
_LIST = {200: answer_of(AccountList, "The accounts."), **problems(400, 401, 404, 503)}
_READ = {200: answer_of(Account, "The account; ETag is its version."), **problems(401, 404, 503)}
_OPENED = {
    202: _ACCEPTED,
    201: answer_of(Account, "Opened (with `Prefer: wait`)."),
    200: answer_of(Account, "Opened earlier under the same key (with `Prefer: wait`)."),
    **problems(400, 401, 413, 415, 422, 503),
}
_CHANGED = {
    202: _ACCEPTED,
    200: answer_of(Account, "Changed (with `Prefer: wait`)."),
    **problems(400, 401, 412, 413, 415, 422, 503),
}


@get("/accounts", responses=_LIST, opt=asks(AccountsAsked), tags=["accounts"])
async def list_own_accounts(request: JsonRequest, services: NamedDependency[Services]) -> JsonAnswer:
    """List the accounts and categories of your personal ledger, with their balances."""
    return await _list(request.user.ledger_id, request, services.ledger)


@get("/ledgers/{ledger_id:uuid}/accounts", responses=_LIST, opt=asks(AccountsAsked), tags=["accounts"])
async def list_ledger_accounts(
    ledger_id: FromPath[UUID], request: JsonRequest, services: NamedDependency[Services]
) -> JsonAnswer:
    """List the accounts and categories of a ledger you are a member of, with their balances."""
    return await _list(ledger_id, request, services.ledger)


@post("/accounts", status_code=202, responses=_OPENED, opt=WRITE, tags=["accounts"])
async def open_own_account(
    request: JsonRequest, data: JSONBody[NewAccount], services: NamedDependency[Services]
) -> JsonAnswer:
    """Open an account or category in your personal ledger."""
    return await _open(request.user.ledger_id, data, request.user, asking_of(request), services)


@post("/ledgers/{ledger_id:uuid}/accounts", status_code=202, responses=_OPENED, opt=WRITE, tags=["accounts"])
async def open_account(
    request: JsonRequest,
    ledger_id: FromPath[UUID],
    data: JSONBody[NewAccount],
    services: NamedDependency[Services],
) -> JsonAnswer:
    """Open an account or category."""
    return await _open(ledger_id, data, request.user, asking_of(request), services)


@get("/ledgers/{ledger_id:uuid}/accounts/{account_id:uuid}", responses=_READ, tags=["accounts"])
async def get_account(
    ledger_id: FromPath[UUID],
    account_id: FromPath[UUID],
    request: JsonRequest,
    services: NamedDependency[Services],
) -> JsonAnswer:
    """Read one account or category, closed or merged too, with its assertions that held and do no more."""
    account = await _get(services.ledger, ledger_id, account_id, request.user)
    return JsonAnswer(account, headers=etag_of(account))


@patch(
    "/ledgers/{ledger_id:uuid}/accounts/{account_id:uuid}",
    status_code=202,
    responses=_CHANGED,
    opt={**WRITE, **VERSIONED},
    tags=["accounts"],
)
async def change_account(
    request: JsonRequest,
    ledger_id: FromPath[UUID],
    account_id: FromPath[UUID],
    data: JSONBody[AccountChange],
    services: NamedDependency[Services],
) -> JsonAnswer:
    """Rename, close, reopen, arrange or merge an account or category."""
    asking, principal = asking_of(request), request.user
    event = data.to_event(ledger_id, account_id, version_of(request))
    submitted = await services.publisher.submit(event, asking, by=principal)
    return await answer_write(submitted, asking, lambda: _get(services.ledger, ledger_id, account_id, principal))


async def _list(ledger_id: UUID, request: JsonRequest, ledger: Database) -> JsonAnswer:
    asked = query_of(request, AccountsAsked)
    items, more = await list_accounts(ledger, ledger_id, request.user.user_id, closed=asked.closed)
    if not items:
        await require_member(ledger, ledger_id, request.user)
    return JsonAnswer(AccountList(items, more))


async def _open(
    ledger_id: UUID, data: NewAccount, principal: Principal, asking: Asking, services: Services
) -> JsonAnswer:
    submitted = await services.publisher.submit(data.to_event(ledger_id), asking, by=principal)
    account_id = submitted.resource_id
    return await answer_write(
        submitted,
        asking,
        lambda: _get(services.ledger, ledger_id, account_id, principal),
        status=201,
        location=f"{API}/ledgers/{ledger_id}/accounts/{account_id}",
    )


async def _get(ledger: Database, ledger_id: UUID, account_id: UUID, principal: Principal) -> Account:
    account = await find_account(ledger, ledger_id, principal.user_id, account_id)
    if account is None:
        raise NotFound("There is no such account in this ledger.", "account_id")
    return account
