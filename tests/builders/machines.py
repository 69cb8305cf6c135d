"""A machine with programs that are not there: kubectl, docker, minikube as tests have them answer."""

import contextlib
import io
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import psutil

from cli.connection.programs import Answer
from tests.builders import fake_kubectl

WITHIN_S = 20.0


class Machine:
    """A folder of programs that is the only one on PATH."""

    def __init__(self, folder: Path) -> None:
        self.programs = folder / "bin"
        self.programs.mkdir(parents=True)
        self.state_file = folder / "cluster.json"

    def add(self, name: str, script: str) -> None:
        """Add a program: a shell script."""
        program = self.programs / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    def add_cluster(self, **state: Any) -> None:
        """Add a kubectl with a cluster that is as told; without more it is Minikube, and empty."""
        empty: dict[str, Any] = {
            "context": "minikube",
            "servers": {"minikube": "https://192.168.49.2:8443"},
            "error": None,
            "forward_error": None,
            "objects": {},
            "behaviour": {},
            "targets": {},
            "logs": {},
            "calls": [],
            "forwards": [],
        }
        self.state_file.write_text(json.dumps({**empty, **state}))
        self.add("kubectl", f'exec {sys.executable} -I -S {fake_kubectl.__file__} {self.state_file} "$@"')

    def ask_cluster(self, command: Sequence[str], *, said: str = "", **_: object) -> Answer:
        """Answer as that kubectl does, in this process because starting Python so often takes long."""
        out, err = io.StringIO(), io.StringIO()
        with (
            mock.patch.object(sys, "stdin", io.StringIO(said)),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            code = fake_kubectl.main(self.state_file, list(command[1:]))
        return Answer(code, out.getvalue(), err.getvalue())

    @property
    def cluster(self) -> dict[str, Any]:
        """What the cluster's file says now."""
        state: dict[str, Any] = json.loads(self.state_file.read_text())
        return state

    def change_cluster(self, **state: Any) -> None:
        """Have the cluster be otherwise from now on."""
        self.state_file.write_text(json.dumps({**self.cluster, **state}))


@contextmanager
def a_machine(folder: Path) -> Iterator[Machine]:
    """Give a machine on which only the programs that a test adds are found; kubectl's short answers come at once."""
    machine = Machine(folder)
    with (
        mock.patch.dict(os.environ, {"PATH": str(machine.programs)}),
        mock.patch("cli.kubernetes.kubectl.ask", machine.ask_cluster),
    ):
        yield machine


def a_thing(kind: str, name: str, **fields: Any) -> dict[str, Any]:
    """Return an object of a cluster, by its key in the state file."""
    return {f"{kind}/{name}": {"kind": kind, "metadata": {"name": name}, **fields}}


def wait_until(condition: Callable[[], object]) -> None:
    """Wait until something is so."""
    until = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    """Return whether a process runs; one that nobody has waited for yet counts as gone."""
    try:
        os.kill(pid, 0)
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except (ProcessLookupError, psutil.NoSuchProcess):
        return False
