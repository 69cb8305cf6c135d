"""The manifests in k8s/: what a cluster takes, what each process is told, and who may talk to whom."""

import functools
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from cli.kubernetes.manifests import STEP
from contracts.topics import PARTITIONS
from gateway.settings import GatewayHttpSettings
from infra.deployment.containers import DEPLOYED, PROCESSES, SECRETS_FOLDER, complete, files_by_owner
from infra.deployment.recipes import COMMANDS, STEPS, Recipes
from infra.deployment.secrets import Secrets
from infra.kafka.broker import GRACEFUL_TIMEOUT_S
from tests.builders import manifests
from tests.builders.known_settings import known_settings
from tests.builders.manifests import Thing, build, chosen, each_container, of_kind, pods, settings_of, things_in

K8S = Path(__file__).parents[2] / "k8s"
#: The oldest version that `k8s` takes, and the newest there are schemas of.
VERSIONS = ("1.27", kubernetes_validate.latest_version())
SERVERS = ("kafka", "user-db", "tx-db", "redis")
NAME = "app.kubernetes.io/name"
BULK = ("-m", "consumers.ledger", "--topics", "bulk")
INTERACTIVE = ("-m", "consumers.ledger", "--topics", "interactive")
#: What a system elsewhere is told besides, because its servers and its ingress are somebody's.
ELSEWHERE = {
    "CASH_KAFKA_REPLICATION_FACTOR",
    "CASH_SMTP_SECURITY",
    "CASH_SMTP_USERNAME",
    "CASH_GATEWAY_TRUSTED_PROXIES",
}
# A step's container, its secret and its settings have the step's name; a process's container is called `process`.
_IN_A_PROCESS = "process"


@functools.cache
def overlay(name: str) -> list[Thing]:
    return build(K8S / "overlays" / name)


@functools.cache
def secrets() -> Secrets:
    return complete({}, key_id="test-1")


@functools.cache
def recipes() -> Recipes:
    return Recipes(secrets(), DEPLOYED)


def programs(things: list[Thing]) -> Iterator[tuple[str, Thing, Thing, Thing]]:
    """Yield each container that runs our image: whose it is, its workload, its pod and itself."""
    for workload, template in pods(things):
        for container in each_container(template):
            if container["image"] == "cash-flow":
                name = workload["metadata"]["name"] if container["name"] == _IN_A_PROCESS else container["name"]
                yield name, workload, template, container


