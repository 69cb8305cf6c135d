"""Spans: nothing at all where traces are off; whose they are, where they go, and what a collector cannot do to us."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from consumers.batch_spans import committing, taking
from consumers.records import Received, receive
from gateway.draining import Draining
from gateway.observing import Observed
from infra.settings import TraceSettings, complaints
from infra.telemetry import otlp, spans, traces
from infra.telemetry.otlp import LOST, OtlpRecorder
from infra.telemetry.spans import NO_SPAN, SpanKind, begin_job, begin_send, find_recorder, start_traces
from tests.builders.collector import Collector, a_collector
from tests.builders.submissions import a_record, a_submission, as_consumed

SAMPLED = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"
TRACE_ID = "0123456789abcdef0123456789abcdef"
NOT_SAMPLED = SAMPLED[:-1] + "0"


@pytest.fixture
def collector() -> Iterator[Collector]:
    with a_collector() as collector:
        yield collector


@pytest.fixture(autouse=True)
def _off_afterwards() -> Iterator[None]:
    yield
    if recorder := find_recorder():
        recorder.stop()
    spans.use_recorder(None)


def record_to(collector: Collector, *, ratio: float = 1.0) -> OtlpRecorder:
    recorder = OtlpRecorder.start("gateway", TraceSettings(endpoint=collector.endpoint, sample_ratio=ratio))
    spans.use_recorder(recorder)
    return recorder


def lost() -> float:
    return float(LOST._value.get())


def test_what_records_is_not_even_imported_where_traces_are_off() -> None:
    program = (
        "import sys\n"
        "import gateway.app, consumers.ledger, consumers.identity, consumers.relay, consumers.jobs.worker\n"
        "from infra.telemetry.spans import NO_SPAN, begin_job, begin_send, begin_transaction, start_traces\n"
        "start_traces('gateway')\n"
        "assert begin_send('a', 'b') is begin_job('c') is begin_transaction('d') is NO_SPAN\n"
        # Redis-py loads the interfaces of OpenTelemetry, and its metrics, wherever they are installed.
        "ours = 'opentelemetry.sdk.trace', 'opentelemetry.exporter', 'infra.telemetry.otlp'\n"
        "print([name for name in sys.modules if name.startswith(ours)])"
    )
    settings = {
        "CASH_TRACES_ENDPOINT": "",
        "CASH_REDIS_HOST": "127.0.0.1",
        "CASH_REDIS_PASSWORD": "secret",
    }
    printed = subprocess.run([sys.executable, "-c", program], env=settings, capture_output=True, text=True, check=True)

    assert printed.stdout.strip() == "[]"


def test_without_the_extra_the_start_is_refused_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CASH_TRACES_ENDPOINT", "http://127.0.0.1:4318")
    monkeypatch.setitem(sys.modules, "infra.telemetry.otlp", None)

    with pytest.raises(SystemExit) as ended:
        start_traces("gateway")

    assert ended.value.code == 78
    assert "Install cash-flow[traces]" in capsys.readouterr().err


@pytest.mark.parametrize("endpoint", ["jaeger:4318", "ftp://jaeger", "http://"])
def test_an_endpoint_that_is_no_address_is_refused(endpoint: str) -> None:
    with pytest.raises(ValueError, match="endpoint") as refused:
        TraceSettings(endpoint=endpoint)

    assert "CASH_TRACES_ENDPOINT" in complaints(TraceSettings, refused.value)[0]  # type: ignore[arg-type]


def test_a_span_off_passes_on_what_is_current() -> None:
    with traces.tracing(SAMPLED), begin_send("ledger.submissions", "a type") as span:
        assert span is NO_SPAN
        assert span.traceparent == SAMPLED


def test_spans_stand_below_each_other_and_arrive(collector: Collector) -> None:
    recorder = record_to(collector)
    with (
        recorder.begin("GET", SpanKind.SERVER, parent=SAMPLED) as outer,
        begin_send("ledger.submissions", "a type") as inner,
    ):
        inner_parent = inner.traceparent
        outer.rename("GET /things")
    recorder.stop()

    sent, request = collector.of(TRACE_ID)[::-1]
    assert (request.name, request.kind, request.parent_id) == ("GET /things", "server", "0123456789abcdef")
    assert (sent.name, sent.kind, sent.parent_id) == ("send ledger.submissions", "producer", request.span_id)
    assert inner_parent == f"00-{TRACE_ID}-{sent.span_id}-01"
    assert sent.attributes["messaging.destination.name"] == "ledger.submissions"
    assert traces.current_traceparent() is None


def test_an_error_marks_its_span_by_its_kind_alone(collector: Collector) -> None:
    recorder = record_to(collector)
    with pytest.raises(ValueError, match="ann@example"), begin_job("tidy"):
        raise ValueError("ann@example.org is wrong")
    recorder.stop()

    (span,) = collector.spans
    assert span.failed
    assert span.attributes == {"cash.job": "tidy", "error.type": "ValueError"}


def test_a_traceparent_says_whether_it_is_sampled(collector: Collector) -> None:
    recorder = record_to(collector, ratio=0.0)

    own = recorder.begin("GET", is_root=True)
    sent = recorder.begin("GET", parent=SAMPLED)

    assert not own.is_recorded
    assert int((own.traceparent or "")[-2:], 16) & 1 == 0
    # Who calls from outside cannot order us to record.
    assert not sent.is_recorded
    assert traces.trace_id_of(sent.traceparent) == TRACE_ID


def test_who_does_not_record_keeps_us_from_it(collector: Collector) -> None:
    recorder = record_to(collector)

    assert not recorder.begin("GET", parent=NOT_SAMPLED).is_recorded
    assert recorder.begin("GET", parent=SAMPLED).is_recorded


def test_a_share_of_the_traces_is_recorded_and_whole(collector: Collector) -> None:
    recorder = record_to(collector, ratio=0.5)
    kept = 0
    for number in range(200):
        trace_id = f"{number * 0x9E3779B97F4A7C15 % 2**64:032x}" if number else "1".zfill(32)
        span = recorder.begin("GET", parent=f"00-{trace_id}-0123456789abcdef-01")
        again = recorder.begin("process", parent=span.traceparent)
        assert span.is_recorded == again.is_recorded
        kept += span.is_recorded

    assert 60 < kept < 140


@pytest.mark.parametrize("traceparent", ["", "garbage", SAMPLED[:-2] + "zz", SAMPLED.replace("01234567", "0" * 8)])
def test_what_is_no_trace_begins_a_new_one(collector: Collector, traceparent: str) -> None:
    recorder = record_to(collector)

    assert recorder.begin("GET", parent=traceparent).is_recorded


async def test_a_request_is_a_span_named_after_its_route(collector: Collector) -> None:
    recorder = record_to(collector)

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        scope["path_template"] = "/things/{thing_id:uuid}"
        await send({"type": "http.response.start", "status": 503, "headers": []})

    async def ignore(_: object) -> None: ...

    app = Observed(answer, Draining(), log_every=1000)
    for path in ("/things/4711", "/metrics"):
        scope = {"type": "http", "method": "GET", "path": path, "headers": [(b"traceparent", SAMPLED.encode())]}
        await app(scope, ignore, ignore)  # type: ignore[arg-type]
    recorder.stop()

    (span,) = collector.spans
    assert (span.name, span.kind, span.trace_id, span.failed) == (
        "GET /things/{thing_id:uuid}",
        "server",
        TRACE_ID,
        True,
    )
    assert span.attributes == {
        "http.request.method": "GET",
        "http.route": "/things/{thing_id:uuid}",
        "http.response.status_code": 503,
        "error.type": "503",
    }


def received_in(trace_id: str | None, offset: int) -> Received:
    traceparent = None if trace_id is None else f"00-{trace_id}-0123456789abcdef-01"
    user_id = uuid4()
    return receive(as_consumed(a_record(a_submission(user_id), user_id, traceparent=traceparent), offset=offset))


def test_a_batch_of_one_is_its_records_own_span(collector: Collector) -> None:
    recorder = record_to(collector)
    with taking(recorder, "ledger", [received_in(TRACE_ID, 0)]) as carrying, committing("ledger", carrying):
        pass
    recorder.stop()

    process, transaction = collector.of(TRACE_ID)
    assert collector.spans == [transaction, process]
    assert (process.kind, process.parent_id) == ("consumer", "0123456789abcdef")
    assert (transaction.name, transaction.parent_id) == ("database transaction", process.span_id)
    assert carrying[0].envelope.traceparent == f"00-{TRACE_ID}-{process.span_id}-01"


def test_a_batch_of_several_links_to_its_records_and_each_trace_is_whole(collector: Collector) -> None:
    recorder = record_to(collector)
    received = [received_in(f"{number:032x}", number) for number in (1, 2)] + [received_in(None, 3)]
    with taking(recorder, "ledger", received) as carrying, committing("ledger", carrying):
        pass
    recorder.stop()

    (batch,) = [span for span in collector.spans if span.name.startswith("process batch")]
    assert batch.attributes["messaging.batch.message_count"] == 3
    assert len(batch.links) == 2
    assert [span.name for span in collector.of(batch.trace_id)] == [batch.name, "database transaction"]
    for number in (1, 2):
        process, transaction = collector.of(f"{number:032x}")
        assert process.links == (batch.span_id,)
        assert transaction.parent_id == process.span_id
    assert carrying[2] is received[2]


def test_a_batch_of_a_thousand_costs_a_hundred_spans(collector: Collector) -> None:
    recorder = record_to(collector)
    with taking(recorder, "ledger", [received_in(f"{n:032x}", n) for n in range(1, 301)]):
        pass
    recorder.stop()

    assert len(collector.spans) == 301 - 200


def test_what_a_collector_refuses_is_counted_as_lost(collector: Collector) -> None:
    collector.status = 400
    recorder = record_to(collector)
    before = lost()
    for _ in range(3):
        with begin_job("tidy"):
            pass
    recorder.stop()

    assert lost() - before == 3


def test_the_end_does_not_wait_for_ever_for_a_collector(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    assert otlp.FLUSH_S == 2
    monkeypatch.setattr(otlp, "FLUSH_S", 0.2)
    collector.answers.clear()
    recorder = record_to(collector)
    with begin_job("tidy"):
        pass

    recorder.stop()

    assert not collector.spans


def test_nobody_waits_for_a_collector_whose_queue_is_full(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(otlp, "FLUSH_S", 0.1)
    collector.answers.clear()
    recorder = record_to(collector)
    for _ in range(otlp.QUEUE_MAX + 1000):
        begin_send("ledger.submissions", "a type").end()

    assert not collector.spans
    recorder.stop()
