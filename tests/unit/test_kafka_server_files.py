"""The files that Kafka is deployed with: the local stack's settings, in other places and with TLS."""

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from infra.deployment.containers import DEPLOYED, SECRETS_FOLDER, complete, files_by_owner
from infra.deployment.secrets import KAFKA_ADMINISTRATOR, KAFKA_FIRST_USERS, Secrets
from infra.local import kafka
from infra.local.processes import PROJECT
from tests.builders.brokers import FILES, PASSWORDS

#: What is another thing where a broker is deployed, and why stands in its file.
OTHERWISE = {
    "config.providers",
    "config.providers.dir.class",
    "listeners",
    "advertised.listeners",
    "listener.security.protocol.map",
    "ssl.keystore.type",
    "ssl.keystore.location",
    "ssl.truststore.type",
    "ssl.truststore.location",
    "listener.name.client.scram-sha-512.sasl.jaas.config",
    "listener.name.controller.plain.sasl.jaas.config",
    "log.dirs",
    # The local stack is back sooner after a kill -9. A machine that starves may need all of the rule's nine seconds.
    "broker.session.timeout.ms",
    "broker.heartbeat.interval.ms",
}


def read_properties(text: str) -> dict[str, str]:
    joined = text.replace("\\\n", "")
    lines = [line for line in joined.splitlines() if line and not line.startswith("#")]
    return {name: re.sub(r" +", " ", value) for name, _, value in (line.partition("=") for line in lines)}


@pytest.fixture(scope="module")
def deployed() -> Mapping[str, str]:
    return read_properties((FILES / "server.properties").read_text(encoding="utf-8"))


def test_a_deployed_broker_has_the_settings_of_the_local_one(deployed: Mapping[str, str]) -> None:
    ports = {"kafka": 9092, "kafka-controller": 9093}
    passwords = Secrets({f"KAFKA_{user}_PASSWORD": "x" for user in ("BROKER", "CONTROLLER")})
    local = read_properties(kafka._properties(Path("/data"), ports, passwords))

    assert {name for name in {*deployed, *local} if deployed.get(name) != local.get(name)} == OTHERWISE


def test_it_listens_where_processes_are_told_it_is(deployed: Mapping[str, str]) -> None:
    assert deployed["advertised.listeners"] == f"CLIENT://{DEPLOYED.kafka}"
    assert deployed["listeners"] == f"CLIENT://:{DEPLOYED.kafka.port},CONTROLLER://127.0.0.1:9093"
    assert deployed["listener.security.protocol.map"] == "CLIENT:SASL_SSL,CONTROLLER:SASL_PLAINTEXT"


def test_everybody_who_may_do_everything_is_named(deployed: Mapping[str, str]) -> None:
    users = {*KAFKA_FIRST_USERS, "controller"}

    assert KAFKA_ADMINISTRATOR in users
    assert set(deployed["super.users"].split(";")) == {f"User:{user}" for user in users}


def test_every_secret_it_names_is_one_of_its_files() -> None:
    given = files_by_owner(complete({}, "tests"))["kafka"]
    text = "".join(file.read_text(encoding="utf-8") for file in FILES.iterdir())
    named = set(re.findall(rf"{SECRETS_FOLDER}[:/]([\w.]+)", text)) | set(re.findall(r"KAFKA_\w+_PASSWORD", text))
    loop = set(re.findall(r"for name in (.*); do", (FILES / "start.sh").read_text())[0].split())

    assert named <= set(given)
    assert loop <= set(given)
    assert set(PASSWORDS) <= loop


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("KAFKA_BROKER_PASSWORD", None, "KAFKA_BROKER_PASSWORD is missing or empty"),
        ("tls.pem", "", "tls.pem is missing or empty"),
        ("KAFKA_BROKER_PASSWORD", "hush\n", "KAFKA_BROKER_PASSWORD is not one word"),
        ("KAFKA_CONTROLLER_PASSWORD", 'hu"sh', "KAFKA_CONTROLLER_PASSWORD is not one word"),
        ("KAFKA_ADMINISTRATOR_PASSWORD", "hu]sh", "KAFKA_ADMINISTRATOR_PASSWORD is not one word"),
    ],
)
def test_a_secret_that_would_not_do_is_refused_in_words_that_do_not_tell_it(
    tmp_path: Path, file: str, content: str | None, said: str
) -> None:
    names = [*PASSWORDS, "tls.pem", "ca.crt"]
    texts: dict[str, str | None] = {**dict.fromkeys(names, "x"), file: content}
    for name, text in texts.items():
        if text is not None:
            (tmp_path / name).write_text(text)
    script = (FILES / "start.sh").read_text(encoding="utf-8").replace(str(SECRETS_FOLDER), str(tmp_path))
    (tmp_path / "start.sh").write_text(script)

    done = subprocess.run(["sh", str(tmp_path / "start.sh")], capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert said in done.stderr
    assert "hu" not in done.stderr.replace(str(tmp_path), "")


def test_no_secret_stands_on_a_command_line() -> None:
    """Only the shell's own words, which start no program, may read a password's file."""
    script = (FILES / "start.sh").read_text(encoding="utf-8")
    reading = [line.strip() for line in script.splitlines() if "$(cat" in line and "PASSWORD" in line]

    assert [line.split()[0] for line in reading] == ["echo"]


def test_the_pages_about_three_brokers_name_settings_that_exist(deployed: Mapping[str, str]) -> None:
    page = (PROJECT / "docs" / "kafka-access.md").read_text(encoding="utf-8")
    table = page.partition("| Where | Setting | Three brokers |")[2]
    named = set(re.findall(r"`([a-z.]+\.[a-z.]+)`", table)) - {"min.insync.replicas", "broker.rack"}

    assert named - set(deployed) == {"unclean.leader.election.enable"}
