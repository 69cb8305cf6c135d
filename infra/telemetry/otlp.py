"""Spans recorded by OpenTelemetry and sent to a collector by OTLP over HTTP; imported only where traces are on.

Sent from a thread, in batches, through a queue with an end: a collector that is down or slow costs spans, never time.
"""

import atexit
import logging
import time
from collections.abc import Sequence
from contextvars import Token
from types import TracebackType
from typing import Self
from uuid import uuid4

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, Sampler, SamplingResult, TraceIdRatioBased
from opentelemetry.util.types import Attributes as OpenTelemetryAttributes
from prometheus_client import Counter

from infra.settings import TraceSettings
from infra.telemetry import traces
from infra.telemetry.logs import get_logger
from infra.telemetry.spans import LINKS_MAX, Attributes, Span, SpanKind
from infra.version import own_version

log = get_logger(__name__)

SEND_TIMEOUT_S = 2.0
FLUSH_S = 2.0
QUEUE_MAX = 4096
SEND_EVERY_S = 1.0
WARN_EVERY_S = 300.0

LOST = Counter("cash_spans_lost_total", "Spans that the collector did not take.")

_KINDS = {kind: trace.SpanKind[kind.name] for kind in SpanKind}


class OtlpRecorder:
    """Begins spans, and has them sent."""

    def __init__(self, process: str, exporter: SpanExporter, sample_ratio: float) -> None:
        """Record for a process; ``exporter`` takes the ended spans in a thread of its own."""
        resource = Resource.create(
            {
                "service.namespace": "cash-flow",
                "service.name": process,
                "service.version": own_version(),
                "service.instance.id": str(uuid4()),
            }
        )
        self._provider = TracerProvider(sampler=_sampler(sample_ratio), resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(
            _Background(exporter, max_queue_size=QUEUE_MAX, schedule_delay_millis=SEND_EVERY_S * 1000)
        )
        self._tracer = self._provider.get_tracer("cash-flow", own_version())

    @classmethod
    def start(cls, process: str, settings: TraceSettings) -> Self:
        """Record for as long as the process lives; what is left at its end is sent then."""
        # It would tell every try of every batch; we tell of an outage once in five minutes.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        exporter = OTLPSpanExporter(f"{settings.endpoint.rstrip('/')}/v1/traces", timeout=SEND_TIMEOUT_S)
        recorder = cls(process, Losing(exporter), settings.sample_ratio)
        atexit.register(recorder.stop)
        return recorder

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
        """Begin a span; see :class:`infra.telemetry.spans.Recorder`."""
        above = None if is_root else _context_of(parent, is_remote=True) or _context_of(traces.current_traceparent())
        causes = dict.fromkeys(link for link in links if link)
        span = self._tracer.start_span(
            name,
            # An empty context, else OpenTelemetry would look for a current span of its own.
            Context() if above is None else trace.set_span_in_context(trace.NonRecordingSpan(above), Context()),
            _KINDS[kind],
            attributes,
            [trace.Link(cause) for link in list(causes)[:LINKS_MAX] if (cause := _context_of(link, is_remote=True))],
        )
        return _RecordedSpan(span)

    def stop(self) -> None:
        """Send what is left, for two seconds at most."""
        self._provider.shutdown()


class _RecordedSpan(Span):
    __slots__ = ("_span", "_token", "_traceparent")

    def __init__(self, span: trace.Span) -> None:
        context = span.get_span_context()
        self._span = span
        self._traceparent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
        self._token: Token[str | None] | None = None

    @property
    def is_recorded(self) -> bool:
        return self._span.is_recording()

    @property
    def traceparent(self) -> str:
        return self._traceparent

    def rename(self, name: str) -> None:
        self._span.update_name(name)

    def note(self, name: str, value: str | int) -> None:
        self._span.set_attribute(name, value)

    def fail(self, kind: str) -> None:
        self._span.set_attribute("error.type", kind)
        self._span.set_status(trace.StatusCode.ERROR)

    def end(self) -> None:
        self._span.end()

    def __enter__(self) -> Self:
        self._token = traces.make_current(self._traceparent)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._token is not None:
            traces.make_former_current(self._token)
        if kind is not None:
            self.fail(kind.__name__)
        self._span.end()


class Losing(SpanExporter):
    """Hands spans to another exporter, and bears that it fails: what it did not take is counted, and seldom told."""

    def __init__(self, exporter: SpanExporter) -> None:
        """Nothing is lost yet."""
        self._exporter = exporter
        self._told_at = -WARN_EVERY_S
        self._lost = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Hand spans over."""
        if self._exporter.export(spans) is SpanExportResult.SUCCESS:
            return SpanExportResult.SUCCESS
        LOST.inc(len(spans))
        self._lost += len(spans)
        if time.monotonic() - self._told_at >= WARN_EVERY_S:
            log.warning("the collector of traces does not take them", lost_spans=self._lost)
            self._told_at, self._lost = time.monotonic(), 0
        return SpanExportResult.FAILURE

    def shutdown(self) -> None:
        """Give up what is under way."""
        self._exporter.shutdown()


class _Background(BatchSpanProcessor):
    def shutdown(self) -> None:
        # Its own waits for half a minute, longer than the process is given.
        self._batch_processor.shutdown(timeout_millis=int(FLUSH_S * 1000))


class _AsItsLinks(Sampler):
    """Keeps a span without a parent if any span that it links to is kept; one that links to none, by its share."""

    def __init__(self, share: Sampler) -> None:
        self._share = share

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: trace.SpanKind | None = None,
        attributes: OpenTelemetryAttributes = None,
        links: Sequence[trace.Link] | None = None,
        trace_state: trace.TraceState | None = None,
    ) -> SamplingResult:
        decided: Sampler = self._share
        if links:
            decided = _KEEP if any(link.context.trace_flags.sampled for link in links) else _DROP
        return decided.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)

    def get_description(self) -> str:
        return f"AsItsLinks({self._share.get_description()})"


_KEEP, _DROP = TraceIdRatioBased(1), TraceIdRatioBased(0)


def _sampler(ratio: float) -> Sampler:
    """Decide by the parent, else by a share of the trace ids.

    Whoever calls us from outside may say that they do not record, and then we do not; that they do is not an order,
    or everybody could have all of theirs recorded. The share is of the trace id: all processes decide alike.
    """
    share = TraceIdRatioBased(ratio)
    return ParentBased(_AsItsLinks(share), remote_parent_sampled=share)


def _context_of(traceparent: str | None, *, is_remote: bool = False) -> trace.SpanContext | None:
    trace_id = traces.trace_id_of(traceparent)
    if trace_id is None or traceparent is None:
        return None
    try:
        context = trace.SpanContext(
            int(trace_id, 16), int(traceparent[36:52], 16), is_remote, trace.TraceFlags(int(traceparent[53:], 16))
        )
    except ValueError:
        return None
    return context if context.is_valid else None
