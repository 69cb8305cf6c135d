"""Totals: what was spent and earned, by category, payee, tag or account."""

from typing import Annotated
from uuid import UUID

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath
from pydantic import Field

from gateway.auth import require_member
from gateway.errors import FieldProblem, Invalid
from gateway.fields import Day, FilterText, Query, saying
from gateway.queries.totals import By, Period, Totals, find_totals
from gateway.requests import JsonRequest, asks, query_of
from gateway.routes.answers import JsonAnswer, answer_of, problems
from gateway.routes.transactions import filter_of
from gateway.services import Services


class TotalsAsked(Query):
    """Which totals."""

    by: Annotated[By, saying("Send one of category, account, payee or tag.")] = By.CATEGORY
    period: Annotated[Period, saying("Send one of month, quarter, year or all.")] = Period.ALL
    first: Day | None = Field(None, alias="from", description="The first day that counts; absent: from the beginning.")
    last: Day | None = Field(None, alias="to", description="The last day that counts; absent: without end.")
    filter: FilterText | None = Field(None, description="Only of the transactions that it means, of each the whole.")


@get(
    "/ledgers/{ledger_id:uuid}/totals",
    responses={200: answer_of(Totals, "The totals."), **problems(400, 401, 404, 503)},
    opt=asks(TotalsAsked),
    tags=["totals"],
)
async def get_totals(
    request: JsonRequest, ledger_id: FromPath[UUID], services: NamedDependency[Services]
) -> JsonAnswer:
    """Read totals of a ledger you are a member of: by category, account, payee or tag, per period and currency."""
    asked = query_of(request, TotalsAsked)
    if asked.first and asked.last and asked.first > asked.last:
        raise Invalid([FieldProblem("to", "Send a day that is not before `from`.")])
    await require_member(services.ledger, ledger_id, request.user)
    totals = await find_totals(
        services.ledger,
        ledger_id,
        request.user.user_id,
        by=asked.by,
        period=asked.period,
        first=asked.first,
        last=asked.last,
        what=filter_of(asked.filter),
    )
    return JsonAnswer(totals)
