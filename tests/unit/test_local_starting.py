"""Starting, stopping and deleting a local stack: what does not need its servers."""

import fcntl
import os
import threading
from pathlib import Path

import pytest

from infra.local import stack as stacks
from infra.local.home import Home, StackError
from infra.local.plan import Choices, prepare
from infra.local.stack import LocalStack
from infra.local.state import Lock


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.create()
    return home


def test_cache_that_cannot_be_made_is_told_in_one_sentence(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("CASH_CACHE", str(tmp_path / "file" / "cache"))

    with pytest.raises(StackError, match="set CASH_HOME and CASH_CACHE to folders of yours"):
        prepare(home, Choices(), print)


def test_orphans_are_ended_only_while_nobody_can_start(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    locks: list[Lock | None] = []

    def end_orphans(home: Home) -> int:
        locks.append(Lock.take(home))
        return 1

    monkeypatch.setattr(stacks, "end_orphans", end_orphans)

    assert LocalStack(home).stop()
    LocalStack(home).reset()
    assert locks == [None, None]


def test_stop_that_is_not_heard_is_reported(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stacks, "_STOPPED_WITHIN_S", 0.1)
    lock = Lock.take(home)
    assert lock is not None

    with pytest.raises(StackError, match="did not stop"):
        LocalStack(home).stop()
    lock.release()


def test_stopping_what_was_never_started_is_harmless(tmp_path: Path) -> None:
    assert not LocalStack(tmp_path / "nowhere").stop()
    assert not (tmp_path / "nowhere").exists()


def test_reset_deletes_the_folder_it_made(home: Home) -> None:
    home.secrets.touch()

    LocalStack(home).reset()

    assert not home.root.exists()


def test_reset_leaves_a_strangers_file_and_the_folder_can_be_used_again(home: Home) -> None:
    home.secrets.touch()
    (home.root / "holiday.jpg").touch()

    LocalStack(home).reset()

    assert {path.name for path in home.root.iterdir()} == {"holiday.jpg", home.marker.name}
    home.create()


def test_reset_of_somebodys_own_folder_deletes_nothing(tmp_path: Path) -> None:
    (tmp_path / "mail").mkdir()
    (tmp_path / "mail" / "letter").touch()

    with pytest.raises(StackError, match="not cash-flow's"):
        LocalStack(tmp_path).reset()
    assert (tmp_path / "mail" / "letter").exists()


def test_a_start_is_not_kept_from_it_by_who_only_looks(home: Home) -> None:
    first = Lock.take(home)
    assert first is not None
    with os.fdopen(os.dup(first.descriptor)) as same, Path(f"/proc/self/fd/{same.fileno()}").open() as looking:
        first.release()
        same.close()
        fcntl.flock(looking, fcntl.LOCK_SH)
        looked = threading.Timer(0.1, fcntl.flock, (looking, fcntl.LOCK_UN))
        looked.start()

        taken = Lock.take(home)

        looked.join()
        assert taken is not None
        assert Lock.take(home) is None
        taken.release()
