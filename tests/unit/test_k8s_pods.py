"""Pods as the cluster tells of them: their state in a word, and whether waiting for them is in vain."""

from typing import Any, cast

import pytest

from cli.kubernetes.kubectl import Kubectl
from cli.kubernetes.pods import Namespace, duration, look

REVISION = "deployment.kubernetes.io/revision"


class Cluster:
    """Answers with what it was given."""

    def __init__(self, *items: dict[str, Any]) -> None:
        self.items = items

    def get(self, *_: str) -> dict[str, Any]:
        return {"items": list(self.items)}


def seen(*items: dict[str, Any]) -> Namespace:
    return look(cast(Kubectl, Cluster(*items)))


def a_pod(status: dict[str, Any], owner: str = "", **metadata: Any) -> dict[str, Any]:
    told = {"name": "gateway-1", "creationTimestamp": "2026-01-01T00:00:00Z", **metadata}
    if owner:
        told["ownerReferences"] = [{"kind": "ReplicaSet", "name": owner}]
    return {"kind": "Pod", "metadata": told, "spec": {"containers": [{}, {}], "initContainers": [{}]}, "status": status}


def containers(*states: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
    return [{"state": state, "ready": "running" in state, "restartCount": 0, **more} for state in states]


RUNNING: dict[str, Any] = {"running": {}}
ENDED = {"terminated": {"exitCode": 0, "reason": "Completed"}}


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {"waiting": {"reason": reason, "message": message}}


@pytest.mark.parametrize(
    ("status", "word", "why", "hopeless"),
    [
        ({"phase": "Running", "containerStatuses": containers(RUNNING, RUNNING)}, "Running", "", False),
        ({"phase": "Pending"}, "Pending", "", False),
        ({"phase": "Failed", "reason": "Evicted"}, "Evicted", "", False),
        ({"phase": "Succeeded", "containerStatuses": containers(ENDED)}, "Completed", "", False),
        (
            {"phase": "Failed", "containerStatuses": containers({"terminated": {"exitCode": 3}})},
            "Error",
            "exit code 3",
            False,
        ),
        (
            {"phase": "Pending", "containerStatuses": containers(waiting("ErrImagePull", "not found"))},
            "ErrImagePull",
            "not found",
            False,
        ),
        (
            {"phase": "Pending", "containerStatuses": containers(waiting("ImagePullBackOff", "back-off"))},
            "ImagePullBackOff",
            "back-off",
            True,
        ),
        (
            {"phase": "Running", "containerStatuses": containers(waiting("CrashLoopBackOff"), restartCount=2)},
            "CrashLoopBackOff",
            "it ended 2 times",
            False,
        ),
        (
            {
                "phase": "Running",
                "containerStatuses": containers(
                    waiting("CrashLoopBackOff"), restartCount=3, lastState={"terminated": {"exitCode": 1}}
                ),
            },
            "CrashLoopBackOff",
            "it ended 3 times, exit code 1",
            True,
        ),
        ({"phase": "Pending", "initContainerStatuses": containers(RUNNING)}, "Init:0/1", "", False),
        (
            {"phase": "Pending", "initContainerStatuses": containers(waiting("ImagePullBackOff", "no"))},
            "Init:ImagePullBackOff",
            "no",
            True,
        ),
        (
            {
                "phase": "Pending",
                "initContainerStatuses": containers(ENDED),
                "containerStatuses": containers(waiting("PodInitializing")),
            },
            "PodInitializing",
            "",
            False,
        ),
        (
            {
                "phase": "Pending",
                "conditions": [{"type": "PodScheduled", "status": "False", "message": "0/1 nodes have enough memory"}],
            },
            "Pending",
            "0/1 nodes have enough memory",
            False,
        ),
    ],
)
def test_a_pods_state_is_a_word_and_a_reason(status: dict[str, Any], word: str, why: str, hopeless: bool) -> None:
    (pod,) = seen(a_pod(status)).pods

    assert (pod.status, pod.why, pod.hopeless, pod.containers) == (word, why, hopeless, 2)


@pytest.mark.parametrize(("revision", "hopeless"), [("2", True), ("1", False)])
def test_a_broken_pod_counts_only_where_it_is_of_the_kind_that_is_wanted_now(revision: str, hopeless: bool) -> None:
    deployment = {"kind": "Deployment", "metadata": {"name": "gateway", "annotations": {REVISION: "2"}}, "spec": {}}
    owner = [{"kind": "Deployment", "name": "gateway"}]
    metadata = {"name": "gateway-x", "annotations": {REVISION: revision}, "ownerReferences": owner}
    pod = a_pod({"containerStatuses": containers(waiting("ImagePullBackOff"))}, owner="gateway-x")

    (found,) = seen(deployment, {"kind": "ReplicaSet", "metadata": metadata}, pod).pods

    assert (found.workload, found.hopeless) == ("gateway", hopeless)


def test_a_pod_that_is_told_to_stop_is_not_hopeless() -> None:
    status = {"containerStatuses": containers(waiting("ImagePullBackOff"))}
    (pod,) = seen(a_pod(status, deletionTimestamp="2026-01-01T00:00:00Z")).pods

    assert (pod.status, pod.hopeless) == ("Terminating", False)


@pytest.mark.parametrize(("owner", "waited_for"), [(None, ["backup"]), ("CronJob", [])])
def test_what_a_clock_started_is_nothing_that_the_system_waits_for(owner: str | None, waited_for: list[str]) -> None:
    owners = [{"kind": owner, "name": "backup"}] if owner else []
    job = {"kind": "Job", "metadata": {"name": "backup", "ownerReferences": owners}, "spec": {}}

    assert [each.name for each in seen(job).workloads] == waited_for


@pytest.mark.parametrize(
    ("status", "done"),
    [
        ({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}, True),
        ({"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}, False),
        ({"observedGeneration": 2, "replicas": 3, "updatedReplicas": 2, "availableReplicas": 2}, False),
        ({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 1, "availableReplicas": 2}, False),
        ({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 1}, False),
        ({}, False),
    ],
)
def test_a_deployment_is_done_when_all_its_pods_are_new_and_can_be_used(status: dict[str, int], done: bool) -> None:
    metadata = {"name": "gateway", "generation": 2}
    (found,) = seen({"kind": "Deployment", "metadata": metadata, "spec": {"replicas": 2}, "status": status}).workloads

    assert found.done is done


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0s"),
        (-5, "0s"),
        (119, "119s"),
        (120, "2m"),
        (349, "5m49s"),
        (3599, "59m"),
        (10_799, "179m"),
        (11_460, "3h11m"),
        (28_800, "8h"),
        (172_800, "2d"),
        (180_000, "2d2h"),
        (864_000, "10d"),
    ],
)
def test_an_age_is_said_as_kubectl_says_it(seconds: float, said: str) -> None:
    assert duration(seconds) == said
