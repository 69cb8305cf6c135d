"""Redis of the local stack."""

from pathlib import Path

from infra.deployment.secrets import Secrets
from infra.local.home import Home, write_whole
from infra.local.ports import LOOPBACK
from infra.local.probes import redis_probe
from infra.local.processes import Process, inherited


def redis_process(home: Home, server: Path, port: int, secrets: Secrets) -> Process:
    """Write Redis' settings and return how it runs.

    It is Celery's broker: nothing may be evicted, and what was queued survives a restart.
    """
    settings = home.redis / "redis.conf"
    write_whole(
        settings,
        "\n".join(
            [
                f"bind {LOOPBACK}",
                f"port {port}",
                f'requirepass "{secrets["REDIS_PASSWORD"]}"',
                f'dir "{home.redis}"',
                "appendonly yes",
                "appendfsync everysec",
                'save ""',
                "maxmemory 256mb",
                "maxmemory-policy noeviction",
                "tcp-backlog 128",
                "daemonize no",
                'logfile ""',
                "loglevel notice",
                "always-show-logo no",
                "",
            ]
        ),
    )
    return Process(
        name="redis",
        command=[str(server), str(settings)],
        environment=inherited(),
        probe=redis_probe(port, secrets["REDIS_PASSWORD"]),
        port=port,
        is_server=True,
    )
