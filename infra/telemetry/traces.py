"""Trace ids: W3C Trace Context carried from gateway to record headers to consumer to job, and into every log line."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token

_current: ContextVar[str | None] = ContextVar("traceparent", default=None)


def new_traceparent(parent: str | None = None) -> str:
    """Return a ``traceparent`` with a new span: of the parent's trace where it is a valid one, else of a new trace."""
    return f"00-{trace_id_of(parent) or secrets.token_hex(16)}-{secrets.token_hex(8)}-01"


def trace_id_of(traceparent: str | None) -> str | None:
    """Return the 32 hex digits of the trace, or ``None`` where the header is absent or not valid."""
    if traceparent is None or len(traceparent) != 55:
        return None
    version, _, rest = traceparent.partition("-")
    trace_id, _, _ = rest.partition("-")
    if version != "00" or len(trace_id) != 32 or trace_id == "0" * 32:
        return None
    return trace_id if all(digit in "0123456789abcdef" for digit in trace_id) else None


def current_traceparent() -> str | None:
    """Return the ``traceparent`` of the request or record being handled, if one is."""
    return _current.get()


def current_trace_id() -> str | None:
    """Return the trace id of the request or record being handled, if one is."""
    return trace_id_of(_current.get())


@contextmanager
def tracing(traceparent: str | None) -> Iterator[None]:
    """Make a ``traceparent`` the current one within the block."""
    token = _current.set(traceparent)
    try:
        yield
    finally:
        _current.reset(token)


def make_current(traceparent: str | None) -> Token[str | None]:
    """Make a ``traceparent`` the current one until :func:`make_former_current` is called, as a block cannot do."""
    return _current.set(traceparent)


def make_former_current(token: Token[str | None]) -> None:
    """Make current what was before :func:`make_current` returned this."""
    _current.reset(token)
