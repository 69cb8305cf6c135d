"""A gateway without a secret, or with one somebody left in, does not start, and says which."""

import pytest

from gateway.settings import GatewaySettings
from infra.settings import read
from tests.builders.gateway import a_key, gateway_environment, in_base64

SECRETS = [name for name in gateway_environment() if name != "CASH_PUBLIC_URL"]


def refusal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], **changes: str | None) -> str:
    for name, value in {**gateway_environment(), **changes}.items():
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        read(GatewaySettings)
    assert ended.value.code == 78
    return capsys.readouterr().err


@pytest.mark.parametrize("name", [*SECRETS, "CASH_PUBLIC_URL"])
def test_a_missing_setting_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert f"Setting {name}:" in refusal(monkeypatch, capsys, **{name: None})


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize(
    "value", ["", "changeme", in_base64(b"\0" * 32), "one:changeme", f"one:{in_base64(b'a' * 32)}"]
)
def test_a_secret_somebody_left_in_is_named_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str
) -> None:
    said = refusal(monkeypatch, capsys, **{name: value})

    assert f"Setting {name}:" in said
    assert not value or value not in said


def test_a_signing_key_that_nobody_could_verify_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refusal(monkeypatch, capsys, CASH_TOKEN_SIGNING_KEY=f"key-1:{in_base64(a_key())}")

    assert "Setting CASH_TOKEN_PUBLIC_KEYS:" in said


def test_keys_do_not_show_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in gateway_environment().items():
        monkeypatch.setenv(name, value)

    assert "key-1" not in repr(read(GatewaySettings))
