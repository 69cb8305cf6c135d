"""`k8s` against a cluster that is not there: what it does in which order, and what it says when something is wrong."""

import base64
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.kubernetes import rollout
from cli.kubernetes.manifests import STEP
from cli.terminal.output import ExitCode
from infra.deployment.containers import CERTIFIED, PROCESSES
from infra.deployment.secrets import DEPLOYED_NAMES
from tests.builders.machines import Machine, a_machine, a_thing, is_alive
from tests.builders.terminal import WITHIN_S, Ended, Terminal

IMAGE = "docker.io/ann/cash-flow:1.2"


def a_manifest(kind: str, name: str, step: str | None = None, **spec: Any) -> dict[str, Any]:
    labels = {STEP: step} if step else {}
    template = {"spec": {"containers": [{"name": name, "image": "cash-flow"}]}}
    return {"kind": kind, "metadata": {"name": name, "labels": labels}, "spec": {"template": template, **spec}}


MANIFESTS = [
    a_manifest("StatefulSet", "kafka", replicas=1),
    a_manifest("Job", "migrate", "migration"),
    # An autoscaler says how many there are.
    a_manifest("Deployment", "gateway", "process"),
    a_manifest("Deployment", "relay", "process", replicas=1),
]
NAMESPACE = a_thing("Namespace", "cash-flow")


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollout, "_LOOK_EVERY_S", 0)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with a_machine(tmp_path) as made:
        yield made


@pytest.fixture
def overlay(tmp_path: Path) -> str:
    """An overlay with a base, as they are in the project."""
    for name, resources in (("base", ["all.json"]), ("over", ["../base"])):
        (tmp_path / "k8s" / name).mkdir(parents=True)
        (tmp_path / "k8s" / name / "kustomization.yaml").write_text(json.dumps({"resources": resources}))
    (tmp_path / "k8s" / "base" / "all.json").write_text(json.dumps(MANIFESTS))
    return str(tmp_path / "k8s" / "over")


@pytest.fixture
def terminal(machine: Machine, tmp_path: Path) -> Terminal:
    return Terminal({"PATH": str(machine.programs), "HOME": str(tmp_path), "CASH_CONFIG_HOME": str(tmp_path)})


def start(terminal: Terminal, overlay: str, *words: str) -> Ended:
    return terminal.k8s("start", "--overlay", overlay, "--image", IMAGE, *words)


def calls(machine: Machine) -> list[str]:
    """Every call of kubectl in the order in which they were made, without what is the same in all."""
    return [" ".join(call[2:]) for call in machine.cluster["calls"]]


def one_sentence(ended: Ended) -> str:
    (error,) = [line for line in ended.err.splitlines() if line.startswith("error: ")]
    return error


# --- start ------------------------------------------------------------------------------------------------------------


def test_everything_comes_up_in_order_and_it_says_how_to_reach_it(
    machine: Machine, terminal: Terminal, overlay: str
) -> None:
    machine.add_cluster()

    ended = start(terminal, overlay)

    assert ended.code == ExitCode.OK, ended.err
    made = [call for call in calls(machine) if call.startswith(("apply", "delete"))]
    assert "--filename=-" in made[0]
    steps = [call.partition("--selector=")[2] for call in made if "--selector" in call]
    assert steps == [
        f"!{STEP}",
        f"{STEP}=migration --ignore-not-found --wait=true",
        f"{STEP}=migration",
        f"{STEP} in (process, operating)",
    ]
    assert [line.split()[:3] for line in ended.out.splitlines()[:5]] == [
        ["NAME", "READY", "STATUS"],
        ["gateway-5fd84d4f95-cfqj0", "1/1", "Running"],
        ["kafka-0", "1/1", "Running"],
        ["migrate-x7k2p", "0/1", "Completed"],
        ["relay-5fd84d4f95-cfqj0", "1/1", "Running"],
    ]
    assert "k8s forward" in ended.out
    assert "cash test -e kube" in ended.out
    images = {
        each["spec"]["containers"][0]["image"] for key, each in machine.cluster["objects"].items() if "Pod/" in key
    }
    assert images == {IMAGE}


