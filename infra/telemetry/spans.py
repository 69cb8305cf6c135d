"""Spans: what a process did, when, and because of whom, for OpenTelemetry; nothing unless an endpoint is set.

This module knows nothing of OpenTelemetry: where traces are off it is not imported, and beginning a span is looking at
a name. What carries a trace from process to process is the ``traceparent`` of :mod:`infra.telemetry.traces`, on or off.
"""

import sys
from collections.abc import Mapping, Sequence
from enum import Enum
from types import TracebackType
from typing import Protocol, Self, TypeAlias

from infra.settings import TraceSettings, read
from infra.telemetry.traces import current_traceparent

Attributes: TypeAlias = Mapping[str, str | int]
"""Never a secret, an address, a name or an amount: ids, kinds and counts only."""
LINKS_MAX = 100
"""Spans that another one names as its causes; and of one batch, those that get a span of their own."""


class SpanKind(Enum):
    """What a span is in the conversation between processes (OpenTelemetry's kinds)."""

    INTERNAL = "internal"
    SERVER = "server"
    CLIENT = "client"
    PRODUCER = "producer"
    CONSUMER = "consumer"


class Span:
    """A span that nobody records: what there is where traces are off, or something is not worth one.

    Used as a block it is the current one within, and ends with it; an error that leaves the block marks it as failed.
    """

    __slots__ = ()

    @property
    def is_recorded(self) -> bool:
        """Whether this one is kept."""
        return False

    @property
    def traceparent(self) -> str | None:
        """What to give to whoever goes on with this: here, what was current already."""
        return current_traceparent()

    def rename(self, name: str) -> None:
        """Give it the name that was not known when it began."""

    def note(self, name: str, value: str | int) -> None:
        """Add an attribute; see :data:`Attributes` for what may not be in one."""

    def fail(self, kind: str) -> None:
        """Say that it failed, by the kind of error: the text of one may hold what must not be seen."""

    def end(self) -> None:
        """End it now."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return None


NO_SPAN = Span()


class Recorder(Protocol):
    """Begins spans that are recorded; made by :func:`start_traces`."""

    def begin(
        self,
        name: str,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes | None = None,
        *,
        parent: str | None = None,
        links: Sequence[str | None] = (),
        is_root: bool = False,
    ) -> Span:
        """Begin a span below ``parent``, else below the current one, else (``is_root``: in any case) in a new trace.

        ``parent`` and ``links`` are traceparents, of other processes.
        """

    def stop(self) -> None:
        """Send what is left, for two seconds at most."""


_recorder: Recorder | None = None


def find_recorder() -> Recorder | None:
    """Return what records spans in this process, or ``None`` where traces are off."""
    return _recorder


def use_recorder(recorder: Recorder | None) -> None:
    """Record by this from now on."""
    global _recorder  # noqa: PLW0603 - one per process, like the loggers and metrics
    _recorder = recorder


def begin_send(topic: str, message_type: str) -> Span:
    """Begin the span of a message's way into Kafka; its ``traceparent`` is for the message's header."""
    if _recorder is None:
        return NO_SPAN
    return _recorder.begin(f"send {topic}", SpanKind.PRODUCER, sending(topic) | {"cash.message_type": message_type})


def begin_transaction(database: str, parent: str | None = None) -> Span:
    """Begin the span of a database transaction."""
    if _recorder is None:
        return NO_SPAN
    attributes = {"db.system.name": "postgresql", "db.namespace": database}
    return _recorder.begin("database transaction", SpanKind.CLIENT, attributes, parent=parent)


def begin_asking(job: str) -> Span:
    """Begin the span of asking for a job because its time has come: a trace of its own."""
    if _recorder is None:
        return NO_SPAN
    return _recorder.begin(f"ask for {job}", SpanKind.PRODUCER, {"cash.job": job}, is_root=True)


def begin_job(job: str, asked_by: str | None = None) -> Span:
    """Begin the span of a job's run, in the trace of whoever asked for it, else in one of its own."""
    if _recorder is None:
        return NO_SPAN
    return _recorder.begin(
        f"job {job}", SpanKind.CONSUMER, {"cash.job": job}, parent=asked_by, is_root=asked_by is None
    )


def sending(topic: str) -> dict[str, str | int]:
    """Return what the semantic conventions ask of a span that sends to Kafka."""
    return {"messaging.system": "kafka", "messaging.operation.type": "send", "messaging.destination.name": topic}


def start_traces(process: str) -> None:
    """Record spans from now on where ``CASH_TRACES_ENDPOINT`` names a collector; end the process if that cannot be."""
    settings = read(TraceSettings)
    if not settings.endpoint:
        return
    try:
        from infra.telemetry.otlp import OtlpRecorder
    except ImportError:
        print(
            "Setting CASH_TRACES_ENDPOINT: traces need OpenTelemetry, which is not installed. Install cash-flow[traces]"
            " or leave the setting empty, and start again.",
            file=sys.stderr,
        )
        raise SystemExit(78) from None
    use_recorder(OtlpRecorder.start(process, settings))
