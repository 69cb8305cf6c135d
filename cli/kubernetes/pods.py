"""What runs in the namespace: pods as ``kubectl get pods`` shows them, and whether what was asked for is there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cli.kubernetes.kubectl import Kubectl

Thing = Mapping[str, Any]

_KINDS = "deployments,statefulsets,replicasets,jobs,pods"
_REVISION = "deployment.kubernetes.io/revision"
TERMINATING = "Terminating"
#: A pod with one of these will not get better by waiting.
_HOPELESS = frozenset(
    {
        "ImagePullBackOff",
        "InvalidImageName",
        "ErrImageNeverPull",
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
    }
)
#: So often a process may end while what it needs is still starting.
_RESTARTS_MAX = 3


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod; ``why`` says what is wrong with it, ``hopeless`` that it stays so, ``workload`` whose pod it is."""

    name: str
    ready: int
    containers: int
    status: str
    restarts: int
    age_s: float
    why: str = ""
    hopeless: bool = False
    workload: str | None = None

    @property
    def is_well(self) -> bool:
        """Whether it is ready, or has done its work."""
        return self.status == "Completed" or (self.status == "Running" and self.ready == self.containers)


@dataclass(frozen=True, slots=True)
class Workload:
    """A deployment, a stateful set or a job, and whether it is as it should be; ``failed`` where it never will be."""

    kind: str
    name: str
    labels: Mapping[str, str]
    replicas: int
    done: bool
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Namespace:
    """All that runs at one moment."""

    workloads: Sequence[Workload]
    pods: Sequence[Pod]

    @property
    def is_stopped(self) -> bool:
        """Whether everything there is scaled to nothing."""
        lasting = [each for each in self.workloads if each.kind != "Job"]
        return bool(lasting) and all(each.replicas == 0 for each in lasting)


def look(kubectl: Kubectl) -> Namespace:
    """Return what runs now."""
    items = kubectl.get(_KINDS)["items"]
    by_kind: dict[str, list[Thing]] = {}
    for item in items:
        by_kind.setdefault(item["kind"], []).append(item)
    sets = _replica_sets(by_kind)
    now = datetime.now(UTC)
    # What a clock or somebody made from a template, such as a backup, is nothing that the system waits for.
    by_kind["Job"] = [each for each in by_kind.get("Job", ()) if not _owner(each, "CronJob")]
    return Namespace(
        [_workload(each) for kind in ("Deployment", "StatefulSet", "Job") for each in by_kind.get(kind, ())],
        sorted((_pod(each, now, sets) for each in by_kind.get("Pod", ())), key=lambda pod: pod.name),
    )


def duration(seconds: float) -> str:
    """Return a duration as kubectl says it: ``45s``, ``5m49s``, ``3h10m``, ``2d``."""
    whole = int(max(seconds, 0))
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if whole < 120:
        return f"{whole}s"
    if minutes < 10:
        return f"{minutes}m{f'{whole % 60}s' if whole % 60 else ''}"
    if hours < 3:
        return f"{minutes}m"
    if hours < 8:
        return f"{hours}h{f'{minutes % 60}m' if minutes % 60 else ''}"
    if hours < 48:
        return f"{hours}h"
    return f"{days}d{f'{hours % 24}h' if days < 8 and hours % 24 else ''}"


def _replica_sets(by_kind: Mapping[str, Sequence[Thing]]) -> dict[str, tuple[str | None, bool]]:
    """Return, by its name, whose a replica set is, and whether its pods are those that are wanted now."""
    revisions = {each["metadata"]["name"]: _annotation(each) for each in by_kind.get("Deployment", ())}
    sets = {}
    for each in by_kind.get("ReplicaSet", ()):
        deployment = _owner(each, "Deployment")
        sets[each["metadata"]["name"]] = deployment, _annotation(each) == revisions.get(deployment or "")
    return sets


def _annotation(thing: Thing) -> str | None:
    found: str | None = thing["metadata"].get("annotations", {}).get(_REVISION)
    return found