def test_secrets_are_made_once_for_each_process_and_travel_unseen(
    machine: Machine, terminal: Terminal, overlay: str
) -> None:
    machine.add_cluster()

    first = start(terminal, overlay)
    secrets = {key: each for key, each in machine.cluster["objects"].items() if key.startswith("Secret/")}
    again = start(terminal, overlay)

    assert {key: machine.cluster["objects"][key] for key in secrets} == secrets
    assert "Made passwords" in first.err
    assert "Made passwords" not in again.err
    generated = secrets["Secret/generated"]["data"]
    assert set(generated) >= set(DEPLOYED_NAMES)
    assert secrets.keys() >= {f"Secret/{owner}" for owner in (*PROCESSES, *CERTIFIED)} - {"Secret/ledger-consumer-bulk"}
    gateway = secrets["Secret/gateway"]["data"]
    assert gateway["CASH_KAFKA_SASL_PASSWORD"] == generated["KAFKA_GATEWAY_PASSWORD"]
    assert "CASH_KEY_CODE" not in gateway
    values = [base64.b64decode(value).decode() for value in generated.values()]
    told = json.dumps(machine.cluster["calls"]) + first.out + first.err
    assert not any(value in told for value in (*values, *generated.values()))
    assert "annotations" not in secrets["Secret/gateway"]["metadata"]


def test_whose_secrets_were_renewed_is_started_anew_and_nobody_else(
    machine: Machine, terminal: Terminal, overlay: str
) -> None:
    def states() -> dict[str, str]:
        return {
            key: each["spec"]["template"]["metadata"]["annotations"]["cash-flow/secrets"]
            for key, each in machine.cluster["objects"].items()
            if key in ("Deployment/gateway", "Deployment/relay", "StatefulSet/kafka")
        }

    machine.add_cluster()
    assert start(terminal, overlay).code == ExitCode.OK
    first = states()
    assert start(terminal, overlay).code == ExitCode.OK
    assert states() == first
    objects = machine.cluster["objects"]
    del objects["Secret/generated"]["data"]["KAFKA_RELAY_PASSWORD"]
    machine.change_cluster(objects=objects)

    assert start(terminal, overlay).code == ExitCode.OK

    assert {key for key, state in states().items() if state != first[key]} == {"Deployment/relay"}
    assert first["Deployment/gateway"] != first["StatefulSet/kafka"]


def test_data_without_the_secrets_it_was_made_with_is_not_given_new_ones(
    machine: Machine, terminal: Terminal, overlay: str
) -> None:
    machine.add_cluster(objects=NAMESPACE | a_thing("PersistentVolumeClaim", "user-db"))

    ended = start(terminal, overlay)

    assert "start over with `k8s destroy`" in one_sentence(ended)
    assert "Secret/generated" not in machine.cluster["objects"]


def test_secrets_from_elsewhere_are_left_alone(machine: Machine, terminal: Terminal, overlay: str) -> None:
    machine.add_cluster()

    assert start(terminal, overlay, "--no-secrets").code == ExitCode.OK
    assert not any(key.startswith("Secret/") for key in machine.cluster["objects"])


@pytest.mark.parametrize(
    ("behaviour", "sentence", "code"),
    [
        ({"gateway": "no-image"}, "will not start (ImagePullBackOff: Back-off pulling image", ExitCode.FAILED),
        (
            {"relay": "crash"},
            "relay-5fd84d4f95-cfqj0 will not start (CrashLoopBackOff: it ended 3 times)",
            ExitCode.FAILED,
        ),
        ({"kafka": "no-secret"}, "kafka-0 will not start (CreateContainerConfigError", ExitCode.FAILED),
        ({"migrate": "fail"}, "the job migrate failed; see `k8s logs migrate`", ExitCode.FAILED),
        ({"gateway": "slow"}, "not everything is ready after 1 s: gateway-5fd84d4f95-cfqj0 (Running)", 8),
        ({"kafka": "unschedulable"}, "kafka-0 (Pending: 0/1 nodes have it)", ExitCode.NOT_READY),
    ],
)
def test_what_does_not_come_up_is_said_as_soon_as_it_is_known(
    machine: Machine, terminal: Terminal, overlay: str, behaviour: dict[str, str], sentence: str, code: int
) -> None:
    (name,) = behaviour
    machine.add_cluster(
        behaviour=behaviour, logs={"migrate-x7k2p": ["one", "no such table"], "relay-5fd84d4f95-cfqj0": ["ouch"]}
    )

    ended = start(terminal, overlay, "--timeout", "1")

    assert sentence in one_sentence(ended)
    assert ended.code == code
    assert name in ended.out
    if behaviour.get("migrate"):
        assert "no such table" in ended.err
        assert "Deployment/gateway" not in machine.cluster["objects"]
    if behaviour.get("relay"):
        assert "ouch" in ended.err


