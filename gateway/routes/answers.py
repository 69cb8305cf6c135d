"""How routes answer a write: accepted with an operation to ask about later, or with what came of it."""

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any
from uuid import UUID

import msgspec
from litestar.openapi.datastructures import ResponseSpec
from litestar.types import Receive, Scope, Send

from contracts.messages import OperationState
from gateway.errors import PROBLEM_JSON, Problem
from gateway.publishing import Submitted
from gateway.requests import Asking

API = "/api/v1"


class Accepted(msgspec.Struct, kw_only=True):
    """It was submitted; the operation says how it ends. The same key and content give the same operation again."""

    operation_id: UUID
    status: OperationState
    idempotency_key: str


class AcceptedChange(Accepted):
    """A change on its way into the ledger, and the id of what it is about."""

    resource_id: UUID


_TEXTS = {
    400: "Something in the request is not as it should be; every field that is wrong is named.",
    401: "No bearer token, or one that is forged, expired or of an ended session.",
    403: "The current password is not the one that was sent.",
    404: "There is no such thing, or not for you: the two look the same.",
    412: "It was changed since the version that If-Match names; the detail shows both.",
    413: "The body is larger than 64 kB.",
    415: "The body is not JSON.",
    422: "It was refused, with a code; or the idempotency key was used for other content.",
    429: "Too many tries; Retry-After says when to try again.",
    503: "Something this needs is not available; try again, with the same idempotency key.",
}


def problems(*statuses: int) -> dict[int, ResponseSpec]:
    """Return the responses of an operation that are problems (RFC 9457), for the OpenAPI document."""
    return {
        status: ResponseSpec(Problem, description=_TEXTS[status], media_type=PROBLEM_JSON, generate_examples=False)
        for status in statuses
    }


def answer_of(model: type[Any], description: str) -> ResponseSpec:
    """Return a response of an operation, for the OpenAPI document."""
    return ResponseSpec(model, description=description, generate_examples=False)


def no_content(description: str) -> ResponseSpec:
    """Return a response without a body, for the OpenAPI document."""
    return ResponseSpec(None, description=description, generate_examples=False)


class JsonAnswer:
    """An answer that is sent as it is: Litestar's Response costs as much as reading the body did."""

    __slots__ = ("_body", "_headers", "_status")

    def __init__(self, body: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        """Encode a body, or none where ``status`` is 204."""
        self._status = status
        self._body = b"" if status == HTTPStatus.NO_CONTENT else _JSON.encode(body)
        self._headers = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
        if self._body:
            self._headers.append((b"content-type", b"application/json"))
            self._headers.append((b"content-length", b"%d" % len(self._body)))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        await send({"type": "http.response.start", "status": self._status, "headers": self._headers})
        await send({"type": "http.response.body", "body": self._body, "more_body": False})


_JSON = msgspec.json.Encoder()


def etag_of(body: Any) -> dict[str, str]:
    """Return the header that names the version of what has one (RFC 9110, 8.8.3)."""
    version = getattr(body, "version", None)
    return {} if version is None else {"etag": f'"{version}"'}


def accepted(
    body: Accepted, submitted: Submitted, asking: Asking, *, operations: str = f"{API}/operations"
) -> JsonAnswer:
    """Answer 202 with where to ask; ``operations`` is the path the operation's id is appended to."""
    headers = {"location": f"{operations}/{submitted.operation_id}", **_headers(submitted, asking)}
    if submitted.operation is None:
        headers["retry-after"] = "1"
    return JsonAnswer(body, status=202, headers=headers)


def settled(body: Any, submitted: Submitted, asking: Asking, *, status: int, location: str | None = None) -> JsonAnswer:
    """Answer with what came of it: ``status`` the first time, 200 when it is replayed."""
    headers = {**_headers(submitted, asking), **etag_of(body)}
    if location:
        headers["location"] = location
    if submitted.replayed and status == HTTPStatus.CREATED:
        status = HTTPStatus.OK
    return JsonAnswer(body, status=status, headers=headers)


async def answer_write(
    submitted: Submitted,
    asking: Asking,
    read: Callable[[], Awaitable[Any]],
    *,
    status: int = 200,
    location: str | None = None,
) -> JsonAnswer:
    """Answer a write with what ``read`` finds where its sender waited and it was recorded, with 202 otherwise.

    What is read is how the thing stands now: for a key that was used before that may be later than what was asked.
    """
    if submitted.recorded:
        return settled(await read(), submitted, asking, status=status, location=location)
    body = AcceptedChange(
        operation_id=submitted.operation_id,
        status=submitted.status,
        idempotency_key=asking.key,
        resource_id=submitted.resource_id,
    )
    return accepted(body, submitted, asking)


def _headers(submitted: Submitted, asking: Asking) -> dict[str, str]:
    headers: dict[str, str] = {}
    if asking.wait_s:
        headers["preference-applied"] = f"wait={asking.wait_s}"
    if submitted.replayed:
        headers["idempotency-replayed"] = "true"
    return headers
