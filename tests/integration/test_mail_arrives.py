"""A registration's mail on the running stack: from the topic through consumer, nudge and worker to the mailbox."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio

from consumers.settings import IdentityKeys
from contracts import topics
from contracts.registrations import VerificationCodeRequested
from infra.kafka.producer import Producer
from infra.local.stack import LocalStack
from infra.secrets import derive_code
from infra.settings import KafkaSettings
from tests.builders.identity import a_request
from tests.builders.settings import settings_from
from tests.builders.submissions import a_record

pytestmark = pytest.mark.stack


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def producer(stack: LocalStack) -> AsyncIterator[Producer]:
    producer = Producer(settings_from(stack.environment("gateway"), KafkaSettings), client_id="tests")
    yield producer
    await producer.stop()


async def mails_to(stack: LocalStack, address: str, count: int, within_s: float) -> list[Any]:
    """Wait for mails to an address, newest first."""
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{stack.ports['mailbox']}", timeout=5) as mailbox:
        async with asyncio.timeout(within_s):
            while True:
                mails: list[Any] = (await mailbox.get("/api/v1/search", params={"query": f"to:{address}"})).json()[
                    "messages"
                ]
                if len(mails) >= count:
                    return mails
                await asyncio.sleep(0.05)


async def test_the_code_arrives_by_the_nudge_alone(stack: LocalStack, producer: Producer) -> None:
    code_key = settings_from(stack.environment("identity-consumer"), IdentityKeys).code
    registration_id, address = uuid4(), f"{uuid4().hex}@example.org"
    with stack.held("celery-beat"):
        for issue, message in enumerate(
            (a_request(registration_id, email=address), VerificationCodeRequested(registration_id=registration_id)), 1
        ):
            await producer.send(a_record(message, None, topic=topics.IDENTITY_SUBMISSIONS))
            mails = await mails_to(stack, address, issue, within_s=15)
            assert derive_code(code_key, registration_id, issue) in str(mails[0])


async def test_the_code_arrives_by_the_clock_where_the_nudge_was_lost(stack: LocalStack, producer: Producer) -> None:
    address = f"{uuid4().hex}@example.org"
    with stack.held("celery-worker"):
        await producer.send(a_record(a_request(uuid4(), email=address), None, topic=topics.IDENTITY_SUBMISSIONS))

    assert len(await mails_to(stack, address, 1, within_s=20)) == 1
