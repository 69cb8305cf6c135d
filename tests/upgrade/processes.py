"""Processes of any version beside those of a running stack, as a deployment has them while it is rolled over."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from infra.deployment.recipes import COMMANDS
from infra.local.processes import PROJECT
from infra.local.stack import LocalStack
from tests.chaos.line import until
from tests.upgrade.next_version import Version

READY_WITHIN_S = 60.0
STOPPED_WITHIN_S = 40.0
#: This version, as it stands here.
THIS_VERSION = Version(PROJECT)


@dataclass
class Beside:
    """Starts processes beside a stack's own. A consumer of theirs is a new member of its group each time."""

    stack: LocalStack
    settings: Mapping[str, str] = field(default_factory=dict)
    _started: list["Another"] = field(default_factory=list)

    def start(self, version: Version, name: str, *arguments: str) -> "Another":
        """Start a process of this version; ``arguments`` replace its usual ones."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        environment = _of(self.stack, name, version) | {"CASH_HTTP_PORT": str(port)} | dict(self.settings)
        environment.pop("CASH_KAFKA_INSTANCE_ID", None)
        log = self.stack.home.logs / f"beside-{name}-{port}.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, *COMMANDS[name], *arguments],
                env=environment,
                cwd=version.folder,
                stdout=output,
                stderr=output,
            )
        another = Another(name, port, process, log)
        self._started.append(another)
        return another

    def kill_all(self) -> None:
        """End what is left of them."""
        for another in self._started:
            with suppress(ProcessLookupError):
                another.process.kill()
            another.process.wait()


@dataclass(frozen=True)
class Another:
    """A process beside the stack's."""

    name: str
    port: int
    process: "subprocess.Popen[bytes]"
    log: Path

    async def ready(self) -> None:
        """Wait until it is ready."""

        async def says_so() -> bool:
            assert self.process.poll() is None, f"{self.name} ended: {self.log.read_text()[-2000:]}"
            with suppress(httpx.TransportError):
                async with httpx.AsyncClient() as http:
                    return (await http.get(f"http://127.0.0.1:{self.port}/health/ready")).status_code == 200
            return False

        await until(says_so, f"{self.name} beside the others is ready", READY_WITHIN_S)

    def leave(self) -> None:
        """Ask it to stop, and wait until it has, in order."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(STOPPED_WITHIN_S) == 0, f"{self.name}: {self.log.read_text()[-2000:]}"


@contextmanager
def beside(stack: LocalStack, **settings: str) -> Iterator[Beside]:
    """Lend a way to start processes beside a stack; all are gone afterwards."""
    others = Beside(stack, settings)
    try:
        yield others
    finally:
        others.kill_all()


def run_step(stack: LocalStack, version: Version, name: str, module: str) -> str:
    """Run a step of a version to its end; return what it said."""
    done = subprocess.run(
        [sys.executable, "-m", module],
        env=_of(stack, name, version),
        cwd=version.folder,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _of(stack: LocalStack, name: str, version: Version) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], **stack.environment(name), **version.environment}
