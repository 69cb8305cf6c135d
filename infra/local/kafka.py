"""Kafka of the local stack: one KRaft node whose clients sign in with SCRAM."""

import os
import re
import shutil
import subprocess
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from pathlib import Path

from infra.deployment.secrets import KAFKA_FIRST_USERS, Secrets
from infra.local.downloads import Servers
from infra.local.home import Home, StackError, write_whole
from infra.local.ports import LOOPBACK
from infra.local.probes import kafka_probe
from infra.local.processes import Process, inherited

# A record of 1 MiB, a journal or dead letter of 2 MiB with its headers; a topic may allow less, never more.
RECORD_AT_MOST = 2 * 1024 * 1024 + 64 * 1024
# The cleaner only ever works on __consumer_offsets; its default buffer of 128 MiB would not fit the heap.
CLEANER_BUFFER = 4 * 1024 * 1024
JVM_OPTIONS: Sequence[str] = (
    "-Xms64m",
    "-Xmx256m",
    "-XX:+UseSerialGC",
    # The quick compiler only. Measured: half the processor time of a start, and of each record in the first 40,000.
    "-XX:TieredStopAtLevel=1",
    "-XX:+ExitOnOutOfMemoryError",
    "-Xss512k",
    "-Djava.awt.headless=true",
    "-Xlog:disable",
    "-Xlog:all=error:stderr",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    # Says "failed" whenever two ask at once for what is being made for the first.
    "-Dorg.slf4j.simpleLogger.log.kafka.server.DefaultAutoTopicCreationManager=error",
    "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.server.DefaultAutoTopicCreationManager=error",
    # Who was denied what.
    "-Dorg.slf4j.simpleLogger.log.kafka.authorizer.logger=info",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
    "-Dorg.slf4j.simpleLogger.showThreadName=false",
    "-Dorg.slf4j.simpleLogger.showShortLogName=true",
)


def prepare_kafka(home: Home, servers: Servers, ports: dict[str, int], secrets: Secrets) -> None:
    """Write the broker's settings and format its data folder unless that is done; a half formatted one is done again.

    The first users are put in at formatting, so that no listener ever has to be open without sign-in. The others the
    administrator makes, once the broker runs (``infra/kafka/bootstrap.py``).
    """
    data, half = home.kafka / "data", home.kafka / "data.new"
    write_whole(settings_file(home), _properties(data, ports, secrets))
    if (data / "meta.properties").exists():
        return
    if data.exists():
        # It was whole when it got its name, so it was damaged since; what is left may be dear to somebody.
        raise StackError(
            f"{data} is damaged (meta.properties is missing); put a copy back, or start over with `cash reset`"
        )
    shutil.rmtree(half, ignore_errors=True)
    settings = home.kafka / "format.properties"
    write_whole(settings, _properties(half, ports, secrets))
    users = [f"SCRAM-SHA-512=[name={user},password={secrets.kafka_password(user)}]" for user in KAFKA_FIRST_USERS]
    arguments = ["format", "--cluster-id", new_cluster_id(), "--config", str(settings)]
    arguments += [word for user in users for word in ("--add-scram", user)]
    # An argument file, because everybody on this machine can read a command line.
    file = home.kafka / "format.args"
    write_whole(file, "\n".join(f'"{_escaped(word)}"' for word in ("kafka.tools.StorageTool", *arguments)) + "\n")
    command = [str(servers.java), *JVM_OPTIONS, "-cp", _class_path(servers), f"@{file}"]
    done = subprocess.run(command, env=_environment(), capture_output=True, text=True, check=False)
    file.unlink()
    settings.unlink()
    if done.returncode != 0:
        raise StackError(
            f"Kafka's data folder could not be formatted: {' '.join((done.stderr or done.stdout).split())[:300]}"
        )
    half.rename(data)