def programs_settings(things: list[Thing]) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield what each container that runs our image is told."""
    config = of_kind(things, "ConfigMap")
    for name, _, _, container in programs(things):
        yield name, settings_of(container, config)


def chosen_by(selector: Thing, things: list[Thing]) -> set[str]:
    """Return the names of the pods that a selector means."""
    labels = [template["metadata"]["labels"] for _, template in pods(things)]
    return {each[NAME] for each in labels if chosen(each)(selector)}


def recipe_of(name: str) -> str:
    return "operator" if name == "backup" else name


both = pytest.mark.parametrize("name", ["minikube", "production"])


@pytest.fixture
def things(name: str) -> list[Thing]:
    return overlay(name)


# --- what a cluster takes ---------------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("version", VERSIONS)
def test_a_strict_cluster_takes_each_manifest(
    things: list[Thing], version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It reads the schemas anew for each manifest otherwise, a megabyte each time.
    read = functools.cache(kubernetes_validate.utils.schema_contents)
    monkeypatch.setattr(kubernetes_validate.utils, "schema_contents", read)

    for thing in things:
        kubernetes_validate.validate(thing, version, strict=True)


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="there is no kubectl on this machine")
@both
def test_kustomize_builds_what_these_tests_look_at(name: str, things: list[Thing]) -> None:
    words = ["kubectl", "kustomize", str(K8S / "overlays" / name)]
    printed = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    generated = "|".join(of_kind(things, "ConfigMap"))

    def comparable(value: Any, field: str = "") -> Any:
        if isinstance(value, dict):
            return {key: comparable(each, key) for key, each in value.items()}
        if isinstance(value, list):
            compared = [comparable(each) for each in value]
            return (
                sorted(compared, key=functools.partial(json.dumps, sort_keys=True))
                if field in manifests.KEYS
                else compared
            )
        return re.sub(rf"^({generated})-[a-z0-9]{{10}}$", r"\1", value) if isinstance(value, str) else value

    def by_name(found: list[Thing]) -> dict[tuple[str, str], Any]:
        return {(each["kind"], each["metadata"]["name"]): each for each in comparable(found)}

    assert by_name(list(yaml.safe_load_all(printed))) == by_name(things)


def test_watching_takes_every_rule_and_dashboard_and_changes_pods_by_a_label_and_a_setting_only() -> None:
    components = [K8S / "components" / name for name in ("observability", "traces")]
    things, without = build(K8S / "overlays" / "minikube", *components), overlay("minikube")
    config = of_kind(things, "ConfigMap")
    for name, folder in (("prometheus-rules", "prometheus/rules"), ("grafana-dashboards", "grafana/dashboards")):
        there = {file.name: file.read_text() for file in (K8S.parent / "infra" / "observability" / folder).iterdir()}
        assert config[name]["data"] == there
    told, told_without = dict(programs_settings(things)), dict(programs_settings(without))
    for process in PROCESSES:
        assert told[process].keys() - told_without[process].keys() == {"CASH_TRACES_ENDPOINT"}
        template = of_kind(things, "Deployment")[process]["spec"]["template"]
        assert template["metadata"]["annotations"]["prometheus.io/port"] == "8000"
    for policy in of_kind(things, "NetworkPolicy").keys() - of_kind(without, "NetworkPolicy").keys():
        means = chosen_by(of_kind(things, "NetworkPolicy")[policy]["spec"]["podSelector"], things)
        assert means == set(PROCESSES), policy


def test_every_file_of_manifests_is_in_an_overlay() -> None:
    read: set[Path] = set()

    def follow(folder: Path) -> None:
        told = yaml.safe_load((folder / "kustomization.yaml").read_text())
        read.add((folder / "kustomization.yaml").resolve())
        for name in (
            *told.get("resources", ()),
            *told.get("components", ()),
            *(p["path"] for p in told.get("patches", ())),
        ):
            path = (folder / name).resolve()
            if path.is_dir():
                follow(path)
            else:
                read.add(path)

    for folder in ("overlays/minikube", "overlays/production", "components/observability", "components/traces"):
        follow(K8S / folder)
    # An example is for people; a wrong one would be worse than none.
    examples = set(K8S.rglob("*.example.yaml"))
    assert set(K8S.rglob("*.yaml")) - examples == {path for path in read if path.is_relative_to(K8S)}
    assert all(things_in(path) for path in examples)


# --- what a pod may do, and what is asked of it -----------------------------------------------------------------------


@both
def test_no_pod_may_do_what_the_restricted_standard_forbids(things: list[Thing]) -> None:
    (namespace,) = of_kind(things, "Namespace").values()
    modes = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn", "audit")}
    assert modes.items() <= namespace["metadata"]["labels"].items()
    accounts = of_kind(things, "ServiceAccount")
    assert not any(account["automountServiceAccountToken"] for account in accounts.values())
    for workload, template in pods(things):
        told = template["spec"]
        assert told["serviceAccountName"] in accounts, workload["metadata"]["name"]
        assert told["automountServiceAccountToken"] is False
        assert told["enableServiceLinks"] is False
        security = told["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security["runAsUser"] == security["runAsGroup"] == security["fsGroup"] != 0
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in each_container(template):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["requests"].keys() == {"cpu", "memory", "ephemeral-storage"}
            assert container["resources"]["limits"].keys() == {"memory", "ephemeral-storage"}
            ours = container["image"] == "cash-flow"
            assert ours or re.search(r":v?\d", container["image"]), "a tag that moves is another program each day"
        secret = [volume["secret"] for volume in told["volumes"] if "secret" in volume]
        # The owner (root) and the pod's group; whoever made 440 of 0440 would have made it 0670.
        assert all(each["defaultMode"] == 0o440 for each in secret)


@both
def test_each_workload_that_lasts_is_probed_and_each_process_can_be_moved(things: list[Thing]) -> None:
    budgets = of_kind(things, "PodDisruptionBudget")
    for workload, template in pods(things):
        if workload["kind"] not in ("Deployment", "StatefulSet"):
            continue
        name, labels = workload["metadata"]["name"], template["metadata"]["labels"]
        (container,) = template["spec"]["containers"]
        ports = {port["name"] for port in container["ports"]}
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            asked = container[probe].get("httpGet") or container[probe].get("tcpSocket")
            assert asked is None or asked["port"] in ports, (name, probe)
        assert workload["spec"]["selector"]["matchLabels"] == {NAME: name} == {NAME: labels[NAME]}
        if name not in PROCESSES:
            continue
        paths = {probe: container[probe]["httpGet"]["path"] for probe in ("readinessProbe", "livenessProbe")}
        assert paths == {"readinessProbe": "/health/ready", "livenessProbe": "/health/live"}
        assert [budget for budget in budgets.values() if chosen(labels)(budget["spec"]["selector"])] == [budgets[name]]
        (spread,) = template["spec"]["topologySpreadConstraints"]
        assert spread["labelSelector"] == workload["spec"]["selector"]


@both
def test_an_update_takes_nobody_away_before_the_next_one_is_ready(things: list[Thing]) -> None:
    deployments = of_kind(things, "Deployment")
    assert set(PROCESSES) <= deployments.keys()
    for name in PROCESSES:
        told = deployments[name]["spec"]
        if name == "celery-beat":
            assert told["strategy"] == {"type": "Recreate"}
            assert told["replicas"] == 1
            continue
        assert told["strategy"] == {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}, name
        assert told["minReadySeconds"] > 0
    autoscaler = of_kind(things, "HorizontalPodAutoscaler")["gateway"]["spec"]
    assert autoscaler["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "gateway"}
    assert "replicas" not in deployments["gateway"]["spec"], "an update would put the autoscaler's number back"
    assert autoscaler["minReplicas"] >= 2


@both
def test_whoever_is_told_to_stop_is_given_the_time_it_takes(things: list[Thing]) -> None:
    deployments = of_kind(things, "Deployment")

    def patience(process: str) -> int:
        seconds: int = deployments[process]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
        return seconds

    http = GatewayHttpSettings()
    drain_s = float(recipes().of("gateway").get("CASH_GATEWAY_DRAIN_S", 0))
    assert patience("gateway") >= drain_s + http.shutdown_s + 5
    for consumer in ("identity-consumer", "ledger-consumer", "ledger-consumer-bulk"):
        assert patience(consumer) >= GRACEFUL_TIMEOUT_S + 5
    assert all(patience(process) >= 20 for process in PROCESSES)


@both
def test_no_topic_has_fewer_partitions_than_it_has_consumers(things: list[Thing]) -> None:
    deployments = of_kind(things, "Deployment")
    for consumer in ("identity-consumer", "ledger-consumer", "ledger-consumer-bulk"):
        assert deployments[consumer]["spec"]["replicas"] <= PARTITIONS


@both
def test_services_lead_to_ports_and_everything_is_in_the_order_in_which_it_is_applied(things: list[Thing]) -> None:
    known = {template["metadata"]["labels"][NAME]: template for _, template in pods(things)}
    for name, service in of_kind(things, "Service").items():
        (meant,) = [
            each
            for each in known.values()
            if chosen(each["metadata"]["labels"])({"matchLabels": service["spec"]["selector"]})
        ]
        ports = {port["name"] for container in meant["spec"]["containers"] for port in container["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports, name
    assert of_kind(things, "Service")["gateway"]["spec"]["ports"][0]["port"] == 80
    steps = {(each["kind"], each["metadata"]["name"]): each["metadata"].get("labels", {}).get(STEP) for each in things}
    for (kind, name), step in steps.items():
        is_process = kind == "Deployment" and name in PROCESSES
        wanted = {"Job": "migration", "CronJob": "operating"}.get(kind, "process" if is_process else None)
        assert step == wanted, (kind, name)


# --- what each process is told ----------------------------------------------------------------------------------------


@both
def test_each_container_runs_one_of_our_commands(things: list[Thing]) -> None:
    lasting = [each for each in programs(things) if each[1]["kind"] != "CronJob"]
    run = {name: tuple(container["args"]) for name, _, _, container in lasting}

    assert run == {
        **{process: tuple(words) for process, words in {**COMMANDS, **STEPS}.items()},
        "ledger-consumer": INTERACTIVE,
        "ledger-consumer-bulk": BULK,
    }
    assert all(container["command"] == ["python"] for _, _, _, container in lasting)


def test_here_each_is_told_what_its_recipe_says() -> None:
    things = overlay("minikube")
    config = of_kind(things, "ConfigMap")
    for name, _, _, container in programs(things):
        told, recipe = settings_of(container, config), recipes().plain_of(recipe_of(name))
        # A backup needs a part of what an operator is told.
        assert told.items() <= recipe.items() if name == "backup" else told == recipe, name


def test_elsewhere_each_is_told_the_same_settings_with_other_values() -> None:
    things = overlay("production")
    config = of_kind(things, "ConfigMap")
    for name, _, _, container in programs(things):
        told = settings_of(container, config)
        here = dict(programs_settings(overlay("minikube")))[name]
        assert told.keys() - ELSEWHERE == here.keys(), name
        assert not {value for value in told.values() if value in SERVERS}, name
        assert told.get("CASH_KAFKA_SECURITY_PROTOCOL", "SASL_SSL") == "SASL_SSL"
        assert all(value == "verify-full" for setting, value in told.items() if setting.endswith("_SSLMODE"))
        assert told.get("CASH_REDIS_TLS", "true") == "true"


@both
def test_each_setting_is_one_that_is_read_and_may_have_its_value(things: list[Thing]) -> None:
    known = known_settings()
    config = of_kind(things, "ConfigMap")
    for name, _, _, container in programs(things):
        for setting, value in settings_of(container, config).items():
            assert setting in known, (name, setting)
            known[setting].validate_python(value)


@both
def test_each_is_given_its_own_secrets_as_files_and_nobody_is_given_all(things: list[Thing]) -> None:
    made = files_by_owner(secrets())
    for name, _, template, container in programs(things):
        mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
        mount = mounts[str(SECRETS_FOLDER)]
        assert mount["readOnly"] is True
        volumes = {volume["name"]: volume for volume in template["spec"]["volumes"]}
        owner = volumes[mount["name"]]["secret"]["secretName"]
        assert owner == {"ledger-consumer-bulk": "ledger-consumer"}.get(name, recipe_of(name))
        assert recipes().secrets_of(recipe_of(name)).keys() <= made[owner].keys()
        told = json.dumps([container.get("env"), container.get("envFrom")])
        assert "secret" not in told.lower(), f"{name} has a secret in its environment"
    given = {
        volume["secret"]["secretName"]
        for _, template in pods(things)
        for volume in template["spec"]["volumes"]
        if "secret" in volume
    }
    assert given <= made.keys() - {"generated"}


# --- who may talk to whom ---------------------------------------------------------------------------------------------


def needed_edges() -> set[tuple[str, str, int]]:
    """Return what the settings say: who has to reach which server at which port."""
    edges = set()
    config = of_kind(overlay("minikube"), "ConfigMap")
    for _, workload, _, container in programs(overlay("minikube")):
        told, pod = settings_of(container, config), workload["metadata"]["name"]
        for setting, value in told.items():
            if setting == "CASH_KAFKA_BOOTSTRAP_SERVERS":
                host, _, port = value.partition(":")
                edges.add((pod, host, int(port)))
            elif setting.endswith("_HOST") and setting != "CASH_HTTP_HOST":
                edges.add((pod, value, int(told[setting.removesuffix("HOST") + "PORT"])))
    return edges


def allowed_edges(things: list[Thing]) -> set[tuple[str, str, int]]:
    """Return who may reach whom at which port: both sides' policies have to say so."""
    policies = list(of_kind(things, "NetworkPolicy").values())
    all_pods = {template["metadata"]["labels"][NAME]: template for _, template in pods(things)}
    edges = set()
    for source, sending in all_pods.items():
        for target, receiving in all_pods.items():
            out = ports_let_through(policies, "Egress", sending, receiving)
            edges |= {
                (source, target, port) for port in out & ports_let_through(policies, "Ingress", receiving, sending)
            }
    return edges


