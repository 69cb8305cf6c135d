"""The one table from exceptions to problem responses (RFC 9457); routes hold no ``try``."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.types import ExceptionHandlersMap

from contracts.filters import FilterError
from contracts.refusals import RefusalCode
from gateway.queries.paging import CursorError
from infra.errors import Unavailable
from infra.kafka.producer import MessageTooLarge
from infra.redis.limits import TooManyTries
from infra.telemetry.logs import get_logger
from infra.telemetry.traces import current_trace_id

log = get_logger(__name__)

PROBLEM_JSON = "application/problem+json"
#: After how many seconds to try again when a dependency is down.
RETRY_AFTER_S = 2


class FieldProblem(msgspec.Struct, frozen=True, omit_defaults=True):
    """One field, and what is wrong with it, at which of its characters. ``field`` is empty for the body as a whole."""

    field: str
    detail: str
    position: int | None = None


class Problem(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A problem as RFC 9457 describes it. ``type`` is stable; ``code`` is there when the consumers refused."""

    type: str
    title: str
    status: int
    detail: str
    instance: str | None = None
    trace_id: str | None = None
    code: str | None = None
    errors: list[FieldProblem] = []
    idempotency_key: str | None = None


@dataclass(frozen=True)
class Shown:
    """What an exception becomes; ``slug`` is the last part of the problem's type."""

    status: HTTPStatus
    slug: str
    detail: str
    errors: Sequence[FieldProblem] = ()
    code: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


class Declined(Exception):
    """The gateway says no by itself; subclasses say to what."""

    def shown(self) -> Shown:
        """Return the problem."""
        raise NotImplementedError


class Invalid(Declined):
    """Fields of the body, a header or the query are not as they should be."""

    def __init__(self, problems: Sequence[FieldProblem]) -> None:
        super().__init__(", ".join(problem.field for problem in problems))
        self.problems = problems

    def shown(self) -> Shown:
        """Name every field that is wrong."""
        named = [problem.field for problem in self.problems if problem.field]
        detail = f"Correct {', '.join(named)} and send it again." if named else self.problems[0].detail
        return Shown(HTTPStatus.BAD_REQUEST, "invalid-request", detail, self.problems)


