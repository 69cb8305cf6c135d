"""Transactions: recorded, changed and deleted by events; listed, searched and read from the ledger database."""

from typing import Annotated, Any
from uuid import UUID

from litestar import delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from pydantic import Field

from contracts.filters import Filter, parse_filter
from contracts.transactions import ReversalSubmitted, Split, TransactionChangeSubmitted, TransactionSubmitted
from gateway.auth import require_member
from gateway.errors import FieldProblem, Invalid, NotFound
from gateway.fields import (
    AccountName,
    Amount,
    ArrivingAmount,
    Body,
    Booked,
    CategoryName,
    Currency,
    CursorText,
    Description,
    ExternalId,
    FilterText,
    Kind,
    Limit,
    Note,
    Payee,
    Query,
    Rate,
    Status,
    Tags,
    TargetName,
    saying,
)
from gateway.publishing import Submitted
from gateway.queries.filters import Sort
from gateway.queries.history import History, find_history
from gateway.queries.transactions import Transaction, TransactionPage, find_transaction, list_transactions
from gateway.requests import VERSIONED, WRITE, JsonRequest, asking_of, asks, query_of, version_of
from gateway.routes.answers import (
    API,
    Accepted,
    AcceptedChange,
    JsonAnswer,
    accepted,
    answer_of,
    answer_write,
    etag_of,
    problems,
    settled,
)
from gateway.services import Services


class NewSplit(Body):
    """A part of a transaction that belongs to one category."""

    amount: Amount
    category: CategoryName


Splits = Annotated[
    list[NewSplit],
    Field(description="Instead of a category, where there are several; without an amount, it is their sum."),
]


class NewTransaction(Body):
    """A transaction as people type it: an expense from the default account, unless it says otherwise."""

    amount: Amount | None = Field(None, description="Absent: the sum of the splits.")
    category: CategoryName | None = None
    splits: Splits | None = None
    kind: Kind | None = Field(None, description="Absent: an expense, or a transfer where to_account is.")
    currency: Currency | None = Field(None, description="Absent: the account's.")
    account: AccountName | None = None
    to_account: TargetName | None = None
    to_amount: ArrivingAmount | None = None
    rate: Rate | None = Field(None, description="Of an exchange, instead of to_amount.")
    description: Description | None = None
    payee: Payee | None = None
    tags: Tags | None = None
    note: Note | None = None
    status: Status | None = Field(None, description="Absent: pending.")
    external_id: ExternalId | None = None
    date: Booked | None = None
    id: UUID | None = Field(None, description="Chosen by the client; then also its idempotency key.")

    def to_event(self, ledger_id: UUID) -> TransactionSubmitted:
        """Return the message; what was not sent stays absent."""
        return TransactionSubmitted(ledger_id=ledger_id, **_sent(self))


def _left_out() -> Any:
    """Return what a field is that stays as it is where it is left out, and may not be null."""
    return None


class TransactionChange(Body):
    """How a transaction is to stand. What is left out stays as it is; null takes an annotation away."""

    amount: Amount = Field(default_factory=_left_out)
    category: CategoryName = Field(default_factory=_left_out)
    splits: Splits = Field(default_factory=_left_out)
    kind: Kind = Field(default_factory=_left_out)
    currency: Currency = Field(default_factory=_left_out)
    account: AccountName = Field(default_factory=_left_out, description="Name or id of an account.")
    to_account: TargetName = Field(default_factory=_left_out)
    to_amount: ArrivingAmount = Field(default_factory=_left_out)
    rate: Rate = Field(default_factory=_left_out)
    description: Description | None = None
    payee: Payee | None = None
    tags: Tags | None = None
    note: Note | None = None
    status: Status = Field(default_factory=_left_out)
    external_id: ExternalId | None = None
    date: Booked = Field(default_factory=_left_out, description="A calendar day, or a moment with an offset.")

    def to_event(self, ledger_id: UUID, transaction_id: UUID, version: int | None) -> TransactionChangeSubmitted:
        """Return the message; what was not sent stays absent.

        Raises:
            Invalid: nothing was sent.
        """
        sent = _sent(self)
        if not sent:
            raise Invalid([FieldProblem("", "Send at least one field to change.")])
        if version is not None:
            sent["version"] = version
        return TransactionChangeSubmitted(ledger_id=ledger_id, transaction_id=transaction_id, **sent)


_MESSAGE_FIELDS = {"date": "booked", "id": "transaction_id"}


def _sent(body: NewTransaction | TransactionChange) -> dict[str, Any]:
    """Return what was sent, by the fields of the message."""
    sent: dict[str, Any] = {_MESSAGE_FIELDS.get(name, name): getattr(body, name) for name in body.model_fields_set}
    if body.splits is not None:
        sent["splits"] = tuple(Split(amount=each.amount, category=each.category) for each in body.splits)
    if body.tags is not None:
        sent["tags"] = tuple(body.tags)
    return sent


class TransactionsAsked(Query):
    """Which transactions, in which order, and how many of them."""

    filter: FilterText | None = None
    sort: Annotated[Sort, saying("Sort by -date, date, -amount or amount.")] = Field(
        Sort.NEWEST, description="By day, or by currency and amount; a minus for the newest or the largest first."
    )
    limit: Limit = 50
    cursor: CursorText | None = None


