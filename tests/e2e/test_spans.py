"""The spans of a stack with traces on: each request's trace is whole, and tells nothing that is nobody's business."""

import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from infra.local.plan import Choices
from infra.local.postgres import remove_postgres
from infra.local.stack import LocalStack
from tests.builders.collector import Collector, a_collector
from tests.builders.gateway import PASSWORD, a_client, a_person, an_address

pytestmark = [pytest.mark.stack, pytest.mark.chaos]  # a stack of its own, with a collector


@dataclass(frozen=True)
class Traced:
    """A stack whose processes send their spans to a collector."""

    stack: LocalStack
    collector: Collector


@pytest.fixture(scope="module")
def traced() -> Iterator[Traced]:
    folder = Path(tempfile.mkdtemp(prefix="cash-flow-tests-"))
    with a_collector() as collector:
        settings = {"CASH_TRACES_ENDPOINT": collector.endpoint}
        stack = LocalStack(folder, Choices(any_ports=True, settings=settings))
        try:
            stack.start()
            yield Traced(stack, collector)
        finally:
            stack.stop()
            remove_postgres(stack.home)
            shutil.rmtree(folder, ignore_errors=True)


def a_trace() -> tuple[str, str]:
    """Return a trace id, and the header that brings it."""
    trace_id = secrets.token_hex(16)
    return trace_id, f"00-{trace_id}-{secrets.token_hex(8)}-01"


def test_a_transactions_trace_goes_from_the_request_to_the_journal(traced: Traced) -> None:
    trace_id, traceparent = a_trace()
    email, private = an_address(), "a secret surprise for Bo"
    with a_person(traced.stack, email=email) as ann:
        body = {"amount": "8412.07", "category": "Jewellery", "description": private}
        answer = ann.post("/transactions", body, traceparent=traceparent, prefer="wait=10")
        assert answer.status_code == 201, answer.text

    names = (
        "POST /api/v1/transactions",
        "send ledger.submissions",
        "process ledger.submissions",
        "database transaction",
        "relay ledger.journal",
    )
    spans = traced.collector.until(trace_id, *names)
    request, sent, processed, transaction, relayed = (spans[name] for name in names)
    assert [span.process for span in (request, sent, processed, transaction, relayed)] == [
        "gateway",
        "gateway",
        "ledger-consumer",
        "ledger-consumer",
        "relay",
    ]
    assert sent.parent_id == request.span_id
    assert processed.parent_id == sent.span_id
    assert transaction.parent_id == processed.span_id
    assert relayed.parent_id == processed.span_id
    assert request.attributes["http.response.status_code"] == 201
    assert processed.attributes["cash.outcome"] == "recorded"
    assert not any(span.failed for span in traced.collector.of(trace_id))
    print(f"\n{traced.collector.drawn(trace_id)}")

    told = repr(traced.collector.spans)
    for secret in (email, ann.username, PASSWORD, private, "8412", "Jewellery", ann.tokens["access_token"]):
        assert secret not in told


def test_a_registrations_trace_goes_on_into_the_mail(traced: Traced) -> None:
    trace_id, traceparent = a_trace()
    body = {"email": an_address(), "base_currency": "EUR", "time_zone": "UTC"}
    with a_client(traced.stack) as http:
        http.post("/registrations", json=body, headers={"traceparent": traceparent})

    names = ("POST /api/v1/registrations", "process identity.submissions", "send mail")
    request, processed, mailed = (traced.collector.until(trace_id, *names)[name] for name in names)
    assert (processed.process, mailed.process) == ("identity-consumer", "celery-worker")
    assert mailed.parent_id == processed.span_id
    assert mailed.attributes["cash.outcome"] == "sent"
    assert mailed.began_ns >= request.began_ns
    # Which run of the job it was: usually the one that was asked for by the same batch.
    (job_id,) = mailed.links
    deadline = time.monotonic() + 10
    while not (job := [span for span in traced.collector.spans if span.span_id == job_id]):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert job[0].name == "job send_due_mail"
    asked_for = traced.collector.until(trace_id, "job send_due_mail")["job send_due_mail"]
    assert (asked_for.process, asked_for.parent_id) == ("celery-worker", processed.span_id)
    print(f"\n{traced.collector.drawn(trace_id)}")


def test_what_beat_asks_for_is_one_trace_with_what_is_done(traced: Traced) -> None:
    deadline = time.monotonic() + 15
    while True:
        asked = {span.span_id: span for span in traced.collector.spans if span.name == "ask for send_due_mail"}
        done = [span for span in traced.collector.spans if span.parent_id in asked]
        if done:
            break
        assert time.monotonic() < deadline, "beat asks every five seconds"
        time.sleep(0.1)

    assert done[0].name == "job send_due_mail"
    assert {span.process for span in asked.values()} == {"celery-beat"}
    assert {span.process for span in done} == {"celery-worker"}
