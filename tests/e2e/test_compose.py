"""The system in containers, for real: built and started from nothing, killed one container after the other, stopped.

``CASH_TEST_COMPOSE=1 make chaos`` runs these where there is a Docker; they take about six minutes. The project they
start is theirs alone, with volumes, ports and networks of its own, and is deleted at the end.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.builders.compose import ROOT, read_compose

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        not (os.environ.get("CASH_TEST_COMPOSE") and shutil.which("docker")),
        reason="CASH_TEST_COMPOSE=1 runs them where there is a docker",
    ),
]

PROJECT = "cash-flow-test"
#: Apart from those of a system that somebody uses here.
OWN = {
    "COMPOSE_PROJECT_NAME": PROJECT,
    "CASH_PORT": "18100",
    "CASH_MAILBOX_PORT": "18125",
    "CASH_PROXY_PORT": "18180",
    "CASH_PROXY_SUBNET": "198.18.81.0/26",
    # Everybody comes from this machine.
    "CASH_LIMITS_PER_NETWORK": "1000000",
}
#: What runs on, and was started without a profile.
KILLED = [
    name
    for name, service in read_compose()["services"].items()
    if service["restart"] != "no" and "profiles" not in service
]
#: So long what was killed may take to be ready again, on a machine that simulates people meanwhile.
HEALTHY_WITHIN_S = 240.0
PEOPLE = ("-u", "15", "-t", "5", "-x", "20")


class System:
    """One compose project, and the commands that are tried on it."""

    def compose(self, *words: str) -> str:
        """Run a command of compose; its errors are the test's."""
        return self._run("docker", "compose", *words)

    def kill(self, service: str) -> None:
        """Kill a container as a crash would; Docker itself starts again only what nobody asked it to kill."""
        self._run("docker", "kill", "--signal", "KILL", f"{PROJECT}-{service}-1")
        self._run("docker", "start", f"{PROJECT}-{service}-1")

    def until_healthy(self, service: str) -> None:
        """Wait until a container says that it is ready."""
        question = ("docker", "inspect", "--format", "{{.State.Health.Status}}", f"{PROJECT}-{service}-1")
        ends_at = time.monotonic() + HEALTHY_WITHIN_S
        while (status := self._run(*question).strip()) != "healthy":
            assert time.monotonic() < ends_at, f"{service} is {status}"
            time.sleep(1)

    def simulation(self, *words: str) -> "subprocess.Popen[str]":
        """Begin a simulation."""
        command = [sys.executable, "-m", "cli.main", "sim", "-e", "docker", *PEOPLE, "--json", *words]
        return subprocess.Popen(
            command, cwd=ROOT, env=self._environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def simulated(self, *words: str) -> dict[str, Any]:
        """Simulate people and return what came of it."""
        return verdict_of(self.simulation(*words))

    def _run(self, *command: str) -> str:
        ended = subprocess.run(command, cwd=ROOT, env=self._environment(), capture_output=True, text=True, check=False)
        assert ended.returncode == 0, f"{' '.join(command)}: {ended.stderr[-2000:]}"
        return ended.stdout

    def _environment(self) -> dict[str, str]:
        return {**os.environ, **OWN}


def verdict_of(simulation: "subprocess.Popen[str]") -> dict[str, Any]:
    """Wait for a simulation's end and return its document; whatever is missing or wrong fails the test."""
    out, err = simulation.communicate()
    assert simulation.returncode == 0, err[-2000:]
    document: dict[str, Any] = json.loads(out)
    assert document["verdict"]["all_accounted_for"], document["verdict"]
    return document


@pytest.fixture(scope="module")
def system() -> Iterator[System]:
    made = System()
    try:
        made.compose("up", "--build", "--detach", "--wait")
        yield made
    finally:
        made.compose("--profile", "*", "down", "--volumes", "--timeout", "20")


def test_it_starts_from_nothing_and_loses_nothing(system: System) -> None:
    assert system.simulated()["verdict"]["transactions"] == 300


@pytest.mark.parametrize("service", KILLED)
def test_whatever_is_killed_nothing_is_lost_or_doubled(system: System, service: str) -> None:
    simulation = system.simulation()
    assert simulation.stderr
    for line in simulation.stderr:
        if "recorded" in line and "recorded 0/" not in line:
            break

    system.kill(service)

    assert verdict_of(simulation)["verdict"]["transactions"] == 300
    system.until_healthy(service)


def test_down_and_up_again_keeps_the_data(system: System) -> None:
    before = system.simulated("--seed", "kept")

    system.compose("down", "--timeout", "60")
    system.compose("up", "--detach", "--wait")

    # The same people and transactions: what is there already is not added again, and all of it is read back.
    after = system.simulated("--seed", "kept")
    assert after["verdict"]["transactions"] == before["verdict"]["transactions"]
    assert after["steps"]["recorded"]["new"] == 0


def test_whoever_looks_after_it_has_commands(system: System) -> None:
    queues = json.loads(system.compose("run", "--rm", "-T", "operator", "cash", "queues", "--json"))
    assert queues
    assert "All is right" in system.compose("run", "--rm", "-T", "operator", "cash", "ledger", "verify")
    dead = json.loads(system.compose("run", "--rm", "-T", "operator", "cash", "dead-letters", "list", "--json"))
    assert dead["items"] == []


def test_more_gateways_are_found_by_the_proxy_and_one_may_go(system: System) -> None:
    system.compose("--profile", "scale", "up", "--detach", "--wait")
    simulation = system.simulation()

    system.compose("--profile", "scale", "up", "--detach", "--no-recreate", "--scale", "gateway-more=1")

    assert verdict_of(simulation)["verdict"]["transactions"] == 300
