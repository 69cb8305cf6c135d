"""A kubectl that keeps its cluster in a JSON file: ``fake_kubectl.py STATE WORDS…``; what it forwards, it forwards."""

import contextlib
import fcntl
import json
import os
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

KINDS = {
    "deployments": "Deployment",
    "statefulsets": "StatefulSet",
    "replicasets": "ReplicaSet",
    "pods": "Pod",
    "jobs": "Job",
    "job": "Job",
    "namespace": "Namespace",
    "namespaces": "Namespace",
    "secret": "Secret",
    "service": "Service",
    "services": "Service",
    "nodes": "Node",
    "ingresses": "Ingress",
    "persistentvolumeclaims": "PersistentVolumeClaim",
    "events": "Event",
}
WITHOUT_NAMESPACE = {"Namespace", "Node"}


class Cluster:
    """What the file says, while nobody else may change it."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.state: dict[str, Any] = json.loads(file.read_text())

    @property
    def objects(self) -> dict[str, Any]:
        found: dict[str, Any] = self.state["objects"]
        return found

    def list(self, kind: str, selector: str | None = None) -> list[dict[str, Any]]:
        return [
            each
            for key, each in sorted(self.objects.items())
            if key.startswith(f"{kind}/") and selects(selector, each["metadata"].get("labels", {}))
        ]

    def put(self, thing: dict[str, Any]) -> None:
        kind, name = thing["kind"], thing["metadata"]["name"]
        old = self.objects.get(f"{kind}/{name}", {})
        if kind == "Deployment" and "replicas" not in thing["spec"] and old:
            thing["spec"]["replicas"] = old["spec"]["replicas"]
        self.objects[f"{kind}/{name}"] = thing
        if kind in ("Deployment", "StatefulSet"):
            self.scale(thing, thing["spec"].setdefault("replicas", 1), renewed=old != {})
        if kind == "Job":
            self.add_pod(f"{name}-x7k2p", thing)

    def scale(self, workload: dict[str, Any], replicas: int, *, renewed: bool = False) -> None:
        name = workload["metadata"]["name"]
        workload["spec"]["replicas"] = replicas
        for pod in self.list("Pod"):
            if pod["metadata"]["labels"].get("of") == name:
                del self.objects[f"Pod/{pod['metadata']['name']}"]
        for number in range(replicas):
            suffix = f"{number}" if workload["kind"] == "StatefulSet" else f"5fd84d4f95-cfqj{number}"
            self.add_pod(f"{name}-{suffix}", workload)

    def add_pod(self, pod_name: str, owner: dict[str, Any]) -> None:
        name, kind = owner["metadata"]["name"], owner["kind"]
        if kind == "Deployment":
            owned = {"name": f"{name}-5fd84d4f95", "ownerReferences": [{"kind": kind, "name": name}]}
            self.objects[f"ReplicaSet/{owned['name']}"] = {"kind": "ReplicaSet", "metadata": owned}
            kind = "ReplicaSet"
        by = {"kind": kind, "name": f"{name}-5fd84d4f95" if kind == "ReplicaSet" else name}
        container = owner["spec"]["template"]["spec"]["containers"][0]
        self.objects[f"Pod/{pod_name}"] = {
            "kind": "Pod",
            "metadata": {
                "name": pod_name,
                "labels": {**owner["metadata"].get("labels", {}), "of": name},
                "ownerReferences": [by],
                "creationTimestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            },
            "spec": {"containers": [container]},
            "status": {"phase": "Pending", "looks": 0},
        }

    def look(self) -> None:
        """Let every pod go one step on its way, which its behaviour says."""
        for pod in self.list("Pod"):
            name, image = pod["metadata"]["labels"].get("of", ""), pod["spec"]["containers"][0]["image"]
            behaviours = self.state["behaviour"]
            behaviour = behaviours.get(f"{name} {image}") or behaviours.get(name, "ready")
            pod["status"] = self.next_status(pod, behaviour)
        for kind in ("Deployment", "StatefulSet"):
            for each in self.list(kind):
                pods = [pod for pod in self.list("Pod") if pod["metadata"]["labels"]["of"] == each["metadata"]["name"]]
                ready = sum(pod["status"].get("ready", False) for pod in pods)
                each["status"] = {
                    "observedGeneration": 1,
                    "replicas": len(pods),
                    "updatedReplicas": len(pods),
                    "readyReplicas": ready,
                    "availableReplicas": ready,
                }
                each["metadata"]["generation"] = 1
        for job in self.list("Job"):
            pod = self.objects[f"Pod/{job['metadata']['name']}-x7k2p"]
            ended = {"Succeeded": "Complete", "Failed": "Failed"}.get(pod["status"]["phase"])
            job["status"] = {"conditions": [{"type": ended, "status": "True"}]} if ended else {}

    def next_status(self, pod: dict[str, Any], behaviour: str) -> dict[str, Any]:
        looks = pod["status"]["looks"] + 1
        container = pod["spec"]["containers"][0]["name"]
        is_job = pod["metadata"]["ownerReferences"][0]["kind"] == "Job"
        running = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}

        def status(phase: str, state: dict[str, Any], *, ready: bool = False, restarts: int = 0) -> dict[str, Any]:
            told = {"name": container, "ready": ready, "restartCount": restarts, "state": state}
            return {"phase": phase, "looks": looks, "ready": ready, "containerStatuses": [told]}

        if behaviour == "unschedulable":
            why = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes have it"}
            return {"phase": "Pending", "looks": looks, "conditions": [why]}
        if looks == 1 or behaviour == "creating":
            return status("Pending", {"waiting": {"reason": "ContainerCreating"}})
        if behaviour == "no-image":
            reason = "ErrImagePull" if looks < 3 else "ImagePullBackOff"
            return status("Pending", {"waiting": {"reason": reason, "message": 'Back-off pulling image "cash-flow"'}})
        if behaviour == "no-secret":
            waiting = {"reason": "CreateContainerConfigError", "message": 'secret "cash-flow" not found'}
            return status("Pending", {"waiting": waiting})
        if behaviour == "crash":
            return status("Running", {"waiting": {"reason": "CrashLoopBackOff"}}, restarts=looks)
        if behaviour == "fail":
            return status("Failed", {"terminated": {"reason": "Error", "exitCode": 1}})
        if behaviour == "slow":
            return status("Running", running)
        if is_job:
            return status("Succeeded", {"terminated": {"reason": "Completed", "exitCode": 0}})
        return status("Running", running, ready=looks > 2)


def selects(selector: str | None, labels: dict[str, str]) -> bool:
    """Understand ``key``, ``!key``, ``key=value`` and ``key in (value, value)``."""
    if not selector:
        return True
    if among := re.fullmatch(r"(\S+) in \((.*)\)", selector):
        return labels.get(among[1]) in among[2].split(", ")
    if selector.startswith("!"):
        return selector[1:] not in labels
    key, equals, value = selector.partition("=")
    return labels.get(key) == value if equals else key in labels


@contextlib.contextmanager
def held(file: Path) -> Iterator[Cluster]:
    with file.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        cluster = Cluster(file)
        yield cluster
        file.with_suffix(".new").write_text(json.dumps(cluster.state))
        file.with_suffix(".new").replace(file)


def resources(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield what a kustomization says, in as far as it is written in JSON."""
    told = json.loads((folder / "kustomization.yaml").read_text())
    images = {image["name"]: image for image in told.get("images", ())}
    patches = [(each["target"], json.loads(each["patch"])) for each in told.get("patches", ())]
    for name in told["resources"]:
        found = folder / name
        for each in resources(found) if found.is_dir() else iter(json.loads(found.read_text())):
            for container in each.get("spec", {}).get("template", {}).get("spec", {}).get("containers", ()):
                if image := images.get(container["image"]):
                    container["image"] = f"{image['newName']}:{image['newTag']}"
            for target, patch in patches:
                if target == {"kind": each["kind"], "name": f"^{each['metadata']['name']}$"}:
                    each["spec"]["template"]["metadata"] = patch["spec"]["template"]["metadata"]
            yield each


