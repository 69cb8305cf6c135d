"""What every request goes through: its trace, its metrics, its headers, and one line in the log for some of them."""

import time
from collections.abc import Callable, Iterable, Mapping
from itertools import count
from typing import Any

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from prometheus_client import Counter, Histogram

from gateway.draining import Draining
from infra.telemetry.logs import get_logger
from infra.telemetry.spans import Recorder, Span, SpanKind, find_recorder
from infra.telemetry.traces import new_traceparent, tracing
from infra.version import VERSION_HEADER, own_version

log = get_logger(__name__)

REQUESTS = Counter("cash_http_requests_total", "Requests answered.", ["method", "route", "status"])
REQUEST_SECONDS = Histogram(
    "cash_http_request_seconds",
    "Time from a request's head to its answer's end.",
    ["method", "route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 2.5, 10),
)
WRITE_SECONDS = Histogram(
    "cash_write_seconds",
    "Time from a write's head to its answer's end: accepted, or decided where the sender waits for that; no failures.",
    ["answer"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
_ACCEPTED, _DECIDED = (WRITE_SECONDS.labels(answer).observe for answer in ("accepted", "decided"))
SLOW_S = 1.0
#: Asked by machines every few seconds: a trace of it tells nobody anything.
_UNTRACED = frozenset({"/health/live", "/health/ready", "/metrics"})
_VERSION = VERSION_HEADER.lower().encode(), own_version().encode()
#: Uvicorn closes the connection behind an answer that says so.
_CLOSE = b"connection", b"close"
_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})


class Observed:
    """Wraps the application. Litestar's own logging middleware would cost more than the request."""

    def __init__(self, app: ASGIApp, draining: Draining, *, log_every: int) -> None:
        """Log one of ``log_every`` requests, besides slow ones and those that failed on our side."""
        self._app = app
        self._draining = draining
        self._log_every = log_every
        self._count = count(1)
        self._recorder = find_recorder()
        self._metrics: dict[tuple[str, str, int], tuple[Callable[[], None], Callable[[float], None]]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, and take note of it."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status = 500

        async def send_observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = _with_common(message["headers"], scope, closes=self._draining.begun)
            await send(message)

        # Litestar makes an object of the headers whenever it is asked for one; a dictionary is a tenth of that.
        scope["sent"] = _joined(scope["headers"])  # type: ignore[typeddict-unknown-key]  # ours; ASGI allows it
        traceparent = scope["sent"].get(b"traceparent")  # type: ignore[typeddict-item]
        parent = traceparent.decode("latin-1") if traceparent else None
        span = None if self._recorder is None else _begin_span(self._recorder, scope, parent)
        with tracing(new_traceparent(parent) if span is None else span.traceparent):
            asked = _as_get(scope)
            try:
                await self._app(asked, receive, send_observed)
            finally:
                self._note(asked, scope["method"], status, time.perf_counter() - began)
                if span is not None:
                    _end_span(span, asked, scope["method"], status)

    def _note(self, scope: Any, method: str, status: int, seconds: float) -> None:
        # An unknown method or path must not make a new time series.
        method = method if method in _METHODS else "other"
        route = scope.get("path_template") or "unmatched"
        key = method, route, status
        metrics = self._metrics.get(key)
        if metrics is None:
            metrics = self._metrics[key] = (
                REQUESTS.labels(method, route, status).inc,
                REQUEST_SECONDS.labels(method, route).observe,
            )
        metrics[0]()
        # An answer that goes on for as long as its reader likes is neither slow nor fast.
        streamed = "streamed" in scope
        if not streamed:
            metrics[1](seconds)
            if status < 500 and (asking := scope.get("asking")):
                (_DECIDED if asking.wait_s else _ACCEPTED)(seconds)
        if status >= 500 or (seconds > SLOW_S and not streamed) or next(self._count) % self._log_every == 0:
            log.info("answered", method=method, route=route, status=status, milliseconds=round(seconds * 1000, 1))


def _begin_span(recorder: Recorder, scope: Any, parent: str | None) -> Span | None:
    """Begin a request's span, named after its route at the end. Paths hold names and ids, so no span does."""
    if scope["path"] in _UNTRACED:
        return None
    method = scope["method"] if scope["method"] in _METHODS else "_OTHER"
    return recorder.begin(method, SpanKind.SERVER, {"http.request.method": method}, parent=parent)


def _end_span(span: Span, scope: Any, method: str, status: int) -> None:
    if route := scope.get("path_template"):
        span.rename(f"{method} {route}" if method in _METHODS else f"HTTP {route}")
        span.note("http.route", route)
    span.note("http.response.status_code", status)
    if status >= 500:
        span.fail(str(status))
    span.end()


def _as_get(scope: Any) -> Any:
    """Return a HEAD as the GET that it is without the body (RFC 9110, 9.3.2), which the server under us leaves out.

    A stream of events has no end that anybody could wait for: there it stays what it is, and is refused.
    """
    if scope["method"] != "HEAD" or scope["path"].endswith("/events"):
        return scope
    return {**scope, "method": "GET"}


def _joined(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Return headers by name; one sent twice is a list (RFC 9110, 5.3), so no second one wins in silence."""
    joined: dict[bytes, bytes] = {}
    for name, value in headers:
        joined[name] = value if name not in joined else joined[name] + b", " + value
    return joined


def _with_common(headers: Any, scope: Mapping[str, Any], *, closes: bool) -> list[tuple[bytes, bytes]]:
    """Add what every answer has: its version, no caching unless it says so; a write returns its idempotency key."""
    every = list(headers)
    if not any(name == b"cache-control" for name, _ in every):
        every.append((b"cache-control", b"no-store"))
    every.append((b"x-content-type-options", b"nosniff"))
    every.append(_VERSION)
    if asking := scope.get("asking"):
        every.append((b"idempotency-key", asking.key.encode()))
    if closes:
        every.append(_CLOSE)
    return every
