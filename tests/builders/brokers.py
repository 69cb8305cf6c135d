"""A broker as it is deployed: the files of infra/servers/kafka in other places, on the local stack's programs."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from infra.deployment.certificates import certify, make_authority
from infra.local.downloads import find_servers
from infra.local.ports import LOOPBACK
from infra.local.processes import PROJECT, inherited
from infra.local.start_cache import find_start_cache
from infra.settings import KafkaSettings

FILES = PROJECT / "infra" / "servers" / "kafka"
#: The name in its certificate, which is also what it tells clients to connect to.
HOST = "localhost"
PASSWORDS: Mapping[str, str] = {
    "KAFKA_BROKER_PASSWORD": "of-the-broker",
    "KAFKA_CONTROLLER_PASSWORD": "of-the-controller",
    "KAFKA_ADMINISTRATOR_PASSWORD": "of-the-administrator",
}
_READY_WITHIN_S = 60.0


@dataclass(frozen=True)
class DeployedBroker:
    """A broker that runs: where it is, and who signed its certificate."""

    folder: Path
    port: int
    authority: Path

    def settings(self, user: str, password: str) -> KafkaSettings:
        """Return how a user signs in to it."""
        return KafkaSettings(
            bootstrap_servers=f"{HOST}:{self.port}",
            sasl_username=user,
            sasl_password=SecretStr(password),
            ssl_cafile=self.authority,
        )

    @property
    def administrator(self) -> KafkaSettings:
        """How the one user signs in who is there from the beginning."""
        return self.settings("administrator", PASSWORDS["KAFKA_ADMINISTRATOR_PASSWORD"])

    @property
    def log(self) -> str:
        """What it and its start have said."""
        return (self.folder / "log").read_text(encoding="utf-8")


def lay_out(folder: Path, port: int, controller_port: int) -> Path:
    """Lay out the files of a deployed broker in a folder, with secrets and certificate; return its start script."""
    servers = find_servers(lambda _: None)
    secrets, data, files = folder / "secrets", folder / "data", folder / "files"
    for made in (secrets, data, files):
        made.mkdir()
    moved = {
        "/run/secrets/cash-flow": str(secrets),
        "/var/lib/kafka/data": str(data),
        "/opt/kafka/libs/*": os.pathsep.join(str(jar) for jar in servers.kafka_jars),
        "CLIENT://:9092": f"CLIENT://{LOOPBACK}:{port}",
        "CLIENT://kafka:9092": f"CLIENT://{HOST}:{port}",
        "127.0.0.1:9093": f"{LOOPBACK}:{controller_port}",
    }
    for file in FILES.iterdir():
        text = file.read_text(encoding="utf-8")
        for place, other in moved.items():
            text = text.replace(place, other)
        (files / file.name).write_text(text, encoding="utf-8")
    authority = make_authority()
    certified = certify(authority, [HOST])
    texts = {**PASSWORDS, "tls.pem": certified.key + certified.certificate, "ca.crt": authority.certificate}
    for name, text in texts.items():
        (secrets / name).write_text(text, encoding="utf-8")
    return files / "start.sh"


def environment() -> dict[str, str]:
    """Return an environment whose Java is the local stack's, with what that has learned about starting."""
    servers = find_servers(lambda _: None)
    # As log4j2.properties has it; the local stack's programs log by another library.
    quiet = ["defaultLogLevel=warn", "log.kafka.server.KafkaRaftServer=info", "log.kafka.authorizer.logger=info"]
    options = [f"-Dorg.slf4j.simpleLogger.{each}" for each in quiet]
    if cache := find_start_cache(servers):
        options.append(f"-XX:AOTCache={cache}")
    path = f"{servers.java.parent}{os.pathsep}{os.environ['PATH']}"
    return {**inherited(), "PATH": path, "JDK_JAVA_OPTIONS": " ".join(options)}


@contextmanager
def deployed_broker(folder: Path) -> Iterator[DeployedBroker]:
    """Run a broker as it is deployed for as long as the block lasts."""
    port, controller_port = _free_ports(2)
    start = lay_out(folder, port, controller_port)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(["sh", str(start)], env=environment(), stdout=log, stderr=log)
    broker = DeployedBroker(folder, port, folder / "secrets" / "ca.crt")
    try:
        deadline = time.monotonic() + _READY_WITHIN_S
        while "Kafka Server started" not in broker.log:
            assert process.poll() is None, broker.log
            assert time.monotonic() < deadline, broker.log
            time.sleep(0.05)
        yield broker
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server((LOOPBACK, 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
