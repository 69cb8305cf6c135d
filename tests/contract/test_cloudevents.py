"""Any CloudEvents client reads our topics: the project's own SDK does, and we read what it writes."""

import json
from datetime import UTC, datetime
from uuid import UUID

import pytest
from cloudevents.core.bindings import kafka
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from contracts.catalog import read_submission
from contracts.envelope import from_headers, operation_id, request_hash
from contracts.topics import LEDGER_BULK
from contracts.transactions import TransactionSubmitted
from tests.builders.samples import Sample, read_samples

SAMPLES = read_samples()
LEDGER_ID = UUID("c68e12ed-95bd-57ef-abd0-f60e32919a44")
USER_ID = UUID("0192f0c1-7d3a-7c11-8e55-4b1a9d2f6e01")


@pytest.mark.parametrize("sample", SAMPLES, ids=[f"{sample.type}/{sample.name}" for sample in SAMPLES])
def test_the_cloudevents_sdk_reads_our_records(sample: Sample) -> None:
    message = kafka.KafkaMessage(headers=dict(sample.headers), key=sample.key, value=sample.value_bytes)

    event = kafka.from_kafka(message, JSONFormat())

    ours = from_headers(sample.headers)
    assert (event.get_id(), event.get_type(), event.get_source()) == (ours.id, sample.type, ours.source)
    assert event.get_specversion() == "1.0"
    assert event.get_time() == ours.time
    assert event.get_subject() == ours.subject
    assert event.get_data() == sample.value
    if ours.operation_id:
        assert event.get_extension("operationid") == str(ours.operation_id)
        assert event.get_extension("idempotencykey") == ours.idempotency_key


def test_we_read_a_submission_that_the_cloudevents_sdk_wrote() -> None:
    value = {"ledger_id": str(LEDGER_ID), "amount": "24.47", "category": "Food"}
    hashed = request_hash(json.dumps(value).encode())
    submitted = TransactionSubmitted(ledger_id=LEDGER_ID, amount="24.47", category="Food")
    event = CloudEvent(
        {
            "type": TransactionSubmitted.type,
            "source": "https://import.example/bank",
            "id": "line-1",
            "time": datetime(2024, 9, 19, 16, 30, tzinfo=UTC),
            "specversion": "1.0",
            "datacontenttype": "application/json",
            "partitionkey": str(LEDGER_ID),
            "idempotencykey": "line-1",
            "operationid": str(operation_id(submitted, USER_ID, "line-1")),
            "requesthash": hashed,
            "grant": "a.b.c",
        },
        value,
    )

    record = kafka.to_binary(event, JSONFormat())
    envelope = from_headers(record.headers.items())

    assert record.key == str(LEDGER_ID)
    assert read_submission(envelope.type, record.value, LEDGER_BULK.name) == submitted
    assert request_hash(record.value) == envelope.request_hash
    assert envelope.operation_id == operation_id(submitted, USER_ID, envelope.idempotency_key or "")
    assert envelope.time == datetime(2024, 9, 19, 16, 30, tzinfo=UTC)
