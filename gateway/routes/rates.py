"""Exchange rates: entered by an event, listed from the ledger database."""

from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from contracts.rates import RATES_MAX, RatesSubmitted
from contracts.rates import Rate as SubmittedRate
from gateway.auth import require_member
from gateway.fields import Body, CursorText, Day, HomeCurrency, Limit, Query, Rate
from gateway.queries.rates import RateLine, RatePage, find_rates, list_rates
from gateway.requests import WRITE, JsonRequest, asking_of, asks, query_of
from gateway.routes.answers import AcceptedChange, JsonAnswer, answer_of, answer_write, problems
from gateway.services import Services


class NewRate(Body):
    """What one unit of a currency is worth in another from a day on."""

    currency: HomeCurrency
    quote: HomeCurrency = Field(description="The currency that the rate is counted in.")
    date: Day
    rate: Rate | None = Field(description="Units of `quote` for one of `currency`; null takes that day's rate away.")


def _some(rates: tuple[NewRate, ...]) -> tuple[NewRate, ...]:
    if not 1 <= len(rates) <= RATES_MAX:
        raise PydanticCustomError("field", "{sentence}", {"sentence": f"Send a list of 1 to {RATES_MAX} rates."})
    return rates


class NewRates(Body):
    """Rates to be entered; each replaces the one of its currencies and day, if there is one."""

    rates: Annotated[
        tuple[NewRate, ...], AfterValidator(_some), Field(json_schema_extra={"minItems": 1, "maxItems": RATES_MAX})
    ]

    def to_event(self, ledger_id: UUID) -> RatesSubmitted:
        """Return the message."""
        rates = tuple(
            SubmittedRate(currency=each.currency, quote=each.quote, valid_on=each.date, rate=each.rate)
            for each in self.rates
        )
        return RatesSubmitted(ledger_id=ledger_id, rates=rates)


class RatesAsked(Query):
    """Which rates are listed."""

    currency: HomeCurrency | None = Field(None, description="Of this currency only.")
    quote: HomeCurrency | None = Field(None, description="Counted in this currency only.")
    limit: Limit = 50
    cursor: CursorText | None = None


class RateList(msgspec.Struct):
    """The rates that were sent, as they stand: those taken away are missing."""

    items: list[RateLine]


@get(
    "/ledgers/{ledger_id:uuid}/rates",
    responses={200: answer_of(RatePage, "A page."), **problems(400, 401, 404, 503)},
    opt=asks(RatesAsked),
    tags=["rates"],
)
async def list_ledger_rates(
    ledger_id: FromPath[UUID], request: JsonRequest, services: NamedDependency[Services]
) -> JsonAnswer:
    """List the exchange rates of a ledger you are a member of, the newest day first."""
    asked = query_of(request, RatesAsked)
    page = await list_rates(services.ledger, ledger_id, request.user.user_id, **asked.model_dump())
    if not page.items:
        await require_member(services.ledger, ledger_id, request.user)
    return JsonAnswer(page)


@post(
    "/ledgers/{ledger_id:uuid}/rates",
    status_code=202,
    responses={
        202: answer_of(AcceptedChange, "Accepted; ask for the operation at Location."),
        200: answer_of(RateList, "Recorded (with `Prefer: wait`)."),
        **problems(400, 401, 413, 415, 422, 503),
    },
    opt=WRITE,
    tags=["rates"],
)
async def record_rates(
    request: JsonRequest,
    ledger_id: FromPath[UUID],
    data: JSONBody[NewRates],
    services: NamedDependency[Services],
) -> JsonAnswer:
    """Enter exchange rates, all of them or none; they convert net worth, and nothing that is recorded."""
    asking, principal = asking_of(request), request.user
    submitted = await services.publisher.submit(data.to_event(ledger_id), asking, by=principal)

    async def read() -> Any:
        wanted = [(each.currency, each.quote, each.date) for each in data.rates]
        return RateList(await find_rates(services.ledger, ledger_id, principal.user_id, wanted))

    return await answer_write(submitted, asking, read)
