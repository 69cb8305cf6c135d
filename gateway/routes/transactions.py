"""Transactions: recorded by an event, listed and read from the ledger database."""

from typing import Annotated, Any
from uuid import UUID

from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from pydantic import Field

from contracts.transactions import TransactionKind, TransactionSubmitted
from gateway.auth import require_member
from gateway.errors import NotFound
from gateway.fields import AccountName, Amount, Body, Booked, CategoryName, Currency, Description
from gateway.publishing import Publisher
from gateway.queries.transactions import Transaction, TransactionPage, find_transaction, list_transactions
from gateway.requests import WRITE, Asking, JsonRequest, asking_of
from gateway.routes.answers import API, Accepted, JsonAnswer, accepted, answer_of, problems, settled
from gateway.services import Services
from gateway.tokens import Principal
from infra.postgres.engine import Database

LIMIT_MAX = 200


class NewTransaction(Body):
    """A transaction as people type it: an expense from the default account, unless it says otherwise."""

    amount: Amount
    category: CategoryName
    kind: TransactionKind | None = Field(None, description="Absent: an expense.")
    currency: Currency | None = Field(None, description="Absent: the account's.")
    account: AccountName | None = None
    description: Description | None = None
    date: Booked | None = None
    id: UUID | None = Field(None, description="Chosen by the client; then also its idempotency key.")

    def to_event(self, ledger_id: UUID) -> TransactionSubmitted:
        """Return the message; what was not sent stays absent."""
        sent: dict[str, Any] = {_MESSAGE_FIELDS.get(name, name): getattr(self, name) for name in self.model_fields_set}
        return TransactionSubmitted(ledger_id=ledger_id, **sent)


_MESSAGE_FIELDS = {"date": "booked", "id": "transaction_id"}


class AcceptedTransaction(Accepted):
    """A transaction on its way into the ledger, and the id it will have there."""

    transaction_id: UUID


Limit = Annotated[int, QueryParameter(ge=1, le=LIMIT_MAX, description="How many at most.")]
CursorText = Annotated[
    str | None, QueryParameter(name="cursor", max_length=64, description="`next_cursor` of the page before; opaque.")
]

_WRITE = {
    202: answer_of(AcceptedTransaction, "Accepted; ask for the operation at Location."),
    201: answer_of(Transaction, "Recorded (with `Prefer: wait`)."),
    200: answer_of(Transaction, "Recorded earlier under the same key (with `Prefer: wait`)."),
    **problems(400, 401, 413, 415, 422, 503),
}
_LIST = {200: answer_of(TransactionPage, "A page."), **problems(400, 401, 404, 503)}
_READ = {200: answer_of(Transaction, "The transaction."), **problems(401, 404, 503)}


@post("/transactions", status_code=202, responses=_WRITE, opt=WRITE, tags=["transactions"])
async def submit_own_transaction(
    request: JsonRequest,
    data: JSONBody[NewTransaction],
    services: NamedDependency[Services],
) -> JsonAnswer:
    """Accept a transaction for your personal ledger; it is submitted, not yet recorded."""
    return await _submit(request.user.ledger_id, data, request.user, asking_of(request), services.publisher)


@post("/ledgers/{ledger_id:uuid}/transactions", status_code=202, responses=_WRITE, opt=WRITE, tags=["transactions"])
async def submit_transaction(
    request: JsonRequest,
    ledger_id: FromPath[UUID],
    data: JSONBody[NewTransaction],
    services: NamedDependency[Services],
) -> JsonAnswer:
    """Accept a transaction for recording; it is submitted, not yet recorded."""
    return await _submit(ledger_id, data, request.user, asking_of(request), services.publisher)


@get("/transactions", responses=_LIST, tags=["transactions"])
async def list_own_transactions(
    request: JsonRequest,
    services: NamedDependency[Services],
    limit: Limit = 50,
    cursor: CursorText = None,
) -> JsonAnswer:
    """List the transactions of your personal ledger, the newest day first."""
    return await _list(request.user.ledger_id, request.user, services.ledger, limit, cursor)


@get("/ledgers/{ledger_id:uuid}/transactions", responses=_LIST, tags=["transactions"])
async def list_ledger_transactions(
    ledger_id: FromPath[UUID],
    request: JsonRequest,
    services: NamedDependency[Services],
    limit: Limit = 50,
    cursor: CursorText = None,
) -> JsonAnswer:
    """List the transactions of a ledger you are a member of, the newest day first."""
    return await _list(ledger_id, request.user, services.ledger, limit, cursor)


@get("/transactions/{transaction_id:uuid}", responses=_READ, tags=["transactions"])
async def get_own_transaction(
    transaction_id: FromPath[UUID], request: JsonRequest, services: NamedDependency[Services]
) -> JsonAnswer:
    """Read one transaction of your personal ledger."""
    return await _get(request.user.ledger_id, transaction_id, request.user, services.ledger)


@get("/ledgers/{ledger_id:uuid}/transactions/{transaction_id:uuid}", responses=_READ, tags=["transactions"])
async def get_transaction(
    ledger_id: FromPath[UUID],
    transaction_id: FromPath[UUID],
    request: JsonRequest,
    services: NamedDependency[Services],
) -> JsonAnswer:
    """Read one transaction of a ledger you are a member of."""
    return await _get(ledger_id, transaction_id, request.user, services.ledger)


async def _submit(
    ledger_id: UUID, data: NewTransaction, principal: Principal, asking: Asking, publisher: Publisher
) -> JsonAnswer:
    asking.prefer_key(data.id)
    submitted = await publisher.submit(data.to_event(ledger_id), asking, by=principal)
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


async def _list(ledger_id: UUID, principal: Principal, ledger: Database, limit: int, cursor: str | None) -> JsonAnswer:
    page = await list_transactions(
        ledger, ledger_id, principal.user_id, limit=limit, cursor=cursor
    )
    if not page.items:
        await require_member(ledger, ledger_id, principal)
    return JsonAnswer(page)


async def _get(ledger_id: UUID, transaction_id: UUID, principal: Principal, ledger: Database) -> JsonAnswer:
    transaction = await find_transaction(ledger, ledger_id, principal.user_id, transaction_id)
    if transaction is None:
        raise NotFound("There is no such transaction in this ledger.", "transaction_id")
    return JsonAnswer(transaction)
