"""Which cluster is meant: whether its tools are there, and whether it is one of this machine."""

import json
import re
import socket
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from cli.connection.programs import ask, find_program
from cli.kubernetes.kubectl import Kubectl
from cli.terminal.output import ExitCode, fail, note

#: Contexts that programs which run a cluster on one machine give these names.
_LOCAL_NAMES = frozenset({"minikube", "docker-desktop", "rancher-desktop", "orbstack", "colima", "microk8s"})
_LOCAL_PREFIXES = ("kind-", "k3d-", "colima-")
_OLDEST = (1, 27)
_LOAD_WITHIN_S = 300.0


@dataclass(frozen=True, slots=True)
class Cluster:
    """The cluster of a context, which answers."""

    kubectl: Kubectl
    context: str
    server: str
    is_minikube: bool
    version: str

    @property
    def is_local(self) -> bool:
        """Whether it looks like a cluster of this machine, by its name or its address."""
        named = self.context in _LOCAL_NAMES or self.context.startswith(_LOCAL_PREFIXES)
        return named or self.is_minikube or _is_here(urlsplit(self.server).hostname or "")

    def has_image(self, image: str) -> bool:
        """Return whether a pod there finds an image without pulling it."""
        # Where an image has no registry before its name, the cluster says Docker Hub's.
        whole = image if "/" in image else f"docker.io/library/{image}"
        if minikube := self._minikube():
            answer = ask([*minikube, "ls"])
            return answer.ok and any(line.strip() in (image, whole) for line in answer.out.splitlines())
        nodes = self.kubectl.get("nodes")["items"]
        names = {
            name for node in nodes for held in node["status"].get("images", ()) for name in held.get("names") or ()
        }
        return not names.isdisjoint({image, whole})

    def load_image(self, image: str) -> None:
        """Give the cluster an image of this machine's engine; only Minikube's can be given one."""
        minikube = self._minikube()
        if minikube is None:
            fail(
                f"the cluster has no image {image}, and only Minikube's can be given one here; load it into its nodes, "
                "or publish it (`cash build --push`) and name it with --image"
            )
        note(f"Loading {image} into the cluster.")
        answer = ask([*minikube, "load", image], within_s=_LOAD_WITHIN_S)
        if not answer.ok:
            fail(f"Minikube did not take the image {image} ({answer.complaint}); see `minikube status`")

    def _minikube(self) -> list[str] | None:
        program = find_program("minikube") if self.is_minikube else None
        return [program, "--profile", self.context, "image"] if program else None


def find_cluster(context: str | None) -> Cluster:
    """Return the cluster of a context, the current one where none is said; fails where it does not answer."""
    kubectl = Kubectl(context)
    name = context or kubectl.tell("config", "current-context").strip()
    told = _read(kubectl.tell("config", "view", "--minify", "--output=json"))
    cluster = told["clusters"][0]["cluster"]
    providers = [each.get("extension", {}).get("provider", "") for each in cluster.get("extensions") or ()]
    is_minikube = name == "minikube" or any("minikube" in provider for provider in providers)
    version = _read(kubectl.tell("version", "--output=json"))["serverVersion"]["gitVersion"]
    numbers = re.match(r"v?(\d+)\.(\d+)", version)
    if numbers and (int(numbers[1]), int(numbers[2])) < _OLDEST:
        oldest = ".".join(str(part) for part in _OLDEST)
        fail(f"the cluster is Kubernetes {version}, and the manifests need {oldest} or newer; update it")
    return Cluster(kubectl, name, cluster["server"], is_minikube, version)


def check_meant(cluster: Cluster, *, named: bool, otherwise: str = "say so: --context {context}") -> None:
    """Fail for a cluster that may not be what somebody means: one elsewhere, unless they named its context."""
    if not named and not cluster.is_local:
        fail(
            f"the current context is {cluster.context} ({cluster.server}), which does not look like a cluster of this "
            f"machine; if you mean it, {otherwise.format(context=cluster.context)}",
            ExitCode.USAGE,
        )


def _is_here(host: str) -> bool:
    """Return whether a host is this machine: only its own addresses can be listened on."""
    if host == "localhost":
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    try:
        with socket.socket(family) as listening:
            listening.bind((host, 0))
    except OSError:
        return False
    return True


def _read(text: str) -> dict[str, Any]:
    try:
        read: dict[str, Any] = json.loads(text)
    except ValueError:
        fail("kubectl did not answer JSON; see whether `kubectl version --output=json` does")
    return read
