"""Submissions and their records, with only what a test is about left to say."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

from contracts import topics
from contracts.envelope import Envelope, operation_id, request_hash, to_headers, to_value
from contracts.ledgers import personal_ledger_id
from contracts.messages import Submission
from contracts.topics import Topic
from contracts.transactions import TransactionSubmitted
from infra.kafka.producer import Record


def a_submission(user_id: UUID, **fields: Any) -> TransactionSubmitted:
    """Return an expense of 24.47 for groceries in a user's personal ledger."""
    usual: dict[str, Any] = {"ledger_id": personal_ledger_id(user_id), "amount": "24.47", "category": "Groceries"}
    return TransactionSubmitted(**usual | fields)


def an_envelope(message: Submission, user_id: UUID | None, *, key: str | None = None, **changes: Any) -> Envelope:
    """Return the envelope the gateway would put around a message."""
    key = key or str(uuid4())
    fields: dict[str, Any] = {
        "id": str(uuid4()),
        "type": message.type,
        "source": "cashflow/tests",
        "time": datetime.now(UTC),
        "subject": str(message.subject_id),
        "user_id": user_id,
        "idempotency_key": key,
        "operation_id": operation_id(message, user_id, key),
        "request_hash": request_hash(to_value(message), message.unhashed),
        "home_currency": "EUR",
        "home_zone": "Europe/Berlin",
    }
    return Envelope(**fields | changes)


def a_record(
    message: Submission,
    user_id: UUID | None,
    *,
    key: str | None = None,
    topic: Topic = topics.LEDGER_SUBMISSIONS,
    **changes: Any,
) -> Record:
    """Return the record the gateway would send; ``changes`` go into the envelope."""
    envelope = an_envelope(message, user_id, key=key, **changes)
    return Record(topic.name, str(message.subject_id).encode(), to_value(message), to_headers(envelope))


#: When the broker wrote the records of :func:`as_consumed`.
WRITTEN_AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def as_consumed(record: Record, **changes: Any) -> Any:
    """Return a record as aiokafka hands it over."""
    fields = {
        "topic": record.topic,
        "partition": 3,
        "offset": 41,
        "timestamp": int(WRITTEN_AT.timestamp() * 1000),
        "key": record.key,
        "value": record.value,
        "headers": tuple(record.headers),
    }
    return SimpleNamespace(**fields | changes)