def option(words: list[str], *names: str) -> str | None:
    """Take an option out of the words and return its value."""
    for number, word in enumerate(words):
        for name in names:
            if word == name:
                del words[number]
                return words.pop(number)
            if word.startswith(f"{name}="):
                del words[number]
                return word.partition("=")[2]
    return None


def complain(sentence: str) -> int:
    print(sentence, file=sys.stderr)
    return 1


def main(file: Path, words: list[str]) -> int:
    with held(file) as cluster:
        cluster.state["calls"].append(list(words))
        if cluster.state["error"] and words[:1] != ["config"]:
            return complain(cluster.state["error"])
        context = option(words, "--context")
        namespace = option(words, "--namespace", "-n")
        option(words, "--request-timeout")
        verb, *rest = words
        if verb == "port-forward":
            error, targets = cluster.state["forward_error"], cluster.state["targets"]
        elif verb == "logs":
            return logs(cluster, rest)
        else:
            return answer(cluster, verb, rest, context, namespace)
    return complain(error) if error else forward(file, rest, targets)


def answer(cluster: Cluster, verb: str, words: list[str], context: str | None, namespace: str | None) -> int:
    selector = option(words, "--selector", "-l")
    option(words, "--output", "-o")
    of = (option(words, "--field-selector") or "").partition("involvedObject.name=")[2]
    has_namespace = f"Namespace/{namespace}" in cluster.objects
    if verb == "config":
        return config(cluster, words, context)
    if verb == "version":
        print(json.dumps({"clientVersion": {"gitVersion": "v1.32.4"}, "serverVersion": {"gitVersion": "v1.33.1"}}))
        return 0
    if verb == "get":
        kinds = [KINDS[kind] for kind in words[0].split(",")]
        cluster.look()
        if len(words) > 1:
            found = cluster.objects.get(f"{kinds[0]}/{words[1]}")
            if found is None or not (has_namespace or kinds[0] in WITHOUT_NAMESPACE):
                return complain(f'Error from server (NotFound): {words[0]} "{words[1]}" not found')
            print(json.dumps(found))
        else:
            found = [each for kind in kinds for each in cluster.list(kind, selector)]
            found = [each for each in found if not of or each["involvedObject"]["name"] == of]
            print(json.dumps({"items": found}))
        return 0
    if verb in ("apply", "create"):
        folder = option(words, "--kustomize", "-k")
        said = {} if folder else json.loads(sys.stdin.read())
        for thing in resources(Path(folder)) if folder else said.get("items", [said]):
            if selects(selector, thing["metadata"].get("labels", {})):
                cluster.put(thing)
                print(f"{thing['kind'].lower()}/{thing['metadata']['name']} applied")
        return 0
    if verb == "delete":
        gone = [
            each for each in cluster.list(KINDS[words[0]], selector) if selector or each["metadata"]["name"] in words
        ]
        for each in gone:
            del cluster.objects[f"{each['kind']}/{each['metadata']['name']}"]
            if each["kind"] == "Job":
                cluster.objects.pop(f"Pod/{each['metadata']['name']}-x7k2p", None)
            if each["kind"] == "Namespace":
                kept = {key: each for key, each in cluster.objects.items() if key.split("/")[0] in WITHOUT_NAMESPACE}
                cluster.state["objects"] = kept
        return 0
    if verb == "scale":
        replicas = int(option(words, "--replicas") or 0)
        named = {"deployment": "Deployment", "statefulset": "StatefulSet"}
        for kind, _, name in (word.partition("/") for word in words):
            cluster.scale(cluster.objects[f"{named[kind]}/{name}"], replicas)
        return 0
    return complain(f'error: unknown command "{verb}" for "kubectl"')


