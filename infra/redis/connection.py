"""How every Redis client of ours connects: short time-outs, so that a Redis that hangs is one that is down."""

from typing import TypeAlias

from redis import Redis as BlockingRedis
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from infra.settings import RedisSettings

RedisClient: TypeAlias = Redis


def connect(settings: RedisSettings) -> RedisClient:
    """Return a client; it connects when first used and again after a loss."""
    return Redis.from_url(
        settings.url(),
        socket_connect_timeout=2,
        socket_timeout=2,
        socket_keepalive=True,
        health_check_interval=15,
        retry=Retry(NoBackoff(), 1),
    )


def connect_blocking(settings: RedisSettings) -> "BlockingRedis":
    """Return a client for threads and commands, which have no event loop."""
    return BlockingRedis.from_url(settings.url(), socket_connect_timeout=2, socket_timeout=2, socket_keepalive=True)
