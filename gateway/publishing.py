"""From a message to a record in Kafka, once per idempotency key, and to its outcome where the sender waits for it."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import msgspec

from contracts.envelope import Envelope, operation_id, request_hash, to_headers, to_value
from contracts.messages import OperationState, Submission
from contracts.refusals import RefusalCode
from gateway.ended_sessions import EndedSessions
from gateway.errors import OperationFailed, Refused
from gateway.fields import field_of
from gateway.outcomes import Outcomes
from gateway.queries.operations import Operation, find_request
from gateway.requests import Asking, uuid7
from gateway.tokens import Principal
from infra.errors import Unavailable
from infra.kafka.producer import Producer, Record
from infra.postgres.engine import Database
from infra.telemetry.spans import begin_send

SOURCE = "cashflow/gateway"


@dataclass(frozen=True, slots=True)
class Submitted:
    """A submission that was sent, or had been before.

    ``operation`` is how it ended, as far as that is known: always where the sender waited long enough.
    """

    operation_id: UUID
    resource_id: UUID
    operation: Operation | None
    waited: bool
    replayed: bool

    @property
    def status(self) -> OperationState:
        """How it ended, or ``pending``."""
        return self.operation.state if self.operation else OperationState.PENDING

    @property
    def recorded(self) -> bool:
        """Whether the sender waited and it was recorded."""
        return self.waited and self.operation is not None


@dataclass(frozen=True, slots=True)
class Answers:
    """Where the answers of one topic's submissions are: a database and the operations in it."""

    database: Database
    outcomes: Outcomes


class Publisher:
    """Sends submissions. Every one is checked to be new under its key where the sender gave the key."""

    def __init__(
        self, producer: Producer, answers: Mapping[str, Answers], ended: EndedSessions, instance_id: UUID
    ) -> None:
        """Keep what is needed; ``answers`` by topic, ``instance_id`` names the channel of our wake-ups."""
        self._producer = producer
        self._answers = answers
        self._ended = ended
        self._instance_id = instance_id

    async def submit(self, message: Submission, asking: Asking, *, by: Principal | None = None) -> Submitted:
        """Send a submission, and wait for its outcome as long as the sender wants to.

        Raises:
            Refused: the sender waited and it was refused, or the key was used for other content before.
            OperationFailed: the sender waited and it could not be decided.
            Unavailable: Kafka did not take it in time. Whether it arrived is unknown; the same key may be tried again.
            MessageTooLarge: Kafka will never take it.
        """
        until = asyncio.get_running_loop().time() + asking.wait_s
        self._ended.require_fresh()
        topic = message.topics[0].name
        answers = self._answers[topic]
        user_id = by.user_id if by else None
        value = to_value(message)
        asked_id = operation_id(message, user_id, asking.key)
        digest = request_hash(value, message.unhashed)
        resource_id = message.resource_id(asked_id)

        # Only a key somebody chose can have been used before. A read that fails stops nobody: the consumer is the
        # guard.
        if asking.key_given and (operation := await answers.outcomes.find_if_readable(asked_id)):
            await _check_content(operation, digest, value, message, answers.database)
            return _submitted(operation, asked_id, resource_id, waited=asking.wait_s > 0, replayed=True)

        span = begin_send(topic, message.type)
        envelope = Envelope(
            id=str(uuid7()),
            type=message.type,
            source=SOURCE,
            time=datetime.now(UTC),
            subject=str(message.subject_id),
            user_id=user_id,
            idempotency_key=asking.key,
            operation_id=asked_id,
            request_hash=digest,
            reply_to=self._instance_id if asking.wait_s else None,
            home_currency=by.base_currency if by else None,
            home_zone=by.time_zone if by else None,
            traceparent=span.traceparent,
        )
        record = Record(topic, str(message.subject_id).encode(), value, to_headers(envelope))
        if not asking.wait_s:
            with span:
                await self._producer.send(record)
            return Submitted(asked_id, resource_id, None, waited=False, replayed=False)
        with answers.outcomes.expecting(asked_id) as woken:
            with span:
                await self._producer.send(record)
            found = await answers.outcomes.wait(asked_id, woken, until=until)
        if found is not None:
            await _check_content(found, digest, value, message, answers.database)
        return _submitted(found, asked_id, resource_id, waited=True, replayed=False)

    async def submit_and_know(self, message: Submission, asking: Asking, *, by: Principal | None = None) -> Submitted:
        """Submit as :meth:`submit` and come back only when it is recorded.

        Raises:
            Unavailable: it was not decided in the time the sender has.
        """
        submitted = await self.submit(message, asking, by=by)
        if submitted.operation is None:
            raise Unavailable(f"decide a {message.noun}")
        return submitted


def _submitted(
    operation: Operation | None, asked_id: UUID, resource_id: UUID, *, waited: bool, replayed: bool
) -> Submitted:
    if operation is not None and waited:
        if operation.state is OperationState.REFUSED:
            raise refusal_of(operation)
        if operation.state is OperationState.FAILED:
            raise OperationFailed(asked_id)
    return Submitted(asked_id, resource_id, operation, waited=waited, replayed=replayed)


def refusal_of(operation: Operation) -> Refused:
    """Return a refused operation as the exception that shows it."""
    fields = [field_of(operation.refusal_field)] if operation.refusal_field else []
    return Refused(operation.refusal_code or "refused", operation.refusal_detail or "This was refused.", fields)


async def _check_content(
    operation: Operation, digest: str, value: bytes, message: Submission, database: Database
) -> None:
    """Raise ``Refused`` where the operation decided other content than ours, naming the fields that differ."""
    if operation.request_hash == digest:
        return
    differing: list[str] = []
    if request := await find_request(database, operation.id):
        earlier, ours = msgspec.json.decode(request), msgspec.json.decode(value)
        names = (earlier.keys() | ours.keys()) - message.unhashed
        # A field that is absent and one that is null are not the same content.
        differing = sorted(field_of(name) for name in names if earlier.get(name, ...) != ours.get(name, ...))
    what = f"; what differs: {', '.join(differing)}" if differing else ""
    raise Refused(
        RefusalCode.IDEMPOTENCY_KEY_REUSED,
        f"This idempotency key was used for other content{what}. Send the same content again, or use a new key.",
        differing,
    )
