"""A connection to a broker that was lost a moment ago, under the event loop that our processes run."""

import asyncio
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread
from types import SimpleNamespace
from typing import Any

import pytest
import uvloop
from aiokafka.client import AIOKafkaClient
from aiokafka.conn import AIOKafkaConnection, AIOKafkaProtocol
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.metadata import MetadataRequest

from infra.deployment.certificates import certify, make_authority
from infra.kafka.lost_connections import GOODBYE_S, outlive_lost_connections


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


@pytest.fixture
def silent(tmp_path: Path) -> Iterator[int]:
    """The port of a server that speaks TLS, and after the greetings does nothing any more."""
    certified = certify(make_authority(), ["localhost"])
    file = tmp_path / "tls.pem"
    file.write_text(certified.key + certified.certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    done = Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def greet() -> None:
            connection, _ = listening.accept()
            with context.wrap_socket(connection, server_side=True):
                done.wait()

        thread = Thread(target=greet)
        thread.start()
        yield listening.getsockname()[1]
        done.set()
        thread.join()


async def leave(port: int) -> float:
    """Connect as aiokafka does, close, and return how long that took."""
    loop = asyncio.get_running_loop()
    connection = AIOKafkaConnection("127.0.0.1", port)
    connection._closed_fut = loop.create_future()
    connection._reader = asyncio.StreamReader(loop=loop)
    protocol = AIOKafkaProtocol(connection._closed_fut, connection._reader, loop=loop)
    trusting = ssl._create_unverified_context()
    transport, _ = await loop.create_connection(lambda: protocol, "127.0.0.1", port, ssl=trusting)
    connection._writer = asyncio.StreamWriter(transport, protocol, connection._reader, loop)
    connection._read_task = asyncio.create_task(asyncio.sleep(0))
    began_at = loop.time()
    await connection.close()
    return loop.time() - began_at


def test_a_broker_that_does_not_say_goodbye_is_not_waited_for_long(silent: int) -> None:
    outlive_lost_connections()

    assert uvloop.run(leave(silent)) < 10 * GOODBYE_S