def ports_let_through(policies: list[Thing], direction: str, own: Thing, other: Thing) -> set[int]:
    means_own, means_other = chosen(own["metadata"]["labels"]), chosen(other["metadata"]["labels"])
    peers = "to" if direction == "Egress" else "from"
    let_through = set()
    for policy in policies:
        told = policy["spec"]
        if direction in told["policyTypes"] and means_own(told["podSelector"]):
            for rule in told.get(direction.lower(), ()):
                if peers not in rule or any(
                    each.keys() == {"podSelector"} and means_other(each["podSelector"]) for each in rule[peers]
                ):
                    let_through |= {port["port"] for port in rule["ports"]}
    return let_through


def test_the_edges_that_are_needed_are_open_and_no_others() -> None:
    things = overlay("minikube")
    deny = of_kind(things, "NetworkPolicy")["default-deny"]["spec"]
    assert deny == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}

    assert allowed_edges(things) == needed_edges()


def test_elsewhere_each_policy_leads_to_the_port_that_its_clients_are_told() -> None:
    things = overlay("production")
    config = of_kind(things, "ConfigMap")
    policies = of_kind(things, "NetworkPolicy")
    for server in ("kafka", "users-db", "ledger-db", "redis", "smtp"):
        told = config[server]["data"]
        port = next(value for name, value in told.items() if name.endswith(("_PORT", "_BOOTSTRAP_SERVERS")))
        (rule,) = policies[f"to-{server}"]["spec"]["egress"]
        assert [each["port"] for each in rule["ports"]] == [int(port.rpartition(":")[2])]
        assert all(each.keys() == {"ipBlock"} for each in rule["to"])


@both
def test_only_the_clusters_dns_is_asked_for_names(things: list[Thing]) -> None:
    (rule,) = of_kind(things, "NetworkPolicy")["to-dns"]["spec"]["egress"]
    assert {(port["protocol"], port["port"]) for port in rule["ports"]} == {("UDP", 53), ("TCP", 53)}
    (peer,) = rule["to"]
    assert peer["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "kube-system"}
    assert peer["podSelector"]["matchLabels"] == {"k8s-app": "kube-dns"}


def test_the_drawing_shows_the_edges() -> None:
    readme = (K8S / "README.md").read_text()
    (drawing,) = re.findall(r"```mermaid\n(.*?)```", readme, re.DOTALL)
    drawn = {
        (source, target, int(port))
        for source, port, target in re.findall(r"^ *([\w-]+)(?:\[.*?\])? -->\|(\d+)\| ([\w-]+)", drawing, re.MULTILINE)
    }

    inside = {edge for edge in drawn if edge[0] != "ingress"}
    assert inside == allowed_edges(overlay("minikube"))
    assert drawn - inside == {("ingress", "gateway", 8000)}
