"""Connections that a killed broker has reset: aiokafka must notice that they are lost, whichever event loop runs it."""

import functools
from typing import Any

from aiokafka.client import AIOKafkaClient
from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError

from infra.telemetry.logs import get_logger

log = get_logger(__name__)


@functools.cache
def outlive_lost_connections() -> None:
    """Mend two things in every aiokafka client of this process.

    A connection that was reset still counts as connected for a turn of the loop. To write to it is an ``OSError`` in
    asyncio, which aiokafka expects, and a ``RuntimeError`` in uvloop, which ended the one task that renews metadata.
    Its consumer then waited for that for ever: seen once in a dozen kills of a broker. Whatever else may be raised
    there, the task now goes on, and says so.
    """
    AIOKafkaConnection.send = _noticing(AIOKafkaConnection.send)
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


def _lasting(update: Any) -> Any:
    @functools.wraps(update)
    async def lasting(client: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return await update(client, *args, **kwargs)
        except Exception:
            log.warning("Kafka metadata not renewed", exc_info=True)
            return False

    return lasting