def new_cluster_id() -> str:
    """Return an id for a new cluster: a random UUID as Kafka writes it.

    As in Kafka itself none begins with a dash: one in 64 would, and be taken for an option.
    """
    while (text := urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")).startswith("-"):
        pass
    return text


def kafka_process(home: Home, servers: Servers, port: int, start_cache: Path | None = None) -> Process:
    """Return how Kafka runs, with the JVM's ahead-of-time cache where one was trained."""
    return Process(
        name="kafka",
        command=kafka_command(
            settings_file(home), servers, ["-XX:AOTCache=" + str(start_cache)] if start_cache else []
        ),
        environment=_environment(),
        probe=kafka_probe(port),
        port=port,
        is_server=True,
    )


def kafka_command(settings: Path, servers: Servers, extra: Sequence[str]) -> list[str]:
    """Return the command line of a broker with these settings and further JVM options."""
    # From Java 24 on, Kafka's way of unmapping files would fill the log with warnings for its authors.
    quiet = ["--sun-misc-unsafe-memory-access=allow"] if servers.java_major >= 24 else []
    return [str(servers.java), *JVM_OPTIONS, *quiet, *extra, "-cp", _class_path(servers), "kafka.Kafka", str(settings)]


def kafka_identity(home: Home) -> str:
    """Return what tells this data folder from one made anew: its cluster's id."""
    lines = (home.kafka / "data" / "meta.properties").read_text("utf-8").splitlines()
    return next((line for line in lines if line.startswith("cluster.id=")), "")


def settings_file(home: Home) -> Path:
    """Return where the settings of the broker lie."""
    return home.kafka / "server.properties"


def _class_path(servers: Servers) -> str:
    return os.pathsep.join(str(jar) for jar in servers.kafka_jars)


def _properties(data: Path, ports: dict[str, int], secrets: Secrets) -> str:
    modules = "org.apache.kafka.common.security"
    controller = secrets.kafka_password("controller")
    scram = f'username="broker" password="{secrets.kafka_password("broker")}"'
    plain = f'username="controller" password="{controller}" user_controller="{controller}"'
    client, quorum = f"{LOOPBACK}:{ports['kafka']}", f"{LOOPBACK}:{ports['kafka-controller']}"
    properties: dict[str, object] = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.voters": f"1@{quorum}",
        "listeners": f"CLIENT://{client},CONTROLLER://{quorum}",
        "advertised.listeners": f"CLIENT://{client}",
        "listener.security.protocol.map": "CLIENT:SASL_PLAINTEXT,CONTROLLER:SASL_PLAINTEXT",
        "inter.broker.listener.name": "CLIENT",
        "controller.listener.names": "CONTROLLER",
        "sasl.enabled.mechanisms": "SCRAM-SHA-512",
        "sasl.mechanism.inter.broker.protocol": "SCRAM-SHA-512",
        "sasl.mechanism.controller.protocol": "PLAIN",
        "listener.name.client.scram-sha-512.sasl.jaas.config": f"{modules}.scram.ScramLoginModule required {scram};",
        "listener.name.controller.sasl.enabled.mechanisms": "PLAIN",
        "listener.name.controller.plain.sasl.jaas.config": f"{modules}.plain.PlainLoginModule required {plain};",
        # Nobody may do anything but what a rule allows; those named here may do everything.
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found": "false",
        "super.users": "User:broker;User:controller;User:administrator",
        "log.dirs": data,
        "auto.create.topics.enable": "false",
        "message.max.bytes": RECORD_AT_MOST,
        "replica.fetch.max.bytes": RECORD_AT_MOST,
        "num.network.threads": 2,
        "num.io.threads": 4,
        "num.recovery.threads.per.data.dir": 2,
        "log.cleaner.threads": 1,
        "log.cleaner.dedupe.buffer.size": CLEANER_BUFFER,
        "log.index.size.max.bytes": 1024 * 1024,
        "offsets.topic.num.partitions": 4,
        "offsets.topic.replication.factor": 1,
        "transaction.state.log.num.partitions": 4,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "share.coordinator.state.topic.num.partitions": 1,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        # One member joins each group here; waiting 3 s for others would only delay the start.
        "group.initial.rebalance.delay.ms": 0,
        # After a kill -9 the node is let in again once its old self has timed out; 9 s would be the rule.
        "broker.session.timeout.ms": 4000,
        "broker.heartbeat.interval.ms": 500,
    }
    return "".join(f"{name}={_in_properties(str(value))}\n" for name, value in properties.items())


def _in_properties(text: str) -> str:
    """Write a value as Java reads such a file: ASCII, everything else and the backslash as UTF-16 escapes."""
    return "".join(
        character
        if character.isascii() and character != "\\"
        else re.sub("(....)", r"\\u\1", character.encode("utf-16-be").hex())
        for character in text
    )


def _environment() -> dict[str, str]:
    # The JVM takes file names from the locale; in one without UTF-8 it could not open a folder named in any language.
    return inherited() | {"LC_ALL": "C.UTF-8"}


def _escaped(word: str) -> str:
    return word.replace("\\", "\\\\").replace('"', '\\"')
