"""What the doctor finds where not even a check can run; on a healthy stack it has a test with real servers."""

import os
from pathlib import Path

import psutil
import pytest

from infra.local import doctor
from infra.local.doctor import Finding, examine
from infra.local.home import Home
from infra.local.secrets import ensure_secrets
from infra.local.state import Lock, StackState

CHECKED_LAST = "books"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("CASH_CACHE", str(tmp_path / "cache"))
    home = Home(tmp_path / "home")
    home.create()
    return home


def findings(home: Home) -> dict[str, Finding]:
    return {one.check: one for one in examine(home)}


def test_nothing_is_wrong_before_the_first_start_and_nothing_is_fetched(home: Home, tmp_path: Path) -> None:
    found = findings(home)

    assert [one for one in found.values() if not one.ok] == []
    assert found["redis"].finding == found["kafka"].finding == "not fetched yet; the next `cash up` does"
    assert not (tmp_path / "cache").exists()


def test_lost_ports_are_found_and_the_other_checks_go_on(home: Home) -> None:
    ensure_secrets(home)
    StackState(os.getpid(), psutil.Process().create_time()).write(home)
    lock = Lock.take(home)
    assert lock is not None

    found = findings(home)
    lock.release()

    assert "has lost" in found["ports"].finding
    assert "does not answer" in found["users database"].finding
    assert not found[CHECKED_LAST].ok


def test_stack_that_is_being_prepared_has_nothing_wrong(home: Home) -> None:
    StackState(os.getpid(), 1.0).write(home)
    lock = Lock.take(home)
    assert lock is not None

    found = findings(home)
    lock.release()

    assert found["processes"].finding == "the stack is being prepared"
    assert found[CHECKED_LAST].finding == "not checked, the stack is being prepared"
    assert [one for one in found.values() if not one.ok] == []


def test_package_of_the_lock_that_is_missing_or_another_is_found(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [
        f"psutil=={psutil.__version__} \\\n    --hash=sha256:1",
        "pytest==0.1 \\\n    --hash=sha256:2",
        "nobody-has-this==1.0 ; python_version >= '3' \\\n    --hash=sha256:3",
        "nor-this==1.0 ; sys_platform == 'win32' \\\n    --hash=sha256:4",
    ]
    (tmp_path / "requirements.lock").write_text("# made by\n" + "\n".join(lines) + "\n")
    monkeypatch.setattr(doctor, "PROJECT", tmp_path)

    packages = findings(home)["packages"]

    assert not packages.ok
    assert packages.finding == f"pytest {pytest.__version__} instead of ==0.1; nobody-has-this is not installed"


def test_cache_that_cannot_be_written_is_found(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("CASH_CACHE", str(tmp_path / "file" / "cache"))

    assert findings(home)["downloads"].finding == f"{tmp_path / 'file'} cannot be written to"


def test_redis_that_does_not_run_is_found(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CASH_REDIS_SERVER", "/bin/true")

    redis = findings(home)["redis"]

    assert redis.finding == "/bin/true does not say its version"
    assert redis.fix == "correct or unset CASH_REDIS_SERVER"


def test_where_the_databases_really_lie_is_shown(home: Home, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    home.postgres.symlink_to(tmp_path / "elsewhere")

    assert str(tmp_path / "elsewhere") in findings(home)["disk for databases"].finding
