"""One trace id from a request to the last that follows from it: Kafka headers, consumers, journal, job."""

import asyncio
import secrets
from uuid import UUID

import pytest

from contracts import topics
from contracts.topics import Topic
from infra.local.stack import LocalStack
from infra.settings import KafkaSettings
from infra.telemetry.traces import trace_id_of
from tests.builders.gateway import a_client, a_person, an_address
from tests.builders.kafka import header, read_whole
from tests.builders.settings import settings_from

pytestmark = pytest.mark.stack


def a_trace() -> tuple[str, dict[str, str]]:
    """Return a trace id, and the header of a request that brings it."""
    trace_id = secrets.token_hex(16)
    return trace_id, {"traceparent": f"00-{trace_id}-{secrets.token_hex(8)}-01"}


async def traces_on(stack: LocalStack, topic: Topic, key: UUID) -> set[str | None]:
    """Return the trace ids of a key's records."""
    records = await read_whole(settings_from(stack.environment("bootstrap-kafka"), KafkaSettings), topic.name)
    return {trace_id_of(header(record, "traceparent")) for record in records if record.key == str(key).encode()}


async def until_logged(stack: LocalStack, process: str, trace_id: str) -> None:
    async with asyncio.timeout(15):
        while trace_id not in stack.home.log(process).read_text():
            await asyncio.sleep(0.1)


async def test_a_registrations_trace_goes_from_the_request_to_the_mail(stack: LocalStack) -> None:
    trace_id, headers = a_trace()
    body = {"email": an_address(), "base_currency": "EUR", "time_zone": "UTC"}
    with a_client(stack) as http:
        answer = await asyncio.to_thread(http.post, "/registrations", json=body, headers=headers)

    registration_id = UUID(answer.json()["registration_id"])
    assert await traces_on(stack, topics.IDENTITY_SUBMISSIONS, registration_id) == {trace_id}
    await until_logged(stack, "identity-consumer", trace_id)
    await until_logged(stack, "celery-worker", trace_id)


async def test_a_transactions_trace_goes_from_the_request_to_the_journal(stack: LocalStack) -> None:
    trace_id, headers = a_trace()
    with await asyncio.to_thread(a_person, stack) as ann:
        body = {"amount": "24.47", "category": "Groceries"}
        await asyncio.to_thread(ann.post, "/transactions", body, **headers)

    assert await traces_on(stack, topics.LEDGER_SUBMISSIONS, ann.ledger_id) == {trace_id}
    await until_logged(stack, "ledger-consumer", trace_id)
    async with asyncio.timeout(15):
        while await traces_on(stack, topics.LEDGER_JOURNAL, ann.ledger_id) != {trace_id}:
            await asyncio.sleep(0.1)
