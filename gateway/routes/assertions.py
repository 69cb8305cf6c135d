"""Balance assertions: a statement's balance held against the books, by an event; listed with whether it still holds."""

from datetime import date
from uuid import UUID

from litestar import delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from pydantic import Field

from contracts.assertions import AssertionLiftSubmitted, AssertionSubmitted
from gateway.auth import require_member
from gateway.errors import NotFound
from gateway.fields import AccountName, AnyAccount, Body, CursorText, Day, Flag, Limit, Query, SignedAmount
from gateway.queries.accounts import find_named_account
from gateway.queries.assertions import AssertionPage, AssertionWithRows, find_assertion, list_assertions
from gateway.requests import WRITE, JsonRequest, asking_of, asks, query_of
from gateway.routes.answers import API, AcceptedChange, JsonAnswer, answer_of, answer_write, problems
from gateway.services import Services
from gateway.tokens import Principal


class NewAssertion(Body):
    """What a statement says that an account held at the end of a day."""

    account: AccountName = Field(description="Name or id of an asset or liability.")
    balance: SignedAmount = Field(description="Of the statement; below zero is owed.")
    date: Day = Field(description="The statement's day; the balance is the one at its end.")

    def to_event(self, ledger_id: UUID) -> AssertionSubmitted:
        """Return the message."""
        on: date = self.date
        return AssertionSubmitted(ledger_id=ledger_id, account=self.account, balance=self.balance, on=on)


class AssertionsAsked(Query):
    """Which assertions are listed."""

    account: AnyAccount | None = Field(None, description="Name or id of the one account whose assertions are wanted.")
    lifted: Flag = Field(False, description="Whether those that were lifted are listed too.")
    broken: Flag = Field(False, description="Only those that held when they were made and do no more.")
    limit: Limit = 50
    cursor: CursorText | None = None


_ACCEPTED = answer_of(AcceptedChange, "Accepted; ask for the operation at Location.")


@get(
    "/ledgers/{ledger_id:uuid}/assertions",
    responses={200: answer_of(AssertionPage, "A page."), **problems(400, 401, 404, 503)},
    opt=asks(AssertionsAsked),
    tags=["assertions"],
)
async def list_ledger_assertions(
    ledger_id: FromPath[UUID], request: JsonRequest, services: NamedDependency[Services]
) -> JsonAnswer:
    """List the assertions of a ledger you are a member of, the newest day first, each with whether it holds now."""
    asked, principal = query_of(request, AssertionsAsked), request.user
    wanted = asked.model_dump(exclude={"account"})
    if asked.account:
        account = await find_named_account(services.ledger, ledger_id, principal.user_id, asked.account)
        if account is None:
            await require_member(services.ledger, ledger_id, principal)
            raise NotFound("There is no such account in this ledger; list its accounts.", "account")
        wanted["account_id"] = account.id
    page = await list_assertions(services.ledger, services.users, ledger_id, principal.user_id, **wanted)
    if not page.items:
        await require_member(services.ledger, ledger_id, principal)
    return JsonAnswer(page)


@post(
    "/ledgers/{ledger_id:uuid}/assertions",
    status_code=202,
    responses={
        202: _ACCEPTED,
        201: answer_of(AssertionWithRows, "Asserted, whether it holds or not (with `Prefer: wait`)."),
        200: answer_of(AssertionWithRows, "Asserted earlier under the same key (with `Prefer: wait`)."),
        **problems(400, 401, 413, 415, 422, 503),
    },
    opt=WRITE,
    tags=["assertions"],
)
async def assert_balance(
    request: JsonRequest,
    ledger_id: FromPath[UUID],
    data: JSONBody[NewAssertion],
    services: NamedDependency[Services],
) -> JsonAnswer:
    """Hold a statement's balance against the books. Where it holds, the transactions it covers are reconciled."""
    asking, principal = asking_of(request), request.user
    submitted = await services.publisher.submit(data.to_event(ledger_id), asking, by=principal)
    assertion_id = submitted.resource_id
    return await answer_write(
        submitted,
        asking,
        lambda: _get(services, ledger_id, assertion_id, principal),
        status=201,
        location=f"{API}/ledgers/{ledger_id}/assertions/{assertion_id}",
    )


@get(
    "/ledgers/{ledger_id:uuid}/assertions/{assertion_id:uuid}",
    responses={200: answer_of(AssertionWithRows, "The assertion."), **problems(401, 404, 503)},
    tags=["assertions"],
)
async def get_assertion(
    ledger_id: FromPath[UUID],
    assertion_id: FromPath[UUID],
    request: JsonRequest,
    services: NamedDependency[Services],
) -> JsonAnswer:
    """Read one assertion: its difference from the books now, and the transactions no statement has covered."""
    return JsonAnswer(await _get(services, ledger_id, assertion_id, request.user))


@delete(
    "/ledgers/{ledger_id:uuid}/assertions/{assertion_id:uuid}",
    status_code=202,
    responses={
        202: _ACCEPTED,
        200: answer_of(AssertionWithRows, "Lifted (with `Prefer: wait`)."),
        **problems(400, 401, 422, 503),
    },
    opt=WRITE,
    tags=["assertions"],
)
async def lift_assertion(
    request: JsonRequest,
    ledger_id: FromPath[UUID],
    assertion_id: FromPath[UUID],
    services: NamedDependency[Services],
) -> JsonAnswer:
    """Lift an assertion: what it had reconciled may be changed again."""
    asking, principal = asking_of(request), request.user
    event = AssertionLiftSubmitted(ledger_id=ledger_id, assertion_id=assertion_id)
    submitted = await services.publisher.submit(event, asking, by=principal)
    return await answer_write(submitted, asking, lambda: _get(services, ledger_id, assertion_id, principal))


async def _get(services: Services, ledger_id: UUID, assertion_id: UUID, principal: Principal) -> AssertionWithRows:
    assertion = await find_assertion(services.ledger, services.users, ledger_id, principal.user_id, assertion_id)
    if assertion is None:
        raise NotFound("There is no such assertion in this ledger.", "assertion_id")
    return assertion
