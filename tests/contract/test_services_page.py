"""docs/services.md says what the processes are told and do: it is made from the code, and nothing is left out."""

import re

import pytest

from infra.deployment.containers import DEPLOYED
from infra.deployment.recipes import COMMANDS, STEPS
from tests.pages.services import PAGE, PROCESSES, ROOT, SERVICES, STEPS_SHOWN, Service, page, recipes, settings_named

TEXT = PAGE.read_text(encoding="utf-8")


def test_page_is_current() -> None:
    assert page() == TEXT, "docs/services.md is stale: .venv/bin/python -m tests.pages.services"


def test_every_process_and_step_is_shown() -> None:
    assert {each.name for each in PROCESSES} == set(DEPLOYED.http) >= set(COMMANDS)
    assert {each.name for each in STEPS_SHOWN} == set(STEPS)


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_a_service_is_told_what_its_settings_need_and_nothing_else(service: Service) -> None:
    told = set(recipes().of(service.name))
    fields = {name: each for settings in service.settings for name, each in settings_named(settings).items()}

    assert {name for name, each in fields.items() if each.is_required()} <= told <= set(fields)


def test_every_setting_says_what_it_means() -> None:
    silent = [
        name
        for service in SERVICES
        for settings in service.settings
        for name, each in settings_named(settings).items()
        if not each.description
    ]

    assert silent == []


@pytest.mark.parametrize("room", ["gateway", "consumers", "infra"])
def test_no_settings_class_is_left_out(room: str) -> None:
    sources = [file.read_text(encoding="utf-8") for file in (ROOT / room).rglob("*.py")]
    prefixes = {prefix for source in sources for prefix in re.findall(r'env_prefix="(CASH_\w+)"', source)}

    assert prefixes
    assert {prefix for prefix in prefixes if f"| `{prefix}" not in TEXT} == set()