class AcceptedTransaction(Accepted):
    """A transaction on its way into the ledger, and the id it will have there."""

    transaction_id: UUID


_RECORD = {
    202: answer_of(AcceptedTransaction, "Accepted; ask for the operation at Location."),
    201: answer_of(Transaction, "Recorded (with `Prefer: wait`)."),
    200: answer_of(Transaction, "Recorded earlier under the same key (with `Prefer: wait`)."),
    **problems(400, 401, 413, 415, 422, 503),
}
_CHANGE = {
    202: answer_of(AcceptedChange, "Accepted; ask for the operation at Location."),
    200: answer_of(Transaction, "Changed (with `Prefer: wait`); ETag is its new version."),
    **problems(400, 401, 404, 412, 413, 415, 422, 503),
}
_DELETE = {
    202: answer_of(AcceptedChange, "Accepted; ask for the operation at Location."),
    200: answer_of(Transaction, "Deleted (with `Prefer: wait`): as it was, and `deleted`."),
    **problems(400, 401, 404, 412, 422, 503),
}
_LIST = {200: answer_of(TransactionPage, "A page."), **problems(400, 401, 404, 503)}
_READ = {200: answer_of(Transaction, "The transaction; ETag is its version."), **problems(401, 404, 503)}
_HISTORY = {200: answer_of(History, "Its versions."), **problems(401, 404, 503)}
_EDIT = {**WRITE, **VERSIONED}


@post("/transactions", status_code=202, responses=_RECORD, opt=WRITE, tags=["transactions"])
async def submit_own_transaction(
    request: JsonRequest,
    data: JSONBody[NewTransaction],
    services: NamedDependency[Services],
) -> JsonAnswer:
    """Accept a transaction for your personal ledger; it is submitted, not yet recorded."""
    return await _submit(request, request.user.ledger_id, data, services)


@post("/ledgers/{ledger_id:uuid}/transactions", status_code=202, responses=_RECORD, opt=WRITE, tags=["transactions"])
async def submit_transaction(
    request: JsonRequest,
    ledger_id: FromPath[UUID],
    data: JSONBody[NewTransaction],
    services: NamedDependency[Services],
) -> JsonAnswer:
    """Accept a transaction for recording; it is submitted, not yet recorded."""
    return await _submit(request, ledger_id, data, services)


@get("/transactions", responses=_LIST, opt=asks(TransactionsAsked), tags=["transactions"])
async def list_own_transactions(request: JsonRequest, services: NamedDependency[Services]) -> JsonAnswer:
    """List the transactions of your personal ledger that a filter means, sorted."""
    return await _list(request, request.user.ledger_id, services)


@get("/ledgers/{ledger_id:uuid}/transactions", responses=_LIST, opt=asks(TransactionsAsked), tags=["transactions"])
async def list_ledger_transactions(
    request: JsonRequest, ledger_id: FromPath[UUID], services: NamedDependency[Services]
) -> JsonAnswer:
    """List the transactions of a ledger you are a member of that a filter means, sorted."""
    return await _list(request, ledger_id, services)


@get("/transactions/{transaction_id:uuid}", responses=_READ, tags=["transactions"])
async def get_own_transaction(
    request: JsonRequest, transaction_id: FromPath[UUID], services: NamedDependency[Services]
) -> JsonAnswer:
    """Read one transaction of your personal ledger, also one that was deleted."""
    return await _get(request, request.user.ledger_id, transaction_id, services)


@get("/ledgers/{ledger_id:uuid}/transactions/{transaction_id:uuid}", responses=_READ, tags=["transactions"])
async def get_transaction(
    request: JsonRequest,
    ledger_id: FromPath[UUID],
    transaction_id: FromPath[UUID],
    services: NamedDependency[Services],
) -> JsonAnswer:
    """Read one transaction of a ledger you are a member of, also one that was deleted."""
    return await _get(request, ledger_id, transaction_id, services)


@patch(
    "/transactions/{transaction_id:uuid}",
    status_code=202,
    responses=_CHANGE,
    opt=_EDIT,
    tags=["transactions"],
)
async def change_own_transaction(
    request: JsonRequest,
    transaction_id: FromPath[UUID],
    data: JSONBody[TransactionChange],
    services: NamedDependency[Services],
) -> JsonAnswer:
    """Change a transaction of your personal ledger; its history keeps how it was."""
    return await _change(request, request.user.ledger_id, transaction_id, data, services)


@patch(
    "/ledgers/{ledger_id:uuid}/transactions/{transaction_id:uuid}",
    status_code=202,
    responses=_CHANGE,
    opt=_EDIT,
    tags=["transactions"],
)
async def change_transaction(
    request: JsonRequest,
    ledger_id: FromPath[UUID],
    transaction_id: FromPath[UUID],
    data: JSONBody[TransactionChange],
    services: NamedDependency[Services],
) -> JsonAnswer:
    """Change a transaction; its history keeps how it was."""
    return await _change(request, ledger_id, transaction_id, data, services)


