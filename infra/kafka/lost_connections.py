"""Connections that end: aiokafka must notice that one is lost, and not wait for a broker's goodbye for long."""

import functools
from typing import Any

from aiokafka.client import AIOKafkaClient
from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError

from infra.telemetry.logs import get_logger

log = get_logger(__name__)

#: A closed connection is waited for so long; what a broker had still to say was asked by nobody any more.
GOODBYE_S = 1.0


@functools.cache
def outlive_lost_connections() -> None:
    """Mend three things in every aiokafka client of this process.

    A connection that was reset still counts as connected for a turn of the loop. To write to it is an ``OSError`` in
    asyncio, which aiokafka expects, and a ``RuntimeError`` in uvloop, which ended the one task that renews metadata.
    Its consumer then waited for that for ever: seen once in a dozen kills of a broker. Whatever else may be raised
    there, the task now goes on, and says so.

    Over TLS to close a connection is to wait until the broker says goodbye, too. Where an answer crosses ours, uvloop
    never sees it, and gives up after thirty seconds: now and then a start or a stop took so long [measured].
    """
    AIOKafkaConnection.send = _noticing(AIOKafkaConnection.send)
    AIOKafkaConnection.close = _parting(AIOKafkaConnection.close)
    AIOKafkaClient._metadata_update = _lasting(AIOKafkaClient._metadata_update)


def _noticing(send: Any) -> Any:
    @functools.wraps(send)
    def noticing(connection: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return send(connection, *args, **kwargs)
        except RuntimeError as error:
            connection.close(reason=CloseReason.CONNECTION_BROKEN)
            raise KafkaConnectionError(f"The connection to {connection.host}:{connection.port} is lost") from error

    return noticing


def _parting(close: Any) -> Any:
    @functools.wraps(close)
    def parting(connection: Any, *args: Any, **kwargs: Any) -> Any:
        writer = connection._writer
        closed = close(connection, *args, **kwargs)
        if writer is not None and not closed.done():
            patience = closed.get_loop().call_later(GOODBYE_S, writer.transport.abort)
            closed.add_done_callback(lambda _: patience.cancel())
        return closed

    return parting


def _lasting(update: Any) -> Any:
    @functools.wraps(update)
    async def lasting(client: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return await update(client, *args, **kwargs)
        except Exception:
            log.warning("Kafka metadata not renewed", exc_info=True)
            return False

    return lasting
