"""What the bench ran on: enough to compare two runs, nothing that says whose machine it is."""

import re

from infra.local.downloads import find_servers
from infra.machine import this_machine
from tests.bench.system import System


async def describe(system: System) -> str:
    """Return cores, memory, processor and versions in a line each."""
    machine = this_machine()
    connection = await system.connect("gateway")
    try:
        postgres = str(await connection.fetchval("SHOW server_version")).split()[0]
        durable = await connection.fetchval(
            "SELECT current_setting('synchronous_commit') || ', fsync=' || current_setting('fsync')"
        )
    finally:
        await connection.close()
    return "\n".join(
        [
            f"- {machine}",
            f"- Python {machine.python}, PostgreSQL {postgres} (synchronous_commit={durable}), "
            f"Kafka {_kafka_version()} (acks=all, one broker), Redis {await _redis_version(system)}",
        ]
    )


def _kafka_version() -> str:
    names = (jar.name for jar in find_servers(lambda _: None).kafka_jars)
    return next((found[1] for name in names if (found := re.fullmatch(r"kafka_[\d.]+-([\d.]+)\.jar", name))), "?")


async def _redis_version(system: System) -> str:
    from infra.redis.connection import connect
    from infra.settings import RedisSettings
    from tests.builders.settings import settings_from

    redis = connect(settings_from(system.stack.environment("gateway"), RedisSettings))
    try:
        return str((await redis.info("server"))["redis_version"])
    finally:
        await redis.aclose()
