"""A connection to a broker that was lost a moment ago, under the event loop that our processes run."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
import uvloop
from aiokafka.client import AIOKafkaClient
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.metadata import MetadataRequest

from infra.kafka.lost_connections import outlive_lost_connections


async def write_to_a_lost_connection() -> None:
    """Write to a broker's connection that the other side has reset, before anything has noticed."""
    server = await asyncio.start_server(lambda _, writer: writer.transport.abort(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    connection = AIOKafkaConnection("127.0.0.1", port)
    connection._reader, connection._writer = await asyncio.open_connection("127.0.0.1", port)
    connection._closed_fut = asyncio.get_running_loop().create_future()
    connection._read_task = asyncio.create_task(asyncio.sleep(0))
    connection._versions = {3: (0, 5)}
    connection._writer.transport.abort()
    await asyncio.sleep(0)
    try:
        connection.send(MetadataRequest([]))
    finally:
        server.close()


def test_a_lost_connection_is_one_that_kafka_knows_to_be_lost() -> None:
    outlive_lost_connections()

    with pytest.raises(KafkaConnectionError):
        uvloop.run(write_to_a_lost_connection())


async def test_the_task_that_renews_metadata_lives_on_whatever_was_raised() -> None:
    outlive_lost_connections()

    def fail(*_: Any) -> None:
        raise RuntimeError("the handler is closed")

    client = SimpleNamespace(cluster=SimpleNamespace(brokers=fail))
    update: Any = AIOKafkaClient._metadata_update

    assert await update(client, None, set()) is False
