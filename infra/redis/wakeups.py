"""Wake-ups: a consumer tells the gateway that waits that an operation was decided. A hint; the row is the truth."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from uuid import UUID

from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeout

from infra.redis.connection import connect
from infra.settings import RedisSettings
from infra.telemetry.logs import get_logger

log = get_logger(__name__)

_UUID_BYTES = 16
SEND_TIMEOUT_S = 1.0
SILENT_S = 10.0


def _channel(instance_id: UUID) -> str:
    return f"cash:wake:{instance_id}"


class Wakeups:
    """Both ends of the wake-up channels, one channel per gateway instance."""

    def __init__(self, settings: RedisSettings) -> None:
        """Keep the settings; nothing connects yet."""
        self._redis = connect(settings)
        # Redis-py gives a subscription the connection's read time-out; a channel may be silent for as long as it likes.
        self._listening = connect(settings)
        self._silent_until = 0.0

    async def send(self, decided: Mapping[UUID, Sequence[UUID]]) -> None:
        """Tell gateways, by instance id, which operations were decided.

        A failure is logged: the gateways look for themselves anyway. A Redis that hangs is waited for once, and then
        left alone for a while: whoever sends has the next batch to take.
        """
        now = asyncio.get_running_loop().time()
        if now < self._silent_until:
            return
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S), self._redis.pipeline(transaction=False) as pipeline:
                for instance_id, operation_ids in decided.items():
                    pipeline.publish(_channel(instance_id), b"".join(each.bytes for each in operation_ids))
                await pipeline.execute()
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("wake-up not sent", error=repr(error))
            # One that is down refuses at once, which costs nothing, and may be back for the next batch.
            if isinstance(error, TimeoutError | RedisTimeout):
                self._silent_until = now + SILENT_S

    async def listen(self, instance_id: UUID, on_wake: Callable[[UUID], None], *, ready: asyncio.Event) -> None:
        """Call ``on_wake`` with each decided operation until cancelled; subscribes again after a loss.

        ``ready`` is set while subscribed and cleared while not; without it waiting works, only slower.
        """
        while True:
            try:
                async with self._listening.pubsub(ignore_subscribe_messages=True) as subscription:
                    await subscription.subscribe(_channel(instance_id))
                    ready.set()
                    while True:
                        message = await subscription.get_message(timeout=1)
                        if message is not None:
                            data: bytes = message["data"]
                            for start in range(0, len(data), _UUID_BYTES):
                                on_wake(UUID(bytes=data[start : start + _UUID_BYTES]))
            except (RedisError, OSError, TimeoutError) as error:
                log.warning("wake-ups interrupted", error=str(error))
            finally:
                ready.clear()
            await asyncio.sleep(1)

    async def close(self) -> None:
        """Close the connections."""
        closing: list[Awaitable[None]] = [self._redis.aclose(), self._listening.aclose()]
        await asyncio.gather(*closing, return_exceptions=True)
