"""The JVM's ahead-of-time cache for Kafka: trained once per set of jars, so that every later start is quick."""

import asyncio
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from infra.local.downloads import Servers, find_servers
from infra.local.home import Home, cache_folder
from infra.local.kafka import JVM_OPTIONS, kafka_command, prepare_kafka, settings_file
from infra.local.ports import choose_ports
from infra.local.probes import kafka_probe
from infra.local.processes import inherited
from infra.local.secrets import ensure_secrets

# The first Java that writes such a cache in one run (JEP 514).
JAVA_AT_LEAST = 25
_START_WITHIN_S = 120.0
_WRITE_WITHIN_S = 180.0


def find_start_cache(servers: Servers) -> Path | None:
    """Return the trained cache for these jars and this Java, or ``None``; a JVM it does not fit would ignore it."""
    file = _file(servers)
    return file if file.exists() else None


def can_train(servers: Servers) -> bool:
    """Return whether this Java can write such a cache."""
    return servers.java_major >= JAVA_AT_LEAST


def train() -> bool:
    """Run a broker of its own once, in a folder of its own, and keep what its JVM learned.

    Returns whether there is a cache now. Somebody else training at the same time is left to do it.
    """
    servers = find_servers(print)
    target = _file(servers)
    cache_folder().mkdir(parents=True, exist_ok=True)
    with (cache_folder() / "training.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        if target.exists():
            return True
        for left_behind in cache_folder().glob("training-*/"):
            shutil.rmtree(left_behind, ignore_errors=True)
        with tempfile.TemporaryDirectory(dir=cache_folder(), prefix="training-") as folder:
            written = _run_broker(Home(Path(folder)), servers)
            if written is None:
                return False
            written.replace(target)
    return True


def _run_broker(home: Home, servers: Servers) -> Path | None:
    """Start and stop a broker that notes what it loads; return the file its JVM wrote."""
    home.create()
    output = home.root / "kafka.aot"
    ports, _ = choose_ports(home, anywhere=True)
    prepare_kafka(home, servers, ports, ensure_secrets(home))
    command = kafka_command(settings_file(home), servers, [f"-XX:AOTCacheOutput={output}"])
    with subprocess.Popen(command, env=inherited(), stdin=subprocess.DEVNULL) as broker:
        try:
            asyncio.run(_until_ready(ports["kafka"]))
            broker.terminate()
            # The JVM writes the cache on its way out, in a second JVM it starts itself.
            broker.wait(_WRITE_WITHIN_S)
        finally:
            broker.kill()
    return output if output.exists() else None


async def _until_ready(port: int) -> None:
    probe = kafka_probe(port)
    async with asyncio.timeout(_START_WITHIN_S):
        # Somebody else's program: there is nothing to wait on but the clock.
        while await probe() is not None:  # noqa: ASYNC110
            await asyncio.sleep(0.2)


def _file(servers: Servers) -> Path:
    # A cache fits this version of Java, wherever it lies, these jars in this order, and the JVM's own options.
    options = [option for option in JVM_OPTIONS if option.startswith("-X")]
    parts = [servers.java_version, *(str(jar) for jar in servers.kafka_jars), *options]
    return cache_folder() / f"kafka-start-{hashlib.sha256(os.pathsep.join(parts).encode()).hexdigest()[:12]}.aot"


if __name__ == "__main__":
    sys.exit(0 if train() else 1)
