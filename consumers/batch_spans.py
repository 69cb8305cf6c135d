"""The spans of a batch: its own, one of each record below that of its sender, and the database transaction in them.

A batch of one is its record's own span. One of several is a trace of its own that links to its records', and each of
the first hundred records that are traced has a span of the same length, so that a request's trace shows all that came
of it. Nothing of this is called where traces are off.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from uuid import UUID

import msgspec

from consumers.domain.decisions import Asked, Decision
from consumers.records import Received
from contracts.messages import OperationState, Submission
from infra.telemetry.spans import LINKS_MAX, NO_SPAN, Recorder, SpanKind, begin_transaction, find_recorder


@contextmanager
def taking(recorder: Recorder, group: str, received: Sequence[Received]) -> Iterator[Sequence[Received]]:
    """Record the taking of a batch; yield its records, those with a span of their own carrying it on."""
    topic = received[0].source.topic
    attributes: dict[str, str | int] = {
        "messaging.system": "kafka",
        "messaging.operation.type": "process",
        "messaging.destination.name": topic,
        "messaging.consumer.group.name": group,
    }
    with ExitStack() as spans:
        if len(received) > 1:
            batch = recorder.begin(
                f"process batch {topic}",
                SpanKind.CONSUMER,
                attributes | {"messaging.batch.message_count": len(received)},
                links=[each.envelope.traceparent for each in received],
                is_root=True,
            )
        else:
            batch = None
        carrying: list[Received] = []
        for each in received:
            if each.envelope.traceparent is None or len(carrying) >= LINKS_MAX:
                carrying.append(each)
                continue
            span = recorder.begin(
                f"process {topic}",
                SpanKind.CONSUMER,
                attributes
                | {
                    "cash.message_type": each.message.type,
                    "cash.operation_id": str(each.operation_id),
                    "messaging.destination.partition.id": str(each.source.partition),
                    "messaging.kafka.offset": each.source.offset,
                },
                parent=each.envelope.traceparent,
                links=[batch.traceparent] if batch else (),
            )
            spans.enter_context(span)
            envelope = msgspec.structs.replace(each.envelope, traceparent=span.traceparent)
            carrying.append(msgspec.structs.replace(each, envelope=envelope, span=span))
        if batch:
            spans.enter_context(batch)  # last, so that it is the current one
        yield carrying


@contextmanager
def committing(database: str, received: Sequence[Received]) -> Iterator[None]:
    """Record the database transaction in which a batch, or a part of one, is taken: in each record's span, and in its.

    Costs a look at a name where traces are off.
    """
    if find_recorder() is None:
        yield
        return
    # Begun first, while the batch's span is the current one; entered last, so that it is the current one itself.
    whole = begin_transaction(database) if len(received) > 1 else NO_SPAN
    with ExitStack() as spans:
        for each in received:
            if each.span.is_recorded:
                spans.enter_context(begin_transaction(database, each.span.traceparent))
        spans.enter_context(whole)
        yield


def note_outcomes(received: Sequence[Received], decided: Sequence[tuple[Asked[Submission], Decision]]) -> None:
    """Note in each record's span how it ended: recorded, refused by which rule, or decided before."""
    outcomes: Mapping[UUID, str] = {
        asked.operation_id: decision.refusal.code if decision.refusal else OperationState.RECORDED
        for asked, decision in decided
    }
    for each in received:
        each.span.note("cash.outcome", str(outcomes.get(each.operation_id, "repeated")))
