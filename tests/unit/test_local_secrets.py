"""Secrets of the local stack."""

import base64
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from infra.deployment.recipes import Recipes
from infra.deployment.secrets import LOCAL_NAMES
from infra.local.environment import local_places
from infra.local.home import Home, StackError
from infra.local.ports import PREFERRED
from infra.local.secrets import ensure_secrets, read_secrets


def a_home(folder: Path) -> Home:
    home = Home(folder)
    home.create()
    return home


def test_secrets_are_made_once_and_only_their_owner_can_read_them(tmp_path: Path) -> None:
    home = a_home(tmp_path)

    made = ensure_secrets(home)

    assert home.secrets.stat().st_mode & 0o777 == 0o600
    assert made.keys() == set(LOCAL_NAMES)
    assert ensure_secrets(home) == made == read_secrets(home)


def test_values_never_show_in_a_representation(tmp_path: Path) -> None:
    made = ensure_secrets(a_home(tmp_path))

    assert not any(value in repr(made) for value in made.values())


def test_public_key_belongs_to_the_signing_key(tmp_path: Path) -> None:
    made = ensure_secrets(a_home(tmp_path))
    (name, seed), (public_name, public) = (
        made[key].split(":") for key in ("CASH_TOKEN_SIGNING_KEY", "CASH_TOKEN_PUBLIC_KEYS")
    )

    key = Ed25519PrivateKey.from_private_bytes(base64.b64decode(seed))

    assert name == public_name
    assert key.public_key().public_bytes_raw() == base64.b64decode(public)


def test_loose_mode_is_tightened_at_the_next_start(tmp_path: Path) -> None:
    home = a_home(tmp_path)
    ensure_secrets(home)
    home.secrets.chmod(0o644)

    ensure_secrets(home)

    assert home.secrets.stat().st_mode & 0o777 == 0o600


def test_lost_secrets_beside_data_are_refused_not_replaced(tmp_path: Path) -> None:
    home = a_home(tmp_path)
    ensure_secrets(home)
    home.secrets.unlink()
    (home.kafka / "data").mkdir()

    with pytest.raises(StackError, match="put it back, or start over with `cash reset`"):
        ensure_secrets(home)


@pytest.mark.parametrize("kept", [0, 1, 300, -1])
def test_file_cut_short_anywhere_is_refused(tmp_path: Path, kept: int) -> None:
    home = a_home(tmp_path)
    ensure_secrets(home)
    whole = home.secrets.read_bytes()
    home.secrets.write_bytes(whole.rstrip()[:kept])

    with pytest.raises(StackError, match="cut short"):
        ensure_secrets(home)


def test_secret_a_newer_version_asks_for_is_added_and_the_others_stay(tmp_path: Path) -> None:
    home = a_home(tmp_path)
    before = ensure_secrets(home)
    lines = [line for line in home.secrets.read_text().splitlines() if not line.startswith("CASH_KEY_PROOF=")]
    home.secrets.write_text("\n".join(lines) + "\n")

    after = ensure_secrets(home)

    assert after.keys() == before.keys()
    assert {name for name in LOCAL_NAMES if before[name] != after[name]} == {"CASH_KEY_PROOF"}


def test_each_process_is_told_only_what_it_needs(tmp_path: Path) -> None:
    recipes = Recipes(ensure_secrets(a_home(tmp_path)), local_places(PREFERRED))

    def holders(setting: str) -> set[str]:
        names = ["gateway", "identity-consumer", "ledger-consumer", "relay", "celery-worker", "celery-beat"]
        return {name for name in names if setting in recipes.of(name)}

    assert holders("CASH_TOKEN_SIGNING_KEY") == {"gateway"}
    assert holders("CASH_KEY_CODE") == {"identity-consumer", "celery-worker"}
    assert holders("CASH_KEY_SEAL") == {"gateway", "identity-consumer"}
    assert holders("CASH_LEDGER_DB_PASSWORD") == {"gateway", "ledger-consumer", "relay", "celery-worker"}
    assert holders("CASH_USERS_POSTGRES_PASSWORD") == holders("CASH_LEDGER_POSTGRES_PASSWORD") == set()
    assert recipes.of("gateway")["CASH_LEDGER_DB_USER"] == "ledger_gateway"
    assert recipes.of("relay")["CASH_KAFKA_SASL_USERNAME"] == "relay"
