"""What the pods of the namespace say, on one terminal; new pods join in while it is followed."""

import contextlib
import queue
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence

from cli.connection.programs import end
from cli.kubernetes.kubectl import Kubectl
from cli.operating.log_lines import Renderer

#: Seconds between two looks for pods that came since.
_LOOK_EVERY_S = 2.0
_END_WITHIN_S = 3.0

_Line = tuple[str, str]


class PodLogs:
    """Reads the logs of pods, each by a kubectl of its own; ``close`` ends them all."""

    def __init__(self, kubectl: Kubectl) -> None:
        self._kubectl = kubectl
        self._children: dict[str, subprocess.Popen[str]] = {}
        self._lines: queue.Queue[_Line] = queue.Queue(maxsize=1000)
        self._closing = threading.Event()

    def show(self, pods: Sequence[str], tail: int) -> None:
        """Print the last lines of each pod, one pod after the other."""
        renderer = Renderer(pods)
        for pod in pods:
            answer = self._kubectl.ask("logs", pod, "--all-containers", f"--tail={tail}")
            # One that does not run yet has said nothing, which is no reason to hide what the others said.
            for line in (answer.out if answer.ok else answer.err).splitlines():
                renderer.show(pod, line)

    def follow(self, prefix: str, tail: int) -> None:
        """Print what the pods whose names begin so say, as they say it, until Ctrl-C."""
        # In the order in which they came, so that each keeps its colour.
        names: list[str] = []
        look_at = 0.0
        renderer = Renderer(names)
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                if time.monotonic() >= look_at:
                    look_at = time.monotonic() + _LOOK_EVERY_S
                    self._join(_pods(self._kubectl, prefix), tail)
                    if len(names) < len(self._children):
                        names = list(self._children)
                        renderer = Renderer(names)
                with contextlib.suppress(queue.Empty):
                    renderer.show(*self._lines.get(timeout=max(look_at - time.monotonic(), 0.01)))

    def close(self) -> None:
        """End every kubectl that was started, and wait until it is gone."""
        self._closing.set()
        for child in self._children.values():
            end(child, _END_WITHIN_S)

    def _join(self, pods: Mapping[str, str], tail: int) -> None:
        """Read the pods that came since, and those whose log ended although they run: they began again."""
        for pod, phase in pods.items():
            known = self._children.get(pod)
            if known is None:
                self._read(pod, tail)
            elif known.poll() is not None and phase == "Running":
                self._read(pod, 0)

    def _read(self, pod: str, tail: int) -> None:
        # In a session of its own: Ctrl-C is ours to answer.
        child = self._children[pod] = subprocess.Popen(
            self._kubectl.command("logs", pod, "--all-containers", "--follow", f"--tail={tail}"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        threading.Thread(target=self._pass_on, args=(pod, child), daemon=True).start()

    def _pass_on(self, pod: str, child: "subprocess.Popen[str]") -> None:
        assert child.stdout is not None
        with child.stdout:
            for line in child.stdout:
                while not self._closing.is_set():
                    with contextlib.suppress(queue.Full):
                        self._lines.put((pod, line.rstrip("\n")), timeout=0.5)
                        break


def pod_names(kubectl: Kubectl, prefix: str = "") -> list[str]:
    """Return the names of the pods that begin so, in order."""
    return list(_pods(kubectl, prefix))


def _pods(kubectl: Kubectl, prefix: str) -> dict[str, str]:
    """Return the phase of each pod whose name begins so, in the order of the names."""
    found = {pod["metadata"]["name"]: pod.get("status", {}).get("phase", "") for pod in kubectl.get("pods")["items"]}
    return {name: found[name] for name in sorted(found) if name.startswith(prefix)}
