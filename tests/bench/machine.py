"""What the bench ran on: enough to compare two runs, nothing that says whose machine it is."""

import os
import platform
import re
from pathlib import Path

import psutil

from infra.local.downloads import find_servers
from tests.bench.system import System


def load_average() -> str:
    """Return how busy the machine is, as the system counts: 1, 5 and 15 minutes."""
    return " ".join(f"{each:.1f}" for each in os.getloadavg())


async def describe(system: System) -> str:
    """Return cores, memory, processor and versions in a line each."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = psutil.virtual_memory().total / 1024**3
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
            f"- {cores} cores, {memory:.0f} GiB, {_processor()}, {platform.system()} {platform.machine()}",
            f"- Python {platform.python_version()}, PostgreSQL {postgres} (synchronous_commit={durable}), "
            f"Kafka {_kafka_version()} (acks=all, one broker), Redis {await _redis_version(system)}",
        ]
    )


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists() and (model := re.search(r"^model name\s*:\s*(.+)$", information.read_text(), re.MULTILINE)):
        return model[1]
    return platform.processor() or "processor unknown"


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
