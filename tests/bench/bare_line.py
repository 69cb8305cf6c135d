"""The bare line, the floor of a recorded POST, as two processes: ``python -m tests.bench.bare_line gateway|consumer``.

Gateway, Kafka, a batch consumer, one INSERT, a reply over Redis, the answer: nobody signs in, nothing is checked or
decided, there is one table with one index besides its key. Settings are those of the processes it stands beside.
"""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import msgspec
import uvloop
from aiokafka import AIOKafkaProducer
from litestar import Litestar, post

from infra.kafka.broker import INTERACTIVE_WAIT_MS, BatchSubscription, Records, create_broker
from infra.kafka.connection import connection_arguments
from infra.redis.connection import connect
from infra.settings import HttpSettings, KafkaSettings, LedgerDatabaseSettings, RedisSettings, read
from tests.bench.bare_route import NewTransaction, serve

TOPIC = "bench.line"
TABLE = """
CREATE TABLE bench.line (
  id uuid PRIMARY KEY, ledger_id uuid NOT NULL, body text NOT NULL, recorded_at timestamptz NOT NULL
);
CREATE INDEX ON bench.line (ledger_id, recorded_at);
"""
_INSERT = """
INSERT INTO bench.line SELECT id, ledger_id, body, clock_timestamp()
FROM unnest($1::uuid[], $2::uuid[], $3::text[]) AS new (id, ledger_id, body) ON CONFLICT DO NOTHING
"""
_LEDGERS = [uuid4() for _ in range(64)]


class Recorded(msgspec.Struct):
    """The answer."""

    id: UUID
    amount: str
    category: str
    description: str | None
    date: str | None


class Line(msgspec.Struct):
    """What travels."""

    id: UUID
    ledger_id: UUID
    reply_to: str
    body: NewTransaction


def run_gateway() -> None:
    kafka, redis = read(KafkaSettings), connect(read(RedisSettings))
    channel = f"bench:{uuid4()}"
    waiting: dict[bytes, asyncio.Future[None]] = {}
    parts: dict[str, Any] = {}

    async def listen(subscription: Any) -> None:
        while True:
            message = await subscription.get_message(ignore_subscribe_messages=True, timeout=1)
            if message is not None:
                for at in range(0, len(message["data"]), 16):
                    if (future := waiting.get(message["data"][at : at + 16])) and not future.done():
                        future.set_result(None)

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        producer = AIOKafkaProducer(**connection_arguments(kafka, "bench"), acks="all", enable_idempotence=True)
        await producer.start()
        parts["producer"] = producer
        async with redis.pubsub() as subscription:
            await subscription.subscribe(channel)
            listening = asyncio.create_task(listen(subscription))
            yield
            listening.cancel()
        await producer.stop()

    @post("/api/v1/transactions", status_code=201)
    async def record(data: NewTransaction) -> Recorded:
        new = _uuid7()
        ledger_id = _LEDGERS[new.int % len(_LEDGERS)]
        future = waiting[new.bytes] = asyncio.get_running_loop().create_future()
        try:
            value = msgspec.json.encode(Line(new, ledger_id, channel, data))
            await parts["producer"].send_and_wait(TOPIC, value, key=ledger_id.bytes)
            await asyncio.wait_for(future, 10)
        finally:
            del waiting[new.bytes]
        return Recorded(new, data.amount, data.category, data.description, data.date)

    serve(Litestar([record], lifespan=[lifespan], logging_config=None, openapi_config=None), read(HttpSettings).port)


async def run_consumer() -> None:
    database = read(LedgerDatabaseSettings)
    connection = await asyncpg.connect(
        host=database.host,
        port=database.port,
        database=database.name,
        user=database.user,
        password=database.password.get_secret_value(),
    )
    redis = connect(read(RedisSettings))
    kafka = read(KafkaSettings)
    broker = create_broker(kafka, "bench")

    async def record(records: Records) -> None:
        lines = [msgspec.json.decode(each.value, type=Line) for each in records]
        await connection.execute(
            _INSERT,
            [line.id for line in lines],
            [line.ledger_id for line in lines],
            [msgspec.json.encode(line.body).decode() for line in lines],
        )
        waiting: dict[str, list[bytes]] = {}
        for line in lines:
            waiting.setdefault(line.reply_to, []).append(line.id.bytes)
        for channel, ids in waiting.items():
            await redis.publish(channel, b"".join(ids))

    BatchSubscription(broker, TOPIC, "bench.line", record, settings=kafka, wait_ms=INTERACTIVE_WAIT_MS)
    await broker.start()
    await asyncio.Event().wait()


def _uuid7() -> UUID:
    bits = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
    return UUID(int=bits & ~(0xF << 76) | 0x7 << 76)


if __name__ == "__main__":
    if sys.argv[1] == "gateway":
        run_gateway()
    else:
        uvloop.run(run_consumer())
