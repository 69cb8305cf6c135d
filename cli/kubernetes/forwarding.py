"""Ports of this machine that lead into the cluster, by ``kubectl port-forward``, for as long as a command runs."""

import re
import subprocess
import threading

from cli.connection.programs import Answer, end
from cli.kubernetes.kubectl import Kubectl
from cli.terminal.output import ExitCode, Failure
from infra.local.ports import LOOPBACK

_OPENED = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+) ->")
_OPEN_WITHIN_S = 20.0
_END_WITHIN_S = 3.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 3.0


class Forward:
    """A free port of this machine that leads to a service of the cluster.

    kubectl binds a forward to one pod and ends when that is gone, be it by a rolling restart. Then it is opened again
    at the same port, until ``close``; meanwhile connections are refused, and ``why`` says what kubectl complained of.
    """

    def __init__(self, kubectl: Kubectl, service: str, port: int, *, local_port: int = 0) -> None:
        self.why = ""
        self.local_port = local_port
        self._kubectl = kubectl
        self._service = service
        self._port = port
        self._child: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._answered = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name=f"forward-{service}", daemon=True)

    @property
    def url(self) -> str:
        """The address of the service on this machine."""
        return f"http://{LOOPBACK}:{self.local_port}"

    @property
    def is_open(self) -> bool:
        """Whether kubectl forwards at this moment."""
        with self._lock:
            return self._child is not None and self._child.poll() is None and not self.why

    def open(self) -> None:
        """Open it and return when it can be used; fails where the cluster says no."""
        self._keeper.start()
        self._answered.wait(_OPEN_WITHIN_S)
        if not self.is_open:
            self.close()
            why = self.why or f"no answer within {_OPEN_WITHIN_S:g} s"
            if "(notfound)" in why.lower():
                raise self._kubectl.not_deployed(self._service)
            if "unauthorized" in why.lower():
                self._kubectl.explain(Answer(1, "", why), ["port-forward"])
            raise Failure(
                f"the cluster's {self._service} could not be reached ({why}); see `k8s status`", ExitCode.NOT_READY
            )

    def close(self) -> None:
        """End kubectl and wait until it is gone; closing twice is harmless."""
        self._closing.set()
        with self._lock:
            child = self._child
        if child is not None:
            end(child, _END_WITHIN_S)
        if self._keeper.is_alive():
            self._keeper.join(_END_WITHIN_S)

    def _keep(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while not self._closing.is_set():
            was_open = self._run()
            self._answered.set()
            if not self.local_port:
                return
            pause_s = _FIRST_PAUSE_S if was_open else min(pause_s * 2, _LONGEST_PAUSE_S)
            self._closing.wait(pause_s)

    def _run(self) -> bool:
        """Run kubectl until it ends; return whether the forward was open."""
        with self._lock:
            if self._closing.is_set():
                return False
            try:
                # In a session of its own: Ctrl-C is for the command, which still has to say goodbye through it.
                child = self._child = subprocess.Popen(
                    self._kubectl.command(
                        "port-forward",
                        f"--address={LOOPBACK}",
                        "--pod-running-timeout=10s",
                        f"service/{self._service}",
                        f"{self.local_port or ''}:{self._port}",
                    ),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    errors="replace",
                    start_new_session=True,
                )
            except OSError as error:
                self.why = f"kubectl could not be started: {error.strerror}"
                return False
        was_open = False
        complaint = ""
        assert child.stdout is not None
        with child.stdout:
            # It is read to the end: kubectl says a line for each connection, and would stand still before a full pipe.
            for line in child.stdout:
                if found := _OPENED.search(line):
                    self.local_port, self.why, was_open = int(found[1]), "", True
                    self._answered.set()
                elif "Handling connection" not in line and line.strip():
                    complaint = line
        code = child.wait()
        self.why = Answer(code, "", complaint).complaint
        return was_open