def config(cluster: Cluster, words: list[str], context: str | None) -> int:
    if not cluster.state["context"]:
        return complain("error: current-context is not set")
    if words[0] == "current-context":
        print(cluster.state["context"])
    else:
        server = cluster.state["servers"].get(context or cluster.state["context"])
        if server is None:
            return complain(f'error: context "{context}" does not exist')
        print(json.dumps({"clusters": [{"cluster": {"server": server}}]}))
    return 0


def logs(cluster: Cluster, words: list[str]) -> int:
    tail = option(words, "--tail")
    lines = cluster.state["logs"].get(words[0], [])
    for line in lines[-int(tail) :] if tail and tail != "-1" else lines:
        print(line)
    return 0


def forward(file: Path, words: list[str], targets: dict[str, int]) -> int:
    """Relay a port of this machine to the one that stands for the service, until a signal or the file ``gone``."""
    option(words, "--address")
    option(words, "--pod-running-timeout")
    service, ports = words[0].removeprefix("service/"), words[1]
    if service not in targets:
        return complain(f'Error from server (NotFound): services "{service}" not found')
    with held(file) as cluster:
        cluster.state["forwards"].append(os.getpid())
    listening = socket.create_server(("127.0.0.1", int(ports.split(":")[0] or 0)))
    print(f"Forwarding from 127.0.0.1:{listening.getsockname()[1]} -> 8000", flush=True)
    signal.signal(signal.SIGUSR1, lambda *_: os._exit(complain("error: lost connection to pod")))
    while True:
        near, _ = listening.accept()
        print(f"Handling connection for {listening.getsockname()[1]}", flush=True)
        far = socket.create_connection(("127.0.0.1", targets[service]))
        for source, sink in ((near, far), (far, near)):
            threading.Thread(target=relay, args=(source, sink), daemon=True).start()


def relay(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while read := source.recv(65536):
            sink.sendall(read)
        sink.shutdown(socket.SHUT_WR)


if __name__ == "__main__":
    assert re.match(r".*\.json$", sys.argv[1])
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
