"""docs/security.md names tests that there are, and says of each secret who holds it."""

import re
from pathlib import Path

import pytest

from infra.deployment.containers import GENERATED, complete, files_by_owner
from infra.deployment.secrets import DEPLOYED_NAMES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")


def test_every_test_that_is_named_as_a_proof_is_there() -> None:
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    there = {
        name
        for file in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^(?:async )?def (test_\w+)\(", file.read_text(encoding="utf-8"), re.MULTILINE)
    }

    assert named
    assert named - there == set()


def test_every_secret_says_who_holds_it() -> None:
    table = PAGE.partition("\n## Secrets and who holds them\n")[2].partition("\n## ")[0]
    said = {
        secret: sorted(holders.split(", "))
        for secret, holders in re.findall(r"^\| `(\w+)` \| (.*?) \|", table, re.MULTILINE)
    }
    secrets = complete({}, key_id="page")
    files = {owner: set(each.values()) for owner, each in files_by_owner(secrets).items() if owner != GENERATED}
    holders = {name: sorted(owner for owner, values in files.items() if secrets[name] in values) for name in secrets}

    assert said == {name: holders[name] for name in DEPLOYED_NAMES}


@pytest.mark.parametrize("key", ["ca.key"])
def test_the_authoritys_key_is_held_by_nobody(key: str) -> None:
    secrets = complete({}, key_id="page")

    assert not any(
        secrets[key] in value
        for owner, files in files_by_owner(secrets).items()
        if owner != GENERATED
        for value in files.values()
    )