def test_what_a_pod_waits_for_is_what_the_cluster_last_warned_of(
    machine: Machine, terminal: Terminal, overlay: str
) -> None:
    pod = {"name": "gateway-5fd84d4f95-cfqj0"}
    why = 'MountVolume.SetUp failed: secret "gateway" not found'
    events = a_thing("Event", "older", involvedObject=pod, message="no", lastTimestamp="2026-01-01T00:00:00Z")
    events |= a_thing("Event", "newer", involvedObject=pod, message=why, lastTimestamp="2026-01-01T00:00:09Z")
    machine.add_cluster(behaviour={"gateway": "creating"}, objects=events)

    ended = start(terminal, overlay, "--no-secrets", "--timeout", "1")

    assert f"gateway-5fd84d4f95-cfqj0 (ContainerCreating: {why})" in one_sentence(ended)
    assert ended.code == ExitCode.NOT_READY


def test_an_image_is_built_and_loaded_only_where_minikube_does_not_have_it(
    machine: Machine, terminal: Terminal, overlay: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.add_cluster()
    project, held, asked = tmp_path / "project", tmp_path / "held", tmp_path / "asked"
    (project / "infra").mkdir(parents=True)
    (project / "infra" / "Containerfile").write_text("FROM scratch")
    monkeypatch.setattr("infra.local.processes.PROJECT", project)
    machine.add("docker", f'echo "$@" >> {asked}')
    machine.add(
        "minikube",
        f'test "$1 $2 $3" = "--profile minikube image" || exit 1\n'
        'case "$4" in\n'
        f'ls) while read -r line; do echo "$line"; done < {held};;\n'
        f'load) echo "docker.io/library/$5" >> {held};;\n'
        "esac",
    )
    held.write_text("")

    first, again = (terminal.k8s("start", "--overlay", overlay) for _ in range(2))

    assert (first.code, again.code) == (ExitCode.OK, ExitCode.OK), first.err
    assert "Loading cash-flow:" in first.err
    assert "The cluster has cash-flow:" in again.err
    assert asked.read_text().count("buildx build") == 1
    assert len(held.read_text().splitlines()) == 1


def test_another_cluster_uses_an_image_its_nodes_have_or_says_how_to_give_it_one(
    machine: Machine, terminal: Terminal, overlay: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "project"
    (project / "infra").mkdir(parents=True)
    (project / "infra" / "Containerfile").write_text("FROM scratch")
    monkeypatch.setattr("infra.local.processes.PROJECT", project)
    machine.add("docker", "true")
    machine.add_cluster(
        context="home", servers={"home": "https://127.0.0.1:6443"}, objects=a_thing("Node", "one", status={})
    )

    ended = terminal.k8s("start", "--overlay", overlay)

    assert "only Minikube's can be given one" in one_sentence(ended)
    image = one_sentence(ended).split("no image ")[1].split(",")[0]
    node = a_thing("Node", "one", status={"images": [{"names": [f"docker.io/library/{image}"]}]})
    machine.change_cluster(objects=node)
    assert terminal.k8s("start", "--overlay", overlay).code == ExitCode.OK


def test_what_was_broken_before_does_not_keep_it_from_being_mended(
    machine: Machine, terminal: Terminal, overlay: str
) -> None:
    machine.add_cluster(behaviour={f"gateway {IMAGE}": "no-image"})
    assert start(terminal, overlay).code == ExitCode.FAILED

    assert start(terminal, overlay, "--image", "docker.io/ann/cash-flow:1.3").code == ExitCode.OK


# --- which cluster ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("context", "server", "is_meant"),
    [
        ("minikube", "https://192.168.49.2:8443", True),
        ("kind-test", "https://somewhere.example.org", True),
        ("home", "https://127.0.0.1:6443", True),
        ("home", "https://localhost:6443", True),
        ("prod", "https://10.20.30.40", False),
        ("prod", "https://cluster.example.org", False),
        ("minikube-prod", "https://1.2.3.4", False),
    ],
)
def test_nothing_is_changed_in_a_cluster_elsewhere_by_accident(
    machine: Machine, terminal: Terminal, overlay: str, context: str, server: str, is_meant: bool
) -> None:
    machine.add_cluster(context=context, servers={context: server}, objects=NAMESPACE)

    for words in (["start", "--overlay", overlay, "--image", IMAGE], ["stop"], ["destroy", "--yes"]):
        ended = terminal.k8s(*words)
        assert (ended.code == ExitCode.OK) is is_meant, ended.err
        if not is_meant:
            assert f"--context {context}" in one_sentence(ended)
    if not is_meant:
        assert not any(call.split()[0] in ("apply", "scale", "delete") for call in calls(machine))
        assert start(terminal, overlay, "--context", context).code == ExitCode.OK


@pytest.mark.parametrize(
    ("cluster", "words", "sentence", "code"),
    [
        (None, ["start"], "there is no kubectl on this machine", ExitCode.FAILED),
        ({"context": None}, ["start"], "kubectl has no cluster to talk to", ExitCode.UNREACHABLE),
        ({}, ["start", "--context", "other"], "kubectl has no cluster to talk to", ExitCode.UNREACHABLE),
        ({"error": "Unable to connect to the server: dial tcp: i/o timeout"}, ["start"], "minikube start", 3),
        ({"error": "Unable to connect to the server: dial tcp: i/o timeout"}, ["status"], "minikube start", 3),
        ({}, ["status"], "has no namespace cash-flow; start the system there with `k8s start`", ExitCode.NOT_READY),
        ({}, ["logs"], "has no namespace cash-flow", ExitCode.NOT_READY),
        ({}, ["forward"], "has no namespace cash-flow", ExitCode.NOT_READY),
        ({}, ["stop"], "has no namespace cash-flow", ExitCode.NOT_READY),
        ({}, ["migrate", "--image", IMAGE], "has no namespace cash-flow", ExitCode.NOT_READY),
        ({"objects": NAMESPACE}, ["status"], "nothing runs in the namespace", ExitCode.NOT_READY),
        ({"objects": NAMESPACE}, ["logs"], "there is no pod", ExitCode.NOT_FOUND),
        ({"objects": NAMESPACE}, ["forward"], "has no service gateway", ExitCode.NOT_READY),
    ],
)
def test_what_is_missing_is_one_sentence(
    machine: Machine,
    terminal: Terminal,
    overlay: str,
    cluster: dict[str, Any] | None,
    words: list[str],
    sentence: str,
    code: int,
) -> None:
    if cluster is not None:
        machine.add_cluster(**cluster)

    ended = terminal.k8s(*words, *(["--overlay", overlay] if words[0] in ("start", "migrate") else []))

    assert sentence in one_sentence(ended)
    assert ended.code == code


def test_an_overlay_that_is_not_there_is_said_first(machine: Machine, terminal: Terminal, tmp_path: Path) -> None:
    for name in ("nonsense", str(tmp_path / "none")):
        ended = terminal.k8s("start", "--overlay", name)
        assert "has no kustomization.yaml" in one_sentence(ended)
        assert ended.code == ExitCode.NOT_FOUND


# --- afterwards -------------------------------------------------------------------------------------------------------


@pytest.fixture
def started(machine: Machine, terminal: Terminal, overlay: str) -> Machine:
    machine.add_cluster(logs={"gateway-5fd84d4f95-cfqj0": ["one", '{"event": "two", "level": "info", "port": 8000}']})
    assert start(terminal, overlay).code == ExitCode.OK
    return machine


def test_status_is_the_table_of_pods_and_its_exit_code(started: Machine, terminal: Terminal) -> None:
    ended = terminal.k8s("status")
    assert ended.code == ExitCode.OK
    assert "gateway-5fd84d4f95-cfqj0  1/1    Running" in ended.out
    assert [pod["name"] for pod in terminal.k8s("status", "--json").json][1:3] == ["kafka-0", "migrate-x7k2p"]

    started.change_cluster(behaviour={"gateway": "slow"})
    ended = terminal.k8s("status")
    assert one_sentence(ended) == "error: not ready: gateway; see `k8s logs gateway`"
    assert ended.code == ExitCode.NOT_READY


def test_stop_stops_the_processes_first_and_start_brings_back_what_an_autoscaler_minds(
    started: Machine, terminal: Terminal, overlay: str
) -> None:
    assert "the data stays" in terminal.k8s("stop").out
    scaled = [call for call in calls(started) if call.startswith("scale")]
    assert [set(call.split()[2:]) for call in scaled] == [
        {"deployment/gateway", "deployment/relay"},
        {"statefulset/kafka"},
    ]
    assert "it is stopped" in one_sentence(terminal.k8s("status"))
    assert terminal.k8s("stop").out == "Nothing was running.\n"

    begun = len(calls(started))
    assert start(terminal, overlay).code == ExitCode.OK
    assert terminal.k8s("status").code == ExitCode.OK
    again = calls(started)[begun:]
    migrated = next(number for number, call in enumerate(again) if call.endswith("=migration"))
    assert again.index("scale --replicas=1 deployment/gateway") > migrated


def test_migrate_makes_the_job_anew(started: Machine, terminal: Terminal, overlay: str) -> None:
    before = started.cluster["objects"]["Pod/migrate-x7k2p"]["metadata"]

    ended = terminal.k8s("migrate", "--overlay", overlay, "--image", IMAGE)

    assert ended.code == ExitCode.OK, ended.err
    assert started.cluster["objects"]["Pod/migrate-x7k2p"]["status"]["phase"] == "Succeeded"
    assert sum(call.startswith("delete jobs") for call in calls(started)) == 2
    assert before["name"] == "migrate-x7k2p"


def test_destroy_asks_and_deletes_everything(started: Machine, terminal: Terminal) -> None:
    refused = terminal.k8s("destroy", lines="n\n")
    assert "nothing was deleted" in refused.err
    assert "Namespace/cash-flow" in started.cluster["objects"]

    ended = terminal.k8s("destroy", lines="y\n")
    assert "Deleted the namespace cash-flow of minikube" in ended.out
    assert not started.cluster["objects"]
    assert terminal.k8s("destroy", "--yes").out == "There is nothing to delete.\n"


def test_logs_have_the_pods_name_before_each_line(started: Machine, terminal: Terminal) -> None:
    ended = terminal.k8s("logs", "gateway", "-n", "1")

    assert ended.out == "gateway-5fd84d4f95-cfqj0 |  two port=8000\n"
    missing = terminal.k8s("logs", "nonsense")
    assert "whose name begins with 'nonsense'; there are: gateway-5fd84d4f95-cfqj0, kafka-0" in one_sentence(missing)
    assert missing.code == ExitCode.NOT_FOUND


def run_until(machine: Machine, words: list[str], sign: str, number: signal.Signals) -> tuple[int, str]:
    """Run a command until it prints a sign, send it a signal, and return its exit code and all it printed."""
    with subprocess.Popen(
        [sys.executable, "-m", "cli.kubernetes.main", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(Path(__file__).parents[2])},
    ) as process:
        assert process.stdout is not None
        printed = ""
        for line in process.stdout:
            printed += line
            if sign in line:
                break
        process.send_signal(number)
        printed += process.stdout.read()
        return process.wait(WITHIN_S), printed


def test_logs_are_followed_with_pods_that_come_until_ctrl_c(started: Machine) -> None:
    code, printed = run_until(started, ["logs", "-f"], "two", signal.SIGINT)

    assert code == 0, printed
    assert "gateway-5fd84d4f95-cfqj0 | one" in printed


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 128 + signal.SIGTERM)])
def test_forward_opens_ports_until_it_is_ended_and_leaves_no_kubectl(
    started: Machine, number: signal.Signals, code: int
) -> None:
    objects = started.cluster["objects"] | a_thing("Service", "gateway") | a_thing("Service", "mailpit")
    started.change_cluster(objects=objects, targets={"gateway": 1, "mailpit": 1})

    ended, printed = run_until(started, ["forward"], "Ctrl-C ends it", number)

    assert ended == code, printed
    assert "/api/v1" in printed
    assert "Mailbox" in printed
    children = started.cluster["forwards"]
    assert len(children) == 2
    assert not any(is_alive(child) for child in children)
