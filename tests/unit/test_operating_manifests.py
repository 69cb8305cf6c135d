"""The components for whoever operates a cluster: pods to type commands in, and the nightly backup."""

from collections.abc import Iterator
from pathlib import Path

import kubernetes_validate
import pytest

from infra.deployment.containers import DEPLOYED, SECRETS_FOLDER, complete
from infra.deployment.recipes import Recipes
from tests.builders.manifests import Thing, build, of_kind, settings_of

K8S = Path(__file__).parents[2] / "k8s"
COMPONENTS = [K8S / "components" / name for name in ("operating", "backup")]
#: What the pod of a rebuild is told besides, in the same ConfigMap: the other database's server.
BESIDES = {"rebuild": "CASH_USERS_POSTGRES_"}
RECIPES = {"operator": "operator", "restore": "restore", "rebuild": "rebuild", "backup": "operator"}


@pytest.fixture(scope="module")
def things() -> list[Thing]:
    return build(K8S / "overlays" / "minikube", *COMPONENTS)


def jobs(things: list[Thing]) -> Iterator[tuple[str, Thing, Thing]]:
    """Yield each CronJob's name, its template of a pod, and the one container in that."""
    for name, job in of_kind(things, "CronJob").items():
        template = job["spec"]["jobTemplate"]["spec"]["template"]
        (container,) = template["spec"]["containers"]
        yield name, template, container


def test_a_strict_cluster_takes_them(things: list[Thing]) -> None:
    taken = [thing for thing in things if thing["kind"] in ("CronJob", "PersistentVolumeClaim")]

    assert {thing["metadata"]["name"] for thing in taken} == {*RECIPES, "backups"}
    for thing in taken:
        kubernetes_validate.validate(thing, kubernetes_validate.latest_version(), strict=True)


def test_each_is_told_what_its_recipe_says_and_given_no_other_secret(things: list[Thing]) -> None:
    recipes, config = Recipes(complete({}, "test-1"), DEPLOYED), of_kind(things, "ConfigMap")

    for name, template, container in jobs(things):
        told = settings_of(container, config)
        besides = {key for key in told if name in BESIDES and key.startswith(BESIDES[name])}
        expected = recipes.plain_of(RECIPES[name])
        if name == "backup":
            expected = {key: value for key, value in expected.items() if not key.startswith("CASH_REDIS")}
        assert {key: value for key, value in told.items() if key not in besides} == expected, name
        secrets = [volume["secret"] for volume in template["spec"]["volumes"] if "secret" in volume]
        assert secrets == [{"secretName": RECIPES[name], "defaultMode": 0o440}]
        assert {"name": "secrets", "mountPath": str(SECRETS_FOLDER), "readOnly": True} in container["volumeMounts"]


def test_each_may_reach_the_servers_it_is_told_of(things: list[Thing]) -> None:
    config = of_kind(things, "ConfigMap")
    servers = {
        "CASH_KAFKA_BOOTSTRAP_SERVERS": "cash-flow/to-kafka",
        "CASH_USERS_DB_HOST": "cash-flow/to-users-db",
        "CASH_LEDGER_DB_HOST": "cash-flow/to-ledger-db",
        "CASH_LEDGER_POSTGRES_HOST": "cash-flow/to-ledger-db",
        "CASH_REDIS_HOST": "cash-flow/to-redis",
    }
    for name, template, container in jobs(things):
        labels = {label for label in template["metadata"]["labels"] if label.startswith("cash-flow/to-")}
        told = settings_of(container, config)
        assert labels == {label for setting, label in servers.items() if setting in told}, name


def test_none_may_do_what_the_restricted_standard_forbids(things: list[Thing]) -> None:
    accounts = of_kind(things, "ServiceAccount")
    for _, template, container in jobs(things):
        told = template["spec"]
        assert not accounts[told["serviceAccountName"]]["automountServiceAccountToken"]
        assert told["automountServiceAccountToken"] is told["enableServiceLinks"] is False
        assert told["securityContext"]["runAsNonRoot"] is True
        assert told["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_only_the_backup_runs_by_itself(things: list[Thing]) -> None:
    suspended = {name: job["spec"].get("suspend", False) for name, job in of_kind(things, "CronJob").items()}

    assert suspended == {"operator": True, "restore": True, "rebuild": True, "backup": False}