class UnsupportedContent(Declined):
    """The body is not JSON."""

    def shown(self) -> Shown:
        """Name the one content type."""
        problem = FieldProblem("Content-Type", "Send application/json.")
        return Shown(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported-content", "Send the body as JSON.", [problem])


class TooLarge(Declined):
    """The body is longer than we take."""

    def shown(self) -> Shown:
        """Say so."""
        return Shown(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too-large", "The request is larger than we take. Send less.")


class Unauthenticated(Declined):
    """No bearer token, or one that is forged, expired or of an ended session."""

    def __init__(self, detail: str, *, token: bool = True) -> None:
        super().__init__(detail)
        self._token = token

    def shown(self) -> Shown:
        """Say why, and that a bearer token is wanted (RFC 6750)."""
        headers = {"WWW-Authenticate": 'Bearer error="invalid_token"' if self._token else "Bearer"}
        problem = FieldProblem("Authorization", str(self))
        return Shown(HTTPStatus.UNAUTHORIZED, "unauthenticated", str(self), [problem], headers=headers)


class SignInRefused(Declined):
    """Username and password, or a refresh token, do not let anybody in."""

    def __init__(self, code: str, detail: str, field: str) -> None:
        super().__init__(detail)
        self._code = code
        self._field = field

    def shown(self) -> Shown:
        """Say it without saying which of the two was wrong."""
        problem = FieldProblem(self._field, str(self))
        return Shown(HTTPStatus.UNAUTHORIZED, self._code.replace("_", "-"), str(self), [problem], self._code)


class PasswordWrong(Declined):
    """Whoever is signed in typed another password than theirs."""

    def shown(self) -> Shown:
        """Say so; 401 would mean that nobody is signed in."""
        detail = "That is not your current password; try again."
        problems = [FieldProblem("current_password", detail)]
        return Shown(HTTPStatus.FORBIDDEN, "password-wrong", detail, problems, "password_wrong")


class NotFound(Declined):
    """There is no such thing, or not for this person: the two look the same."""

    def __init__(self, detail: str, field: str) -> None:
        super().__init__(detail)
        self._field = field

    def shown(self) -> Shown:
        """Name the path's field."""
        return Shown(HTTPStatus.NOT_FOUND, "not-found", str(self), [FieldProblem(self._field, str(self))])


class Refused(Declined):
    """A consumer decided against it."""

    def __init__(self, code: str, detail: str, fields: Sequence[str]) -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail
        self._fields = fields

    def shown(self) -> Shown:
        """Give the refusal's code and sentence."""
        errors = [FieldProblem(name, self.detail) for name in self._fields]
        slug = self.code.replace("_", "-")
        # RFC 9110: what If-Match says is not so any more.
        stale = self.code == RefusalCode.VERSION_STALE
        status = HTTPStatus.PRECONDITION_FAILED if stale else HTTPStatus.UNPROCESSABLE_ENTITY
        return Shown(status, slug, self.detail, errors, self.code)


class OperationFailed(Declined):
    """A consumer could not decide, because of a defect; its operators know."""

    def shown(self) -> Shown:
        """Say that nothing was recorded."""
        detail = "Nothing was recorded: this could not be decided because of a defect on our side, which was reported."
        return Shown(HTTPStatus.INTERNAL_SERVER_ERROR, "operation-failed", detail)


def _shown_unavailable(error: Unavailable) -> Shown:
    log.warning("answered 503", operation=str(error), cause=repr(error.__cause__) if error.__cause__ else None)
    detail = (
        "Something this needs is not available at the moment. Try again in a moment, "
        "with the same Idempotency-Key if you are writing: then it takes effect once."
    )
    headers = {"Retry-After": str(RETRY_AFTER_S)}
    return Shown(HTTPStatus.SERVICE_UNAVAILABLE, "unavailable", detail, headers=headers)


def _shown_too_many_tries(error: TooManyTries) -> Shown:
    detail = f"Too many tries. Wait {error.retry_after_s} seconds, then try again."
    headers = {"Retry-After": str(error.retry_after_s)}
    return Shown(HTTPStatus.TOO_MANY_REQUESTS, "too-many-tries", detail, headers=headers)


def _shown_filter(error: FilterError) -> Shown:
    where = f"At character {error.position + 1} of the filter: {error.sentence}"
    return Shown(
        HTTPStatus.BAD_REQUEST, "invalid-filter", where, [FieldProblem("filter", error.sentence, error.position)]
    )


def _shown_cursor(_: CursorError) -> Shown:
    sentence = "This is no cursor of this list, sorted and filtered so. Send `next_cursor` of its last page, or none."
    return Invalid([FieldProblem("cursor", sentence)]).shown()


_DETAILS = {
    HTTPStatus.NOT_FOUND: "There is nothing at this address. The paths are listed at /docs.",
    HTTPStatus.METHOD_NOT_ALLOWED: "This address does not take this method; the Allow header lists those it takes.",
}


def _shown_framework(error: HTTPException) -> Shown:
    """Show what Litestar itself refuses: routing, query and path parameters, sizes."""
    status = HTTPStatus(error.status_code)
    errors: list[FieldProblem] = []
    extra = error.extra if isinstance(error.extra, list) else []
    for each in extra:
        name = str(each.get("key", ""))
        if name == "data":
            errors.append(FieldProblem("", "Send a JSON object in the body."))
        else:
            errors.append(FieldProblem(name[:100], str(each.get("message", ""))[:200]))
    if errors:
        shown = Invalid(errors).shown()
        return Shown(status, shown.slug, shown.detail, errors)
    detail = _DETAILS.get(status, error.detail if status < HTTPStatus.INTERNAL_SERVER_ERROR else status.description)
    slug = status.phrase.lower().replace(" ", "-")
    return Shown(status, slug, detail, headers=dict(error.headers or {}))


def _shown_defect(error: Exception) -> Shown:
    log.error("a defect", exc_info=error)
    detail = "Something went wrong on our side. Please report the trace id."
    return Shown(HTTPStatus.INTERNAL_SERVER_ERROR, "defect", detail)


def _handler(show: Callable[[Any], Shown]) -> Callable[[Request[Any, Any, Any], Any], Response[bytes]]:
    def handle(request: Request[Any, Any, Any], error: Any) -> Response[bytes]:
        return problem_response(show(error), request)

    return handle


def problem_response(shown: Shown, request: Request[Any, Any, Any]) -> Response[bytes]:
    """Write a problem, with the trace id, and the idempotency key where one was in play."""
    asking = request.scope.get("asking")
    problem = Problem(
        type=f"urn:cash-flow:problem:{shown.slug}",
        title=shown.status.phrase,
        status=shown.status,
        detail=shown.detail,
        instance=request.scope["path"].encode(errors="backslashreplace").decode()[:500],
        trace_id=current_trace_id(),
        code=shown.code,
        errors=list(shown.errors),
        idempotency_key=getattr(asking, "key", None),
    )
    return Response(
        msgspec.json.encode(problem),
        status_code=shown.status,
        media_type=PROBLEM_JSON,
        headers=dict(shown.headers),
    )


def _shown_refused_refresh(error: Refused) -> Shown:
    """Show a refused refresh as what it means to a client: sign in again."""
    return SignInRefused(error.code, error.detail, "refresh_token").shown()


#: For the one route whose refusals mean that nobody is signed in.
show_as_unauthenticated = _handler(_shown_refused_refresh)

#: The table. Litestar takes the entry of the nearest class.
EXCEPTION_HANDLERS: ExceptionHandlersMap = {
    Declined: _handler(lambda error: error.shown()),
    Unavailable: _handler(_shown_unavailable),
    TooManyTries: _handler(_shown_too_many_tries),
    FilterError: _handler(_shown_filter),
    CursorError: _handler(_shown_cursor),
    MessageTooLarge: _handler(lambda _: TooLarge().shown()),
    HTTPException: _handler(_shown_framework),
    Exception: _handler(_shown_defect),
}
