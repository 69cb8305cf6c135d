"""What the local stack fetches: locked, checked, and without an address in the locks."""

import hashlib
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from infra.local import downloads
from infra.local.downloads import LOCKS, find_jars, jar_path
from infra.local.home import Say, StackError
from infra.local.processes import PROJECT


def jars(lock: str) -> dict[str, str]:
    locked = tomllib.loads((LOCKS / lock / "jgo.lock.toml").read_text())["dependencies"]
    return {jar["artifactId"]: jar["version"] for jar in locked}


@pytest.mark.parametrize("lock", ["kafka", "kafka-logging", "redis"])
def test_every_jar_is_locked_by_its_hash(lock: str) -> None:
    locked = tomllib.loads((LOCKS / lock / "jgo.lock.toml").read_text())["dependencies"]

    assert locked
    assert all(re.fullmatch("[0-9a-f]{64}", jar["sha256"]) for jar in locked)


def test_logging_binding_fits_kafka_and_changes_none_of_its_jars() -> None:
    assert jars("kafka-logging").keys() == {"slf4j-simple"}
    assert jars("kafka-logging")["slf4j-simple"] == jars("kafka")["slf4j-api"]


def test_kafkas_own_dependencies_have_the_versions_it_was_released_with() -> None:
    locked = jars("kafka")

    assert locked["kafka_2.13"] == locked["kafka-clients"] == "4.4.0"
    assert {name: locked[name] for name in ("jackson-databind", "zstd-jni", "snappy-java", "lz4-java")} == {
        "jackson-databind": "2.21.7",
        "zstd-jni": "1.5.7-17",
        "snappy-java": "1.1.10.7",
        "lz4-java": "1.11.2",
    }


def test_locks_name_no_address() -> None:
    locks = [*PROJECT.glob("requirements*.lock"), *(path for path in LOCKS.rglob("*") if path.is_file())]

    assert len(locks) >= 9
    assert not [path.name for path in locks if re.search(r"https?:|index-url|find-links", path.read_text())]


def test_jar_that_is_not_the_locked_one_is_refused_and_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CASH_CACHE", str(tmp_path))
    locked = tomllib.loads((LOCKS / "kafka-logging" / "jgo.lock.toml").read_text())["dependencies"][0]

    def fetch(folder: Path, command: str, count: int, say: Say) -> None:
        jar_path(locked).parent.mkdir(parents=True)
        jar_path(locked).write_bytes(b"something else")

    monkeypatch.setattr(downloads, "_run_jgo", fetch)

    with pytest.raises(StackError, match="is not the file that was locked"):
        find_jars("kafka-logging", print)
    assert not jar_path(locked).exists()


def test_only_jars_that_are_wrong_or_missing_are_fetched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CASH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(downloads, "LOCKS", tmp_path)
    names = ("good", "changed", "missing")
    dependency = (
        '[[dependencies]]\ngroupId = "g"\nartifactId = "{0}"\nversion = "1"\npackaging = "jar"\nsha256 = "{1}"\n'
    )
    (tmp_path / "some").mkdir()
    (tmp_path / "some" / "jgo.toml").touch()
    (tmp_path / "some" / "jgo.lock.toml").write_text(
        "".join(dependency.format(name, hashlib.sha256(name.encode()).hexdigest()) for name in names)
    )
    good, changed, missing = (jar_path(jar) for jar in downloads.locked_jars("some"))
    for jar, content in ((good, "good"), (changed, "damaged")):
        jar.parent.mkdir(parents=True)
        jar.write_text(content)
    left: list[list[bool]] = []

    def fetch(folder: Path, command: str, count: int, say: Say) -> None:
        left.append([jar.exists() for jar in (good, changed, missing)])
        assert count == 2
        missing.parent.mkdir(parents=True)
        changed.write_text("changed")
        missing.write_text("missing")

    monkeypatch.setattr(downloads, "_run_jgo", fetch)

    assert find_jars("some", print) == (good, changed, missing)
    assert find_jars("some", print) == (good, changed, missing)
    assert left == [[True, False, False]]


def test_chosen_redis_that_is_no_program_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CASH_REDIS_SERVER", "/nowhere/redis-server")

    with pytest.raises(StackError, match="correct or unset it"):
        downloads.find_redis(print)


def test_makefile_explains_every_target_a_person_types() -> None:
    listed = subprocess.run(["make", "help"], cwd=PROJECT, capture_output=True, text=True, check=True).stdout

    for target in ("help", "setup", "up", "down", "test", "bench", "chaos", "lint", "fmt", "lock", "clean"):
        assert f"make {target} " in listed
