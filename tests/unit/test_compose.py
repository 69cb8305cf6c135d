"""The compose file: that Compose can read it, and that every service is told what its process reads, and no secret."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from infra.deployment.containers import DEPLOYED, GENERATED, PROCESSES, complete, files_by_owner
from infra.deployment.recipes import COMMANDS, STEPS, Recipes
from infra.deployment.secrets import Secrets
from infra.deployment.write_secrets import user_of
from infra.settings import SECRETS_FOLDER
from tests.builders.compose import ROOT, Service, read_compose, volumes_of
from tests.pages.services import PROCESSES as DESCRIBED

COMPOSE = read_compose()
SERVICES: Mapping[str, Service] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"].startswith("cash-flow")}
#: They run once and end.
ONCE = {"secrets", *STEPS, "operator", "restore", "rebuild"}
#: Who is what another service is, in larger numbers.
MORE = {"gateway-more": "gateway", "ledger-consumer-more": "ledger-consumer"}
#: What compose says otherwise than, or beyond, what all deployments have in common.
OWN = {
    "CASH_LOG_LEVEL",
    "CASH_LOG_FORMAT",
    "CASH_TRACES_ENDPOINT",
    "CASH_TRACES_SAMPLE_RATIO",
    "CASH_LIMITS_PER_NETWORK",
    "CASH_GATEWAY_TRUSTED_PROXIES",
}
FOLDER = "/run/secrets/cash-flow"


@pytest.fixture(scope="module")
def secrets() -> Secrets:
    return complete({}, "test")


def each(names: "Mapping[str, Service] | set[str]") -> pytest.MarkDecorator:
    return pytest.mark.parametrize("name", sorted(names))


def recipe_of(name: str) -> str:
    return MORE.get(name, name)


def told(name: str) -> dict[str, str]:
    settings: dict[str, str] = SERVICES[name].get("environment", {})
    return settings


def test_compose_can_read_it() -> None:
    schema = json.loads((ROOT / "tests" / "schemas" / "compose-spec.json").read_text("utf-8"))

    assert [error.message for error in Draft202012Validator(schema).iter_errors(COMPOSE)] == []


def test_every_process_and_step_has_a_service() -> None:
    assert {*PROCESSES, *STEPS} <= set(OURS)


# --- what a service is told -------------------------------------------------------------------------------------------


@each(OURS.keys() - {"secrets"})
def test_a_service_is_told_what_its_process_is_told_everywhere(name: str, secrets: Secrets) -> None:
    plain = Recipes(secrets, DEPLOYED).plain_of(recipe_of(name))

    assert {key: value for key, value in told(name).items() if key not in OWN - plain.keys()} == plain


@each(set(PROCESSES) | set(MORE))
def test_a_process_can_start_with_what_it_is_told_and_with_its_secrets(
    name: str, secrets: Secrets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file, content in Recipes(secrets, DEPLOYED).secrets_of(recipe_of(name)).items():
        (tmp_path / file).write_text(content)
    for setting, value in told(name).items():
        monkeypatch.setenv(setting, value)
    monkeypatch.setenv(SECRETS_FOLDER, str(tmp_path))
    described = recipe_of(name).removesuffix("-bulk")
    classes = next(service.settings for service in DESCRIBED if service.name == described)

    for settings in classes:
        settings()
    known = {
        f"{kind.model_config.get('env_prefix', '')}{field}".upper() for kind in classes for field in kind.model_fields
    }
    assert told(name).keys() <= known


@each(OURS)
def test_no_secret_is_in_the_file(name: str) -> None:
    assert not [key for key in told(name) if re.search("PASSWORD|SECRET|_KEY", key)]


@each({*COMMANDS, *STEPS, *MORE, "ledger-consumer-bulk"})
def test_a_service_runs_the_command_of_its_process(name: str) -> None:
    command = SERVICES[name]["command"]
    if name.startswith("ledger-consumer"):
        # The local stack has one process for both.
        assert command == ["python", "-m", "consumers.ledger", "--topics", "bulk" if "bulk" in name else "interactive"]
    else:
        assert command == ["python", *{**COMMANDS, **STEPS}[recipe_of(name)]]


# --- secrets ----------------------------------------------------------------------------------------------------------


def test_whoever_is_given_secrets_has_a_volume_that_nobody_else_mounts(secrets: Secrets) -> None:
    owners = files_by_owner(secrets)
    made = volumes_of(SERVICES["secrets"])

    for name, service in SERVICES.items():
        mounted = {place: volume for place, volume in volumes_of(service).items() if volume.startswith("secrets")}
        if name == "secrets":
            assert mounted.pop(f"/secrets/{GENERATED}") == "secrets"
            given = owners.keys() - {GENERATED}
            assert mounted == {
                f"/secrets/{owner}": f"secrets-{owner}" for owner in given if f"/secrets/{owner}" in made
            }
            continue
        owner = recipe_of(name).removesuffix("-bulk")
        assert mounted == ({f"{FOLDER}:ro": f"secrets-{owner}"} if owner in owners else {}), name
        assert owner not in owners or f"/secrets/{owner}" in made, name
        assert owner not in owners or service.get("user", "10001:10001").split(":")[0] == str(user_of(owner)), name


# --- what keeps a service from doing harm -----------------------------------------------------------------------------


@each(SERVICES)
def test_a_service_has_no_more_rights_than_it_needs(name: str) -> None:
    service = SERVICES[name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert ("cap_add" in service, service.get("user") == "0:0") == (name == "secrets", name == "secrets")
    assert not {"privileged", "pid", "ipc", "devices", "userns_mode"} & service.keys()


@each(SERVICES)
def test_a_service_takes_no_more_than_its_share(name: str) -> None:
    service = SERVICES[name]

    assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory", "pids"}
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}


@each(SERVICES)
def test_a_service_that_runs_on_has_a_health_check_and_comes_back(name: str) -> None:
    service = SERVICES[name]
    if name in ONCE:
        assert service["restart"] == "no"
        assert service["healthcheck"] == {"disable": True}
    else:
        assert service["restart"] == "unless-stopped"
        # Ours is in the image, see infra/Containerfile.
        assert ("healthcheck" in service) == (name not in OURS)


@each(SERVICES)
def test_an_image_is_pinned_and_ours_is_built_here(name: str) -> None:
    image = SERVICES[name]["image"]

    assert re.fullmatch(r"[a-z0-9./-]+:[\w.-]+", image)
    assert not image.endswith(":latest")
    assert ("build" in SERVICES[name]) == (name == "secrets")


@each(SERVICES)
def test_a_published_port_is_this_machines_alone(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", ()))


def test_networks_keep_apart_who_has_nothing_to_do_with_each_other() -> None:
    def networks(name: str) -> set[str]:
        return set(SERVICES[name].get("networks", ()))

    assert COMPOSE["networks"]["data"]["internal"] is True
    assert networks("mailpit") == {"mail"}
    assert {name for name in SERVICES if "mail" in networks(name)} == {"mailpit", "celery-worker"}
    for server in ("kafka", "redis", "user-db", "tx-db"):
        assert networks(server) == {"data"}
    assert SERVICES["secrets"]["network_mode"] == "none"
    assert {name for name in SERVICES if "proxy" in networks(name)} == {"proxy", "gateway", "gateway-more"}
    # What is published on a network that leads nowhere could not be reached.
    for name, service in SERVICES.items():
        assert not service.get("ports") or networks(name) & {"front", "mail"}, name


def test_volumes_and_networks_are_all_there_and_all_used() -> None:
    mounted = {volume for service in SERVICES.values() for volume in volumes_of(service).values()}
    files = {volume for volume in mounted if volume.startswith("./")}
    joined = {network for service in SERVICES.values() for network in service.get("networks", ())}

    assert mounted - files == COMPOSE["volumes"].keys()
    assert joined == COMPOSE["networks"].keys()
    assert [file for file in files if not (ROOT / file).exists()] == []


def test_what_has_to_come_first_is_waited_for() -> None:
    def waits_for(name: str) -> set[str]:
        direct = set(SERVICES[name].get("depends_on", ()))
        return direct.union(*(waits_for(other) for other in direct))

    for name in PROCESSES:
        assert {*STEPS, "secrets", "kafka", "redis", "user-db", "tx-db"} <= waits_for(name), name
    assert {"bootstrap-postgres", "user-db", "tx-db"} <= waits_for("migrate")
    assert "kafka" in waits_for("bootstrap-kafka")
