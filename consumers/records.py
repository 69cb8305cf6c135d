"""Step one of delivery: from a Kafka record, whatever is in it, to a submission we can trust, or the reason why not."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeAlias
from uuid import UUID

import msgspec
from aiokafka import ConsumerRecord

from consumers.domain.decisions import Asked
from contracts import topics
from contracts.catalog import read_submission
from contracts.envelope import Envelope, from_headers, operation_id, request_hash
from contracts.errors import MalformedMessage
from contracts.messages import Source, Submission
from contracts.passwords import PasswordChangeSubmitted
from contracts.sessions import RefreshSubmitted, SessionEndRequested, SessionRequested
from infra.grants import Grant
from infra.telemetry.spans import NO_SPAN, Span

KafkaRecord: TypeAlias = ConsumerRecord[Any, Any]
#: Submissions ordered by their user: who sends them can only mean themselves.
_OF_A_USER = frozenset({SessionRequested, RefreshSubmitted, SessionEndRequested, PasswordChangeSubmitted})
GrantReader: TypeAlias = Callable[[str], Grant]
"""Reads and verifies a bulk grant's signature; raises ``MalformedMessage`` with the reason."""


class Received(msgspec.Struct, frozen=True):
    """A record that is a submission: its envelope was checked against its content, and its user can be trusted.

    ``span`` is that of taking it, whose trace the envelope then carries.
    """

    record: KafkaRecord
    envelope: Envelope
    message: Submission
    operation_id: UUID
    idempotency_key: str
    request_hash: str
    value: bytes
    source: Source
    span: Span = NO_SPAN

    @property
    def is_replay(self) -> bool:
        """Whether it was a dead letter, which an operator sent again."""
        return self.envelope.replay_of is not None

    def asked(self, recorded_at: datetime) -> Asked[Submission]:
        """Return it as a decider sees it."""
        envelope = self.envelope
        return Asked(
            message=self.message,
            user_id=envelope.user_id,
            operation_id=self.operation_id,
            idempotency_key=self.idempotency_key,
            request_hash=self.request_hash,
            submitted_at=envelope.time,
            recorded_at=recorded_at,
            source=self.source,
            home_currency=envelope.home_currency,
            home_zone=envelope.home_zone,
            traceparent=envelope.traceparent,
        )


def receive(record: KafkaRecord, read_grant: GrantReader | None = None) -> Received:
    """Read and check one record alone.

    ``ledger.submissions`` and ``identity.submissions`` are written by gateway and relay only, so their user header is
    believed. Anybody may be allowed to write ``ledger.bulk``: there the grant says who the user is.

    Raises:
        MalformedMessage: it cannot be read, its ids or hash do not follow from its content, or no grant covers it.
    """
    envelope = from_headers(record.headers)
    message = read_submission(envelope.type, record.value, record.topic)
    value: bytes = record.value
    if record.key != str(message.subject_id).encode():
        raise MalformedMessage("The record's key is not the id its message is ordered by.")
    if record.topic == topics.LEDGER_BULK.name:
        envelope = _granted(envelope, message, record, read_grant)
    if message.by_user and envelope.user_id is None:
        raise MalformedMessage("ce_userid is missing.")
    if type(message) in _OF_A_USER and message.subject_id != envelope.user_id:
        raise MalformedMessage("The message's user is not the one who sent it.")
    key = envelope.idempotency_key
    if not key:
        raise MalformedMessage("ce_idempotencykey is missing.")
    operation = operation_id(message, envelope.user_id, key)
    if envelope.operation_id != operation:
        raise MalformedMessage("ce_operationid does not follow from subject, user, noun and idempotency key.")
    content_hash = request_hash(value, message.unhashed)
    if envelope.request_hash != content_hash:
        raise MalformedMessage("ce_requesthash is not the hash of the value.")
    source = Source(topic=record.topic, partition=record.partition, offset=record.offset)
    return Received(record, envelope, message, operation, key, content_hash, value, source)


def _granted(envelope: Envelope, message: Submission, record: KafkaRecord, read_grant: GrantReader | None) -> Envelope:
    """Return the envelope with the grant's user and home in it."""
    if envelope.grant is None or read_grant is None:
        raise MalformedMessage("ce_grant is missing: get one from POST /api/v1/ledgers/{id}/bulk-grants.")
    grant = read_grant(envelope.grant)
    if grant.ledger_id != message.subject_id:
        raise MalformedMessage("The grant is for another ledger.")
    # The broker's time (LogAppendTime), so that a backlog written in time is still good when it is read.
    if datetime.fromtimestamp(record.timestamp / 1000, UTC) >= grant.expires_at:
        raise MalformedMessage("The grant had expired when the record was written: get a new one.")
    if envelope.user_id not in (None, grant.user_id):
        raise MalformedMessage("ce_userid is not the grant's user.")
    return msgspec.structs.replace(envelope, user_id=grant.user_id, home_currency=grant.currency, home_zone=grant.zone)
