"""The files in the user's config folder."""

import stat
from pathlib import Path

import pytest

from cli.connection.credentials import Credentials, PendingRegistration, PrivateFile, credentials_file
from cli.terminal.output import Failure


def a_file(folder: Path) -> PrivateFile:
    return PrivateFile(folder / "config" / "credentials.json")


def remember(file: PrivateFile, url: str, email: str) -> None:
    with file.changing(Credentials) as credentials:
        credentials.at(url).registration = PendingRegistration(registration_id="r", email=email)


def test_an_absent_file_reads_as_an_empty_one(tmp_path: Path) -> None:
    assert a_file(tmp_path).read(Credentials) == Credentials()


def test_what_is_remembered_of_a_server_is_read_back_for_that_server_only(tmp_path: Path) -> None:
    file = a_file(tmp_path)
    remember(file, "http://one", "ann@example.org")

    credentials = file.read(Credentials)
    registration = credentials.at("http://one").registration
    assert registration is not None
    assert registration.email == "ann@example.org"
    assert credentials.at("http://two").registration is None


def test_only_the_owner_may_read_the_file_and_its_folder(tmp_path: Path) -> None:
    file = a_file(tmp_path)
    remember(file, "http://one", "ann@example.org")

    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620])
def test_a_file_that_others_can_reach_is_refused_with_the_repair(tmp_path: Path, mode: int) -> None:
    file = a_file(tmp_path)
    remember(file, "http://one", "ann@example.org")
    file.path.chmod(mode)

    with pytest.raises(Failure, match=f"chmod 600 '{file.path}'"):
        file.read(Credentials)


@pytest.mark.parametrize("content", ["", "{", '{"servers": 1}', "\x00"])
def test_a_damaged_file_is_refused_with_the_repair(tmp_path: Path, content: str) -> None:
    file = a_file(tmp_path)
    remember(file, "http://one", "ann@example.org")
    file.path.write_text(content)

    with pytest.raises(Failure, match=f"rm '{file.path}'"):
        file.read(Credentials)


def test_a_failed_change_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    file = a_file(tmp_path)
    remember(file, "http://one", "ann@example.org")
    before = file.path.read_bytes()

    def change_and_fail() -> None:
        with file.changing(Credentials) as credentials:
            credentials.at("http://one").registration = None
            raise RuntimeError

    with pytest.raises(RuntimeError):
        change_and_fail()
    assert file.path.read_bytes() == before
    assert sorted(path.name for path in file.path.parent.iterdir()) == [".credentials.json.lock", "credentials.json"]


def test_the_config_folder_can_be_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CASH_CONFIG_HOME", str(tmp_path / "mine"))

    assert credentials_file().path == tmp_path / "mine" / "credentials.json"


def test_a_folder_that_cannot_be_made_is_said_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("not a folder")

    with pytest.raises(Failure, match="set CASH_CONFIG_HOME"):
        remember(a_file(tmp_path), "http://one", "ann@example.org")


def test_tokens_do_not_show_themselves(tmp_path: Path) -> None:
    text = "secret-token"
    session = Credentials.model_validate(
        {
            "servers": {
                "http://one": {
                    "session": {
                        "session_id": "s",
                        "user_id": "u",
                        "username": "ann",
                        "ledger_id": "l",
                        "base_currency": "EUR",
                        "time_zone": "UTC",
                        "access_token": text,
                        "access_expires_at": "2026-01-01T00:00:00Z",
                        "refresh_token": text,
                    }
                }
            }
        }
    )

    assert text not in repr(session)
    assert text in session.model_dump_json()
