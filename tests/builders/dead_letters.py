"""Dead letters of every kind, on the topics of a running stack."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

from consumers.dead_letters import DeadLetters
from consumers.deciders import LEDGER_DECIDERS
from consumers.delivery import Delivery
from consumers.domain.books import Books
from consumers.domain.decisions import Asked, Decision
from consumers.repositories.books import BooksRepository
from contracts.messages import Source
from contracts.transactions import TransactionSubmitted
from infra.kafka.producer import Producer, Record
from infra.local.stack import LocalStack
from infra.postgres.engine import Database
from infra.redis.wakeups import Wakeups
from infra.settings import KafkaSettings, LedgerDatabaseSettings, RedisSettings
from tests.builders.settings import settings_from
from tests.builders.submissions import a_record, a_submission, as_consumed


def defective(asked: Asked[TransactionSubmitted], books: Books) -> Decision:
    raise ZeroDivisionError(f"a defect over {asked.message.amount}, on purpose")


async def send(stack: LocalStack, records: Sequence[Record]) -> list[Source]:
    """Send records of one topic as they are; return where each stands now."""
    producer = Producer(settings_from(stack.environment("operator"), KafkaSettings), client_id="tests")
    try:
        places = await producer.send_all(records)
    finally:
        await producer.stop()
    return [
        Source(topic=record.topic, partition=partition, offset=offset)
        for record, (partition, offset) in zip(records, places, strict=True)
    ]


async def let_fail(stack: LocalStack, user_id: UUID, record: Record) -> Source:
    """Have a user's submission fail by a defect that the running consumer no longer has; return its dead letter's id.

    The record stands where another one of the same user stood, which is recorded: the consumer has passed that place.
    """
    (place,) = await send(stack, [a_record(a_submission(user_id, amount="1.00"), user_id)])
    settings = stack.environment("ledger-consumer")
    database = Database(settings_from(settings, LedgerDatabaseSettings), application="tests")
    producer = Producer(settings_from(settings, KafkaSettings), client_id="tests")
    wakeups = Wakeups(settings_from(settings, RedisSettings))
    await database.start()
    try:
        delivery: Delivery[Books] = Delivery(
            "tests",
            database,
            BooksRepository(),
            {**LEDGER_DECIDERS, TransactionSubmitted: defective},
            DeadLetters(producer),
            wakeups,
        )
        await delivery.deliver([as_consumed(record, partition=place.partition, offset=place.offset)])
    finally:
        await producer.stop()
        await wakeups.close()
        await database.stop()
    return place


def a_broken_record(value: bytes = b"{", **changes: Any) -> Record:
    """Return a submission whose value is broken, or whatever else is changed in the record."""
    user_id = uuid4()
    record = a_record(a_submission(user_id), user_id)
    fields: dict[str, Any] = {"key": record.key, "headers": record.headers} | changes
    return Record(record.topic, value=value, **fields)
