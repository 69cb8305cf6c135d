"""Checks of this machine and the local stack; each says what it found and what to do about it."""

import asyncio
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import asyncpg
from packaging.requirements import Requirement

from infra.deployment.secrets import LOCAL_NAMES
from infra.local.downloads import find_java, find_postgres, is_as_locked, jar_path, locked_jars, redis_path
from infra.local.environment import local_recipes
from infra.local.home import Home, StackError, cache_folder
from infra.local.orphans import find_orphans
from infra.local.ports import PREFERRED, is_free, read_ports
from infra.local.postgres import postgres_folder
from infra.local.processes import PROJECT
from infra.local.secrets import read_secrets
from infra.local.state import Condition, is_running, read_state
from infra.local.status import look

DATABASES = ("users", "ledger")
DISK_AT_LEAST = 2 * 1024**3


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found; ``fix`` says what to do when it is not well."""

    check: str
    ok: bool
    finding: str
    fix: str = ""


def examine(home: Home) -> list[Finding]:
    """Run every check; one that cannot even run is a finding too."""
    findings: list[Finding] = []
    for check in (
        _python,
        _packages,
        _folders,
        _servers,
        _redis,
        _jars,
        _ports,
        _secrets,
        _processes,
        _migrations,
        _topics,
        _books,
    ):
        try:
            findings.extend(check(home))
        except StackError as error:
            sentence, _, fix = str(error).partition("; ")
            findings.append(Finding(check.__name__.strip("_"), False, sentence, fix))
        except Exception as error:  # noqa: BLE001 - a table that ends here would hide what is wrong
            sentence = f"could not be checked: {type(error).__name__}: {error}"
            findings.append(Finding(check.__name__.strip("_"), False, sentence, "repair what the other rows say first"))
    return findings


def _python(_: Home) -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    yield Finding(
        "python", sys.version_info >= (3, 11), version, "install Python 3.11 or newer, then `make clean setup`"
    )


def _packages(_: Home) -> Iterator[Finding]:
    lock = PROJECT / "requirements.lock"
    if not lock.exists():
        yield Finding("packages", True, "installed without the lock file")
        return
    wrong = []
    for line in re.findall(r"^[A-Za-z0-9].*==[^\\\n]+", lock.read_text("utf-8"), re.MULTILINE):
        package = Requirement(line)
        # The lock serves every system; what is meant for another one is not installed here.
        if package.marker and not package.marker.evaluate():
            continue
        try:
            installed = importlib.metadata.version(package.name)
        except importlib.metadata.PackageNotFoundError:
            wrong.append(f"{package.name} is not installed")
            continue
        if not package.specifier.contains(installed, prereleases=True):
            wrong.append(f"{package.name} {installed} instead of {package.specifier}")
    yield Finding("packages", not wrong, "; ".join(wrong) or "as locked", "make clean setup")


def _folders(home: Home) -> Iterator[Finding]:
    folders = [("data", home.root, "CASH_HOME"), ("downloads", cache_folder(), "CASH_CACHE")]
    if home.postgres.is_symlink():
        # Started by root, in a folder that is closed to the user PostgreSQL runs as.
        folders.insert(1, ("databases", postgres_folder(home), "CASH_HOME"))
    for name, folder, setting in folders:
        existing = next(part for part in (folder, *folder.parents) if part.exists())
        if not (existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)):
            yield Finding(name, False, f"{existing} cannot be written to", f"set {setting} to a folder of yours")
            continue
        free = shutil.disk_usage(existing).free
        fix = f"make room, or set {setting} to a folder elsewhere"
        yield Finding(f"disk for {name}", free > DISK_AT_LEAST, f"{free / 1e9:.1f} GB free at {folder}", fix)


def _servers(_: Home) -> Iterator[Finding]:
    yield Finding("postgres", (find_postgres() / "postgres").exists(), str(find_postgres()), "make clean setup")
    java, version = find_java()
    yield Finding("java", java.exists(), f"{java} (Java {version})", "make clean setup")


def _redis(_: Home) -> Iterator[Finding]:
    program = redis_path()
    if not program.exists():
        yield Finding("redis", True, "not fetched yet; the next `cash up` does")
        return
    asked = subprocess.run([program, "--version"], capture_output=True, text=True, check=False, timeout=10)
    version = re.search(r"v=(\S+)", asked.stdout)
    finding = f"{program} ({version[1]})" if version else f"{program} does not say its version"
    fetched = program.is_relative_to(cache_folder())
    fix = f"delete {program}; the next `cash up` fetches it again" if fetched else "correct or unset CASH_REDIS_SERVER"
    yield Finding("redis", version is not None, finding, fix)


def _jars(_: Home) -> Iterator[Finding]:
    for name in ("kafka", "kafka-logging"):
        jars = locked_jars(name)
        paths = {jar_path(jar): jar for jar in jars}
        missing = [path.name for path in paths if not path.exists()]
        changed = [path.name for path, jar in paths.items() if path.exists() and not is_as_locked(jar)]
        fix = f"delete {cache_folder() / 'maven'}; the next `cash up` fetches them again"
        if len(missing) == len(paths):
            yield Finding(name, True, "not fetched yet; the next `cash up` does")
        else:
            said = "; ".join([*(f"{jar} is missing" for jar in missing), *(f"{jar} was changed" for jar in changed)])
            yield Finding(name, not said, said or f"{len(jars)} jars, each as locked", fix)


def _ports(home: Home) -> Iterator[Finding]:
    if not _why_not_asked(home):
        lost = PREFERRED.keys() - read_ports(home).keys()
        finding = f"{home.ports} has lost {', '.join(sorted(lost))}" if lost else "in use by the running stack"
        yield Finding("ports", not lost, finding, "cash down, then cash up")
        return
    if is_running(home):
        yield Finding("ports", True, "being chosen")
        return
    chosen = {**PREFERRED, **read_ports(home)}
    busy = [f"{name} {port}" for name, port in chosen.items() if not is_free(port)]
    if busy:
        yield Finding("ports", True, f"busy: {', '.join(busy)}; `cash up` will choose others and remember them")
    else:
        yield Finding("ports", True, f"{min(chosen.values())}-{max(chosen.values())}, all free")


def _secrets(home: Home) -> Iterator[Finding]:
    if not home.secrets.exists():
        made = (home.postgres / "data").exists()
        finding = "gone, but data made with them is there" if made else "not made yet; the first `cash up` does"
        yield Finding("secrets", not made, finding, "put secrets.env back, or start over with `cash reset`")
        return
    mode = home.secrets.stat().st_mode & 0o777
    yield Finding("secrets file", mode == 0o600, f"mode {mode:04o}", f"chmod 600 {home.secrets}")
    missing = set(LOCAL_NAMES) - set(read_secrets(home))
    yield Finding(
        "secrets",
        not missing,
        ", ".join(sorted(missing)) + " missing" if missing else "complete",
        "`cash up` makes what is missing",
    )


def _processes(home: Home) -> Iterator[Finding]:
    if not is_running(home):
        orphans = find_orphans(home) if home.run.is_dir() else []
        finding = f"{len(orphans)} left from a killed supervisor" if orphans else "not running"
        yield Finding("processes", not orphans, finding, "`cash down` ends them, `cash up` too before it starts")
        return
    if said := _why_not_asked(home):
        yield Finding("processes", True, said)
        return
    waiting = [
        f"{p.name} is {p.state}{f' ({p.why})' if p.why else ''}"
        for p in look(home).processes
        if p.state != Condition.READY
    ]
    fix = f"cash logs {waiting[0].split()[0]}" if waiting else ""
    yield Finding("processes", not waiting, "; ".join(waiting) or "all ready", fix)


def _migrations(home: Home) -> Iterator[Finding]:
    if said := _why_not_asked(home):
        yield Finding("migrations", True, f"not checked, {said}")
        return
    # Imported here, because only these checks need the servers' client libraries.
    from infra.postgres.revisions import newest_revision

    recipes = local_recipes(home)
    for database in DATABASES:
        newest = newest_revision(database)
        try:
            current = asyncio.run(_revision(recipes.database(database, "migrator"), database))
        except (OSError, asyncpg.PostgresError) as error:
            yield Finding(f"{database} database", False, f"does not answer: {error}", "cash logs postgres")
            continue
        said = f"at revision {current}" if current == newest else f"at revision {current}, the newest is {newest}"
        yield Finding(f"{database} database", current == newest, said, "cash down, then cash up")


async def _revision(settings: Mapping[str, str], database: str) -> str | None:
    host, port, name, user, password = (
        settings[f"CASH_{database.upper()}_DB_{part}"] for part in ("HOST", "PORT", "NAME", "USER", "PASSWORD")
    )
    connection = await asyncpg.connect(
        host=host, port=int(port), database=name, user=user, password=password, timeout=5, ssl=False
    )
    try:
        found = await connection.fetchval("SELECT version_num FROM alembic_version")
    except asyncpg.UndefinedTableError:
        return None
    finally:
        await connection.close()
    return str(found)


def _books(home: Home) -> Iterator[Finding]:
    if said := _why_not_asked(home):
        yield Finding("books", True, f"not checked, {said}")
        return
    from infra.errors import Unavailable
    from infra.postgres.engine import Database
    from infra.postgres.ledger_checks import check_ledgers
    from infra.settings import LedgerDatabaseSettings

    async def check() -> list[str]:
        given = local_recipes(home).database("ledger", "consumer")
        settings = {name.removeprefix("CASH_LEDGER_DB_").lower(): value for name, value in given.items()}
        database = Database(LedgerDatabaseSettings.model_validate(settings), application="doctor")
        await database.start()
        try:
            return await check_ledgers(database)
        finally:
            await database.stop()

    try:
        wrong = asyncio.run(check())
    except (Unavailable, asyncpg.PostgresError) as error:
        yield Finding("books", False, f"could not be compared: {error}", "cash logs postgres")
        return
    finding = " ".join(wrong[:3]) or "every total is the sum of its postings"
    yield Finding("books", not wrong, finding, "keep a copy of the data folder and report it: this is a defect")


def _topics(home: Home) -> Iterator[Finding]:
    if said := _why_not_asked(home):
        yield Finding("topics", True, f"not checked, {said}")
        return
    from infra.errors import Unavailable
    from infra.kafka.topics import examine_topics
    from infra.settings import KafkaSettings

    given = local_recipes(home).kafka("operator")
    settings = KafkaSettings.model_validate({name.removeprefix("CASH_KAFKA_").lower(): given[name] for name in given})
    try:
        found = asyncio.run(examine_topics(settings, create=False))
    except Unavailable as error:
        yield Finding("topics", False, f"Kafka does not answer: {error}", "cash logs kafka")
        return
    wrong = [*(f"{name} is missing" for name in found.missing), *found.differences]
    fix = (
        f"rm {home.run / 'bootstrap-kafka.done'}, then cash down and cash up"
        if found.missing
        else "decide, then change the topic"
    )
    yield Finding("topics", not wrong, "; ".join(wrong) or "as they should be", fix)


def _why_not_asked(home: Home) -> str:
    """Say why the servers cannot be asked now; nothing when they can."""
    if not is_running(home):
        return "the stack is not running"
    state = read_state(home)
    return "" if state is not None and state.supervised() else "the stack is being prepared"
