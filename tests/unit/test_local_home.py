"""The data folder: ours alone, or refused."""

import os
from pathlib import Path

import pytest

from infra.local.home import Home, StackError


@pytest.mark.parametrize("content", ["mail", "logs", "ports.json"])
def test_folder_somebody_filled_is_refused_and_stays_as_it_is(tmp_path: Path, content: str) -> None:
    (tmp_path / content).mkdir()
    tmp_path.chmod(0o750)

    with pytest.raises(StackError, match="set CASH_HOME to a new or an empty folder"):
        Home(tmp_path).create()
    assert [path.name for path in tmp_path.iterdir()] == [content]
    assert tmp_path.stat().st_mode & 0o777 == 0o750


def test_folder_that_was_empty_is_ours_from_then_on(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.create()
    (tmp_path / "holiday.jpg").touch()

    home.create()


def test_folder_an_older_version_made_is_ours_once_somebody_says_so(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.secrets.touch()
    home.marker.touch()

    home.create()


def test_new_folder_is_private_but_for_the_way_root_leaves_to_postgres(tmp_path: Path) -> None:
    home = Home(tmp_path / "new")
    home.create()

    assert home.root.stat().st_mode & 0o777 == (0o711 if os.geteuid() == 0 else 0o700)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives folders away")
def test_private_folder_of_an_ordinary_user_stays_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o2700)
    os.chown(tmp_path, 12_345, -1)
    monkeypatch.setattr(os, "geteuid", lambda: 12_345)

    Home(tmp_path).create()

    assert tmp_path.stat().st_mode & 0o7777 == 0o2700


def test_folder_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Home(tmp_path).create()
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)

    with pytest.raises(StackError, match="start as that user, or set CASH_HOME to another"):
        Home(tmp_path).create()
