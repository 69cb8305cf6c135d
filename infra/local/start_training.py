"""Make Kafka's start cache, once per set of jars: a broker is run in a folder of its own while nobody waits."""

import asyncio
import fcntl
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from contracts.topics import TOPICS
from infra.deployment.recipes import Recipes
from infra.kafka.connection import connection_arguments
from infra.kafka.topics import examine_topics
from infra.local.downloads import Servers, find_servers
from infra.local.environment import local_places
from infra.local.home import Home, cache_folder
from infra.local.kafka import kafka_command, prepare_kafka, settings_file
from infra.local.ports import choose_ports
from infra.local.probes import kafka_probe
from infra.local.processes import inherited
from infra.local.secrets import ensure_secrets
from infra.local.start_cache import start_cache_file
from infra.settings import KafkaSettings

_START_WITHIN_S = 120.0
_WRITE_WITHIN_S = 180.0


def train() -> bool:
    """Run a broker of its own once, in a folder of its own, and keep what its JVM learned.

    Returns whether there is a cache now. Somebody else training at the same time is left to do it.
    """
    servers = find_servers(print)
    target = start_cache_file(servers)
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
    secrets = ensure_secrets(home)
    prepare_kafka(home, servers, ports, secrets)
    command = kafka_command(settings_file(home), servers, [f"-XX:AOTCacheOutput={output}"])
    with subprocess.Popen(command, env=inherited(), stdin=subprocess.DEVNULL) as broker:
        try:
            asyncio.run(_until_ready(ports["kafka"]))
            asyncio.run(_exercise(Recipes(secrets, local_places(ports)).kafka("administrator")))
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


async def _exercise(given: Mapping[str, str]) -> None:
    """Let the broker do what it does all day, so that its JVM knows that too: topics, records, a group."""
    settings = KafkaSettings.model_validate({name.removeprefix("CASH_KAFKA_").lower(): given[name] for name in given})
    await examine_topics(settings, create=True)
    producer = AIOKafkaProducer(**connection_arguments(settings, "training"), acks="all", enable_idempotence=True)
    consumer = AIOKafkaConsumer(
        TOPICS[0].name,
        **connection_arguments(settings, "training"),
        group_id="training",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    async with asyncio.timeout(_START_WITHIN_S), producer, consumer:
        for number in range(50):
            await producer.send_and_wait(TOPICS[0].name, b"{}", key=str(number).encode())
        for _ in range(50):
            await consumer.getone()
        await consumer.commit()


if __name__ == "__main__":
    sys.exit(0 if train() else 1)