def _owner(thing: Thing, kind: str) -> str | None:
    owners = thing["metadata"].get("ownerReferences", ())
    return next((owner["name"] for owner in owners if owner["kind"] == kind), None)


def _workload(thing: Thing) -> Workload:
    metadata, spec, status = thing["metadata"], thing["spec"], thing.get("status", {})
    kind, replicas = thing["kind"], thing["spec"].get("replicas", 1)
    if kind == "Job":
        conditions = {each["type"] for each in status.get("conditions", ()) if each["status"] == "True"}
        return Workload(
            kind, metadata["name"], metadata.get("labels", {}), 1, "Complete" in conditions, "Failed" in conditions
        )
    seen = status.get("observedGeneration", 0) >= metadata.get("generation", 1)
    # As `kubectl rollout status` counts: all are of the new kind, no old one is left, and all can be used.
    counts = [status.get("updatedReplicas", 0), status.get("replicas", 0)]
    counts.append(status.get("availableReplicas" if kind == "Deployment" else "readyReplicas", 0))
    if kind == "StatefulSet" and spec.get("updateStrategy", {}).get("type") == "OnDelete":
        counts = counts[1:]
    done = seen and all(count == replicas for count in counts)
    return Workload(kind, metadata["name"], metadata.get("labels", {}), replicas, done)


def _pod(thing: Thing, now: datetime, sets: Mapping[str, tuple[str | None, bool]]) -> Pod:
    metadata, spec, status = thing["metadata"], thing["spec"], thing.get("status", {})
    containers = status.get("containerStatuses", ())
    state, why, hopeless = _state(status, spec)
    if metadata.get("deletionTimestamp"):
        state, hopeless = TERMINATING, False
    other = _owner(thing, "StatefulSet") or _owner(thing, "Job")
    workload, is_current = sets.get(_owner(thing, "ReplicaSet") or "", (other, True))
    return Pod(
        metadata["name"],
        sum(bool(each.get("ready")) for each in containers),
        len(spec["containers"]),
        state,
        sum(each.get("restartCount", 0) for each in containers),
        (now - datetime.fromisoformat(metadata["creationTimestamp"])).total_seconds(),
        why,
        # What is on its way out may be as broken as it likes: it is why something new comes.
        hopeless and is_current,
        workload,
    )


def _state(status: Thing, spec: Thing) -> tuple[str, str, bool]:
    """Return a pod's state in a word, what is wrong in some more, and whether waiting is in vain."""
    before = status.get("initContainerStatuses", ())
    for number, container in enumerate(before):
        state = container.get("state", {})
        if state.get("terminated", {}).get("exitCode") == 0:
            continue
        if "waiting" in state and state["waiting"].get("reason") != "PodInitializing":
            word, why, hopeless = _waiting(container)
            return f"Init:{word}", why, hopeless
        if "terminated" in state:
            return "Init:Error", f"exit code {state['terminated'].get('exitCode')}", False
        return f"Init:{number}/{len(spec.get('initContainers', before))}", "", False
    for container in status.get("containerStatuses", ()):
        if "waiting" in container.get("state", {}):
            return _waiting(container)
        if ended := container.get("state", {}).get("terminated"):
            code = ended.get("exitCode")
            reason = str(ended.get("reason") or ("Completed" if code == 0 else "Error"))
            return reason, "" if code == 0 else f"exit code {code}", False
    for condition in status.get("conditions", ()):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return str(status.get("phase", "Pending")), str(condition.get("message", "no node takes it")), False
    return str(status.get("reason") or status.get("phase", "Unknown")), "", False


def _waiting(container: Thing) -> tuple[str, str, bool]:
    waiting = container["state"]["waiting"]
    reason = str(waiting.get("reason", "Waiting"))
    restarts = container.get("restartCount", 0)
    if reason == "CrashLoopBackOff":
        ended = container.get("lastState", {}).get("terminated", {})
        code = f", exit code {ended['exitCode']}" if "exitCode" in ended else ""
        return reason, f"it ended {restarts} times{code}", restarts >= _RESTARTS_MAX
    return reason, str(waiting.get("message", "")), reason in _HOPELESS
