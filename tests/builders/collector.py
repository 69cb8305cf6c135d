"""A collector of traces: takes OTLP over HTTP as Jaeger does, and keeps the spans."""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1 import trace_pb2


@dataclass(frozen=True)
class Collected:
    """A span as it arrived."""

    process: str
    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    attributes: Mapping[str, str | int]
    links: tuple[str, ...]
    failed: bool
    began_ns: int
    ended_ns: int


@dataclass
class Collector:
    """What has arrived so far; ``endpoint`` is what ``CASH_TRACES_ENDPOINT`` is set to."""

    endpoint: str
    spans: list[Collected] = field(default_factory=list)
    status: int = 200
    #: Cleared, it takes what comes and answers nobody.
    answers: threading.Event = field(default_factory=threading.Event)

    def of(self, trace_id: str) -> list[Collected]:
        """Return the spans of a trace, the first to begin first."""
        return sorted((span for span in self.spans if span.trace_id == trace_id), key=lambda span: span.began_ns)

    def drawn(self, trace_id: str) -> str:
        """Return a trace as people draw one: a line each span, below what it came of, with milliseconds."""
        spans = self.of(trace_id)
        began_ns, known = spans[0].began_ns, {span.span_id for span in spans}

        def lines(parent_id: str | None, indent: str) -> Iterator[str]:
            for span in spans:
                if span.parent_id == parent_id or (parent_id is None and span.parent_id not in known):
                    at_ms, took_ms = (span.began_ns - began_ns) / 1e6, (span.ended_ns - span.began_ns) / 1e6
                    name = f"{indent}{span.name}"
                    yield f"{at_ms:8.1f} {took_ms:8.1f}  {span.process:<18} {name}"
                    yield from lines(span.span_id, indent + "  ")

        return "\n".join(lines(None, ""))

    def until(self, trace_id: str, *names: str, within_s: float = 20) -> dict[str, Collected]:
        """Wait until a trace has spans of these names; return them by name, the first of each."""
        deadline = time.monotonic() + within_s
        while True:
            found: dict[str, Collected] = {}
            for span in self.of(trace_id):
                found.setdefault(span.name, span)
            if set(names) <= found.keys():
                return found
            assert time.monotonic() < deadline, f"of {names} there are {sorted(found)}"
            time.sleep(0.05)


@contextmanager
def a_collector() -> Iterator[Collector]:
    """Run a collector on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            collector.answers.wait()
            if self.path == "/v1/traces" and collector.status == 200:
                collector.spans += _spans(ExportTraceServiceRequest.FromString(body))
            self.send_response(collector.status if self.path == "/v1/traces" else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector = Collector(f"http://127.0.0.1:{server.server_port}")
    collector.answers.set()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        collector.answers.set()
        server.shutdown()
        server.server_close()
        thread.join()


def _spans(request: ExportTraceServiceRequest) -> list[Collected]:
    return [
        Collected(
            process=str(_attributes(of_process.resource.attributes)["service.name"]),
            name=span.name,
            kind=trace_pb2.Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
            trace_id=span.trace_id.hex(),
            span_id=span.span_id.hex(),
            parent_id=span.parent_span_id.hex(),
            attributes=_attributes(span.attributes),
            links=tuple(link.span_id.hex() for link in span.links),
            failed=span.status.code == trace_pb2.Status.STATUS_CODE_ERROR,
            began_ns=span.start_time_unix_nano,
            ended_ns=span.end_time_unix_nano,
        )
        for of_process in request.resource_spans
        for scope in of_process.scope_spans
        for span in scope.spans
    ]


def _attributes(pairs: Any) -> dict[str, str | int]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}
