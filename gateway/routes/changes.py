"""Changes: who did what to a ledger, and taking it back."""

from typing import Annotated, Literal
from uuid import UUID

from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, PathParameter
from pydantic import Field

from contracts.changes import UndoSubmitted
from gateway.auth import require_member
from gateway.errors import FieldProblem, Invalid, NotFound
from gateway.fields import CursorText, Limit, Query, saying
from gateway.queries.changes import Change, ChangePage, find_undo, list_changes, read_cursor
from gateway.requests import WRITE, JsonRequest, asking_of, asks, query_of
from gateway.routes.answers import AcceptedChange, JsonAnswer, answer_of, answer_write, problems
from gateway.services import Services

#: The largest whole number that every JSON reader has exactly (RFC 8259, 6); no ledger comes this far.
_SEQUENCE_MAX = 2**53 - 1


class ChangesAsked(Query):
    """Which changes, and how many of them."""

    subject: (
        Annotated[UUID, saying("Send the id of a transaction, account, member, invitation or statement.")] | None
    ) = Field(None, description="Only what happened to this transaction, account, member, invitation or statement.")
    by: Annotated[Literal["me"], saying("Send me, or nothing for everybody's.")] | None = Field(
        None, description="`me`: only your own. Such a page may be short, or empty, and yet have a next one."
    )
    limit: Limit = 50
    cursor: CursorText | None = None


@get(
    "/ledgers/{ledger_id:uuid}/changes",
    responses={200: answer_of(ChangePage, "A page."), **problems(400, 401, 404, 503)},
    opt=asks(ChangesAsked),
    tags=["changes"],
)
async def list_ledger_changes(
    ledger_id: FromPath[UUID], request: JsonRequest, services: NamedDependency[Services]
) -> JsonAnswer:
    """List what happened to a ledger you are a member of, the newest first: who did what, and when."""
    asked, principal = query_of(request, ChangesAsked), request.user
    page = await list_changes(
        services.ledger,
        services.users,
        ledger_id,
        principal.user_id,
        subject_id=asked.subject,
        by=principal.user_id if asked.by else None,
        before=_before(asked.cursor),
        limit=asked.limit,
    )
    if not page.items:
        await require_member(services.ledger, ledger_id, principal)
    return JsonAnswer(page)


@post(
    "/ledgers/{ledger_id:uuid}/changes/{sequence:int}/undo",
    status_code=202,
    responses={
        202: answer_of(AcceptedChange, "Accepted; ask for the operation at Location."),
        201: answer_of(Change, "Taken back, by this change (with `Prefer: wait`)."),
        200: answer_of(Change, "Taken back earlier under the same key (with `Prefer: wait`)."),
        **problems(400, 401, 404, 413, 422, 503),
    },
    opt=WRITE,
    tags=["changes"],
)
async def undo_change(
    request: JsonRequest,
    ledger_id: FromPath[UUID],
    sequence: Annotated[int, PathParameter(ge=1, le=_SEQUENCE_MAX, description="Of the change.")],
    services: NamedDependency[Services],
) -> JsonAnswer:
    """Take a change of a transaction or account back, where nothing was changed about it since.

    Taking back what took another one back is doing it again.
    """
    if (await request.body()).strip() not in (b"", b"{}"):
        raise Invalid([FieldProblem("", "Send no body, or an empty object.")])
    asking, principal = asking_of(request), request.user
    submitted = await services.publisher.submit(
        UndoSubmitted(ledger_id=ledger_id, change=sequence), asking, by=principal
    )

    async def read() -> Change:
        change = await find_undo(
            services.ledger,
            services.users,
            ledger_id,
            principal.user_id,
            undone=sequence,
            operation_id=submitted.operation_id,
        )
        if change is None:
            raise NotFound("There is no such ledger, or you are not a member of it any more.", "ledger_id")
        return change

    return await answer_write(submitted, asking, read, status=201)


def _before(cursor: str | None) -> int | None:
    if cursor is None:
        return None
    try:
        return read_cursor(cursor)
    except ValueError:
        sentence = "This is not a cursor of ours. Send `next_cursor` of an earlier page, or none."
        raise Invalid([FieldProblem("cursor", sentence)]) from None