@delete(
    "/transactions/{transaction_id:uuid}",
    status_code=202,
    responses=_DELETE,
    opt=_EDIT,
    tags=["transactions"],
)
async def delete_own_transaction(
    request: JsonRequest, transaction_id: FromPath[UUID], services: NamedDependency[Services]
) -> JsonAnswer:
    """Delete a transaction of your personal ledger; its history stays, and it can be undone."""
    return await _delete(request, request.user.ledger_id, transaction_id, services)


@delete(
    "/ledgers/{ledger_id:uuid}/transactions/{transaction_id:uuid}",
    status_code=202,
    responses=_DELETE,
    opt=_EDIT,
    tags=["transactions"],
)
async def delete_transaction(
    request: JsonRequest,
    ledger_id: FromPath[UUID],
    transaction_id: FromPath[UUID],
    services: NamedDependency[Services],
) -> JsonAnswer:
    """Delete a transaction; its history stays, and it can be undone."""
    return await _delete(request, ledger_id, transaction_id, services)


@get(
    "/ledgers/{ledger_id:uuid}/transactions/{transaction_id:uuid}/history",
    responses=_HISTORY,
    tags=["transactions"],
)
async def get_transaction_history(
    request: JsonRequest,
    ledger_id: FromPath[UUID],
    transaction_id: FromPath[UUID],
    services: NamedDependency[Services],
) -> JsonAnswer:
    """Read how a transaction came to stand as it does: who changed what, and when."""
    user_id = request.user.user_id
    history = await find_history(services.ledger, services.users, ledger_id, user_id, transaction_id)
    if history is None:
        raise _not_found()
    return JsonAnswer(history)


def filter_of(text: str | None) -> Filter | None:
    """Read a filter as it was sent; blank is none.

    Raises:
        FilterError: it is not one.
    """
    return parse_filter(text) if text and not text.isspace() else None


async def _submit(request: JsonRequest, ledger_id: UUID, data: NewTransaction, services: Services) -> JsonAnswer:
    asking = asking_of(request)
    asking.prefer_key(data.id)
    submitted = await services.publisher.submit(data.to_event(ledger_id), asking, by=request.user)
    if submitted.recorded and submitted.operation and (transaction := submitted.operation.transaction):
        location = f"{API}/ledgers/{ledger_id}/transactions/{transaction.id}"
        return settled(transaction, submitted, asking, status=201, location=location)
    body = AcceptedTransaction(
        operation_id=submitted.operation_id,
        status=submitted.status,
        idempotency_key=asking.key,
        transaction_id=submitted.resource_id,
    )
    return accepted(body, submitted, asking)


async def _list(request: JsonRequest, ledger_id: UUID, services: Services) -> JsonAnswer:
    asked = query_of(request, TransactionsAsked)
    what = filter_of(asked.filter)
    if what is not None:
        # To a stranger no name in it is known or unknown.
        await require_member(services.ledger, ledger_id, request.user)
    page = await list_transactions(
        services.ledger,
        ledger_id,
        request.user.user_id,
        limit=asked.limit,
        cursor=asked.cursor,
        sort=asked.sort,
        what=what,
    )
    if not page.items:
        await require_member(services.ledger, ledger_id, request.user)
    return JsonAnswer(page)


async def _get(request: JsonRequest, ledger_id: UUID, transaction_id: UUID, services: Services) -> JsonAnswer:
    transaction = await _find(request, ledger_id, transaction_id, services)
    return JsonAnswer(transaction, headers=etag_of(transaction))


async def _change(
    request: JsonRequest, ledger_id: UUID, transaction_id: UUID, data: TransactionChange, services: Services
) -> JsonAnswer:
    event = data.to_event(ledger_id, transaction_id, version_of(request))
    submitted = await services.publisher.submit(event, asking_of(request), by=request.user)
    return await _answer_edit(request, ledger_id, submitted, services)


async def _delete(request: JsonRequest, ledger_id: UUID, transaction_id: UUID, services: Services) -> JsonAnswer:
    version = version_of(request)
    seen = {} if version is None else {"version": version}
    event = ReversalSubmitted(ledger_id=ledger_id, transaction_id=transaction_id, **seen)
    submitted = await services.publisher.submit(event, asking_of(request), by=request.user)
    return await _answer_edit(request, ledger_id, submitted, services)


async def _answer_edit(request: JsonRequest, ledger_id: UUID, submitted: Submitted, services: Services) -> JsonAnswer:
    async def read() -> Transaction:
        if submitted.operation and submitted.operation.transaction:
            return submitted.operation.transaction
        return await _find(request, ledger_id, submitted.resource_id, services)

    return await answer_write(submitted, asking_of(request), read)


async def _find(request: JsonRequest, ledger_id: UUID, transaction_id: UUID, services: Services) -> Transaction:
    transaction = await find_transaction(services.ledger, ledger_id, request.user.user_id, transaction_id)
    if transaction is None:
        raise _not_found()
    return transaction


def _not_found() -> NotFound:
    return NotFound("There is no such transaction in this ledger.", "transaction_id")
