"""Secrets of a system in containers: who is given which file, certificates, and writing them into volumes."""

import os
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from pydantic import SecretStr

from infra.deployment.certificates import RENEWED_BEFORE, SERVER_LASTS, Certified, certify, make_authority
from infra.deployment.containers import CERTIFIED, DEPLOYED, GENERATED, complete, files_by_owner
from infra.deployment.recipes import NAMES, Recipes
from infra.deployment.secrets import Secrets
from infra.deployment.write_secrets import Refused, main, write_secrets
from infra.postgres.bootstrap import LedgerServerSettings
from infra.settings import (
    KafkaSettings,
    LedgerDatabaseSettings,
    RedisSettings,
    UsersDatabaseSettings,
    read,
)

OWNERS = (GENERATED, "gateway", "relay", "kafka", "redis", "tx-db")


def volumes(folder: Path) -> Path:
    for owner in OWNERS:
        (folder / owner).mkdir(exist_ok=True)
    return folder


@pytest.fixture(autouse=True)
def _as_anybody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give files to nobody else: only root may, and the tests are run by anybody."""
    monkeypatch.setattr(os, "chown", lambda *_: None)


def test_each_process_gets_its_own_secrets_and_nothing_else() -> None:
    files = files_by_owner(complete({}, "test"))

    assert set(files["celery-beat"]) == {"CASH_REDIS_PASSWORD", "ca.crt"}
    assert set(files["relay"]) == {
        "CASH_KAFKA_SASL_PASSWORD",
        "CASH_USERS_DB_PASSWORD",
        "CASH_LEDGER_DB_PASSWORD",
        "ca.crt",
    }
    assert {owner for owner, own in files.items() if "CASH_TOKEN_SIGNING_KEY" in own} == {"gateway", GENERATED}
    assert {owner for owner, own in files.items() if "ca.key" in own} == {GENERATED}
    assert {owner for owner, own in files.items() if "tls.key" in own} == set(CERTIFIED)
    assert "ledger-consumer-bulk" not in files  # it uses those of the ledger consumer


def test_what_is_plain_and_what_is_secret_are_all_there_is() -> None:
    recipes = Recipes(complete({}, "test"), DEPLOYED)

    for name in NAMES:
        assert recipes.plain_of(name) | recipes.secrets_of(name) == recipes.of(name)
        assert not any(value in recipes.plain_of(name).values() for value in recipes.secrets_of(name).values())


def test_settings_are_read_from_the_folder_of_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = complete({}, "test")
    recipes = Recipes(secrets, DEPLOYED)
    for name, value in recipes.secrets_of("relay").items():
        (tmp_path / name).write_text(f"{value}\n")
    for name, value in recipes.plain_of("relay").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("CASH_SECRETS_FOLDER", str(tmp_path))

    kafka, users, ledger = read(KafkaSettings), read(UsersDatabaseSettings), read(LedgerDatabaseSettings)

    assert kafka.sasl_password
    assert kafka.sasl_password.get_secret_value() == secrets["KAFKA_RELAY_PASSWORD"]
    assert users.password.get_secret_value() == secrets["USERS_CONSUMER_PASSWORD"]
    assert (ledger.host, ledger.sslmode) == ("tx-db", "verify-full")


def test_environment_goes_before_the_folder_of_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "CASH_REDIS_PASSWORD").write_text("of the folder")
    (tmp_path / "named").write_text("of the file")
    monkeypatch.setenv("CASH_SECRETS_FOLDER", str(tmp_path))
    monkeypatch.setenv("CASH_REDIS_HOST", "redis")

    assert read(RedisSettings).password.get_secret_value() == "of the folder"
    monkeypatch.setenv("CASH_REDIS_PASSWORD_FILE", str(tmp_path / "named"))
    assert read(RedisSettings).password.get_secret_value() == "of the file"
    monkeypatch.setenv("CASH_REDIS_PASSWORD", "of the environment")
    assert read(RedisSettings).password.get_secret_value() == "of the environment"


def test_certificate_is_of_its_authority_and_names_its_server() -> None:
    authority = make_authority()
    server = certify(authority, ["kafka", "kafka.example.org", "127.0.0.1"])

    certificate = x509.load_pem_x509_certificate(server.certificate.encode())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value

    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.certificate.encode()))
    assert names.get_values_for_type(x509.DNSName) == ["kafka", "kafka.example.org"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]
    assert authority.key not in repr(authority)


def handshake(server: Certified, authority: Certified, name: str, folder: Path) -> None:
    """Let a client that trusts an authority meet a server, in memory."""
    (folder / "tls.pem").write_text(server.key + server.certificate)
    (folder / "ca.crt").write_text(authority.certificate)
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(folder / "tls.pem")
    asking = LedgerServerSettings(
        host=name, password=SecretStr("none"), sslmode="verify-full", ssl_cafile=folder / "ca.crt"
    ).tls()
    assert isinstance(asking, ssl.SSLContext)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        asking.wrap_bio(to_client, to_server, server_hostname=name),
        serving.wrap_bio(to_server, to_client, server_side=True),
    ]
    for _ in range(4):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue


def test_server_is_trusted_by_its_authority_and_its_name_only(tmp_path: Path) -> None:
    authority = make_authority()
    server = certify(authority, ["tx-db", "localhost"])

    handshake(server, authority, "tx-db", tmp_path)
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        handshake(server, authority, "user-db", tmp_path)
    with pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer"):
        handshake(server, make_authority(), "tx-db", tmp_path)


def test_certificate_is_due_before_it_ends() -> None:
    server = certify(make_authority(), ["kafka"])

    last_day = datetime.now(UTC) + SERVER_LASTS - RENEWED_BEFORE
    assert not server.is_due(last_day - timedelta(days=1))
    assert server.is_due(last_day + timedelta(days=1))


def test_missing_certificate_is_made_by_the_same_authority() -> None:
    before = complete({}, "test")
    after = complete({name: value for name, value in before.items() if name != "redis.crt"}, "test")

    assert {name for name in before if before[name] != after[name]} == {"redis.crt", "redis.key"}


def test_lost_authority_renews_every_certificate() -> None:
    before = complete({}, "test")
    after = complete({name: value for name, value in before.items() if name != "ca.key"}, "test")

    changed = {name.rpartition(".")[0] for name in before if before[name] != after[name]}
    assert changed == {"ca", *CERTIFIED}


def test_secrets_are_written_once_for_those_who_have_a_place(tmp_path: Path) -> None:
    folder = volumes(tmp_path)

    assert write_secrets(folder) == list(OWNERS)
    assert write_secrets(folder) == []

    own = {path.name: path for path in (folder / "tx-db").iterdir()}
    assert set(own) == {"POSTGRES_PASSWORD", "ca.crt", "tls.crt", "tls.key", "tls.pem"}
    assert {path.stat().st_mode & 0o777 for path in own.values()} == {0o400}
    kept = Secrets({path.name: path.read_text() for path in (folder / GENERATED).iterdir()})
    assert own["POSTGRES_PASSWORD"].read_text() == kept["LEDGER_POSTGRES_PASSWORD"]


def test_deleted_secret_is_renewed_wherever_it_is_known(tmp_path: Path) -> None:
    folder = volumes(tmp_path)
    write_secrets(folder)
    before = (folder / "redis" / "REDIS_PASSWORD").read_text()
    (folder / GENERATED / "REDIS_PASSWORD").unlink()

    assert write_secrets(folder) == [GENERATED, "gateway", "redis"]

    after = (folder / "redis" / "REDIS_PASSWORD").read_text()
    assert after != before
    assert (folder / "gateway" / "CASH_REDIS_PASSWORD").read_text() == after


def test_what_was_left_half_written_is_made_good(tmp_path: Path) -> None:
    folder = volumes(tmp_path)
    write_secrets(folder)
    for owner in ("gateway", GENERATED):
        (folder / owner).chmod(0o700)
        (folder / owner / "CASH_KEY_PROOF.new").write_text("half of")
        (folder / owner / "CASH_KEY_NOBODY_HAS").write_text("left over")

    write_secrets(folder)

    assert not [path for owner in ("gateway", GENERATED) for path in (folder / owner).glob("*.new")]
    assert not (folder / "gateway" / "CASH_KEY_NOBODY_HAS").exists()


def test_without_a_place_to_keep_them_no_secret_is_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "gateway").mkdir()

    with pytest.raises(Refused):
        write_secrets(tmp_path)
    assert main([str(tmp_path)]) == 1

    assert "mount a volume" in capsys.readouterr().err
    assert not list((tmp_path / "gateway").iterdir())


def test_emptied_secret_is_refused_not_replaced(tmp_path: Path) -> None:
    folder = volumes(tmp_path)
    write_secrets(folder)
    emptied = folder / GENERATED / "CASH_KEY_CODE"
    emptied.chmod(0o600)
    emptied.write_text("")

    with pytest.raises(Refused, match="CASH_KEY_CODE is empty"):
        write_secrets(folder)
