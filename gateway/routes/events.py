"""Events: what is recorded in a ledger, as it comes."""

from typing import Annotated
from uuid import UUID

from litestar import get
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath
from pydantic import Field, StringConstraints

from gateway.errors import FieldProblem, Invalid
from gateway.fields import Query, saying
from gateway.requests import RESUMABLE, JsonRequest, asks, query_of
from gateway.routes.answers import problems
from gateway.services import Services
from gateway.streaming import EventAnswer

_DIGITS_MAX = 18
_SENTENCE = "Send the id of the last event that you had, a whole number, or none."


class EventsAsked(Query):
    """Where a stream begins, for tools that cannot send the header."""

    last_event_id: Annotated[
        str | None,
        StringConstraints(pattern=rf"^[0-9]{{1,{_DIGITS_MAX}}}$"),
        saying(_SENTENCE),
        Field(description="The same as the header `Last-Event-ID`, which goes before it."),
    ] = None


_STREAM = {
    200: ResponseSpec(str, description="The events.", media_type="text/event-stream", generate_examples=False),
    **problems(400, 401, 404, 429, 503),
}


@get("/ledgers/{ledger_id:uuid}/events", responses=_STREAM, opt={**asks(EventsAsked), **RESUMABLE}, tags=["events"])
async def stream_events(
    ledger_id: FromPath[UUID], request: JsonRequest, services: NamedDependency[Services]
) -> EventAnswer:
    """Stream what is recorded in a ledger from now on, as server-sent events.

    `id` is the ledger's sequence, `event` the type (`transaction.recorded`), `data` the entry as JSON with amounts as
    decimal strings. With `Last-Event-ID` everything after that event follows first, none missing and none twice; 0 is
    before the first. A comment comes every 15 seconds where nothing else does. The event `end` says why the stream
    ends for you: `not_a_member`, `session_ended`, `token_expired` (connect again with a fresh one) or `journal_broken`.
    """
    asked = query_of(request, EventsAsked)
    stream = await services.events.open(ledger_id, request.user, _last_of(request, asked))
    return EventAnswer(services.events, stream)


def _last_of(request: JsonRequest, asked: EventsAsked) -> int | None:
    """Return after which event the stream begins: a client that connects again by itself repeats its first query."""
    sent = request.sent(b"last-event-id")
    if sent is None:
        return None if asked.last_event_id is None else int(asked.last_event_id)
    if not (sent.isascii() and sent.isdecimal() and len(sent) <= _DIGITS_MAX):
        raise Invalid([FieldProblem("Last-Event-ID", _SENTENCE)])
    return int(sent)
