"""What the supervisor knows of its processes, in a file that others read."""

import contextlib
import fcntl
import json
import os
import time
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import IO

import psutil

from infra.local.home import Home, StackError, write_whole


class Condition(StrEnum):
    """How a process is; only ``READY`` is good."""

    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    NOT_READY = "not ready"
    RESTARTING = "restarting"
    FAILING = "failing"
    HELD = "held"
    STOPPING = "stopping"
    STOPPED = "stopped"


@dataclass(slots=True)
class ProcessState:
    """One process as last seen; times are seconds since the epoch."""

    name: str
    port: int
    condition: Condition = Condition.WAITING
    pid: int | None = None
    created: float | None = None
    started_at: float | None = None
    restarts: int = 0
    why: str | None = None

    def alive(self) -> bool:
        """Return whether this very process, not a later one with its pid, still runs."""
        return self.pid is not None and self.created is not None and is_alive(self.pid, self.created)


@dataclass(slots=True)
class StackState:
    """The supervisor and its processes, in start order.

    ``preparing`` names the steps (migrations, topics) not done yet, ``failure`` says what cannot start.
    """

    supervisor_pid: int
    supervisor_created: float
    processes: dict[str, ProcessState] = field(default_factory=dict)
    preparing: list[str] = field(default_factory=list)
    failure: str | None = None

    def ready(self) -> bool:
        """Return whether all is prepared and every process ready."""
        return not self.preparing and all(process.condition is Condition.READY for process in self.processes.values())

    def supervised(self) -> bool:
        """Return whether the supervisor that wrote it still runs; else it tells of the past."""
        return is_alive(self.supervisor_pid, self.supervisor_created)

    def write(self, home: Home) -> None:
        """Let others read it."""
        write_whole(_path(home), json.dumps(asdict(self)))


def read_state(home: Home) -> StackState | None:
    """Return the state last written, or ``None`` where there is none that can be read."""
    try:
        read = json.loads(_path(home).read_text("utf-8"))
        processes = {
            name: ProcessState(**{**process, "condition": Condition(process["condition"])})
            for name, process in read.pop("processes").items()
        }
        return StackState(**read, processes=processes)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def forget_state(home: Home) -> None:
    """Delete what the last supervisor wrote."""
    _path(home).unlink(missing_ok=True)


def is_alive(pid: int, created: float) -> bool:
    """Return whether the process of this pid is the one created then, and no zombie.

    Two seconds of grace, because the creation time is counted from a boot time that moves with the clock.
    """
    try:
        process = psutil.Process(pid)
        return abs(process.create_time() - created) < 2 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


#: Somebody who asks whether a stack runs shares its lock for so long, and somebody else may ask right after.
_LOOK_S, _LOOKS_OUTLIVED = 0.01, 100


class Lock:
    """The right to run a stack's processes; the kernel takes it back from the dead, so it is never stale."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    @classmethod
    def take(cls, home: Home) -> "Lock | None":
        """Take the lock, or return ``None`` when somebody has it; who only looks has it for a moment."""
        file = _open_lock(home)
        for _ in range(_LOOKS_OUTLIVED):
            if _get(file, fcntl.LOCK_EX):
                return cls(file)
            if not _get(file, fcntl.LOCK_SH):
                break
            fcntl.flock(file, fcntl.LOCK_UN)
            time.sleep(_LOOK_S)
        file.close()
        return None

    @classmethod
    def inherit(cls, descriptor: int) -> "Lock":
        """Return the lock a parent process handed over."""
        os.set_inheritable(descriptor, False)
        return cls(os.fdopen(descriptor, "a"))

    @property
    def descriptor(self) -> int:
        """The open file to hand to a child."""
        return self._file.fileno()

    def release(self) -> None:
        """Give it back; who inherited it keeps it."""
        self._file.close()


def is_running(home: Home) -> bool:
    """Return whether somebody runs or prepares this stack now."""
    try:
        file = _open_lock(home)
    except FileNotFoundError:
        return False
    with file:
        # Shared, so that two who look at once do not see each other.
        return not _get(file, fcntl.LOCK_SH)


def sign_lock(home: Home) -> None:
    """Put our name in the lock file, so that others can ask us to stop; who only stops or deletes does not sign."""
    # On a full disk the state file has to do, which names the supervisor too.
    with contextlib.suppress(OSError):
        _lock_path(home).write_text(f"{os.getpid()} {psutil.Process().create_time()}", "utf-8")


def find_runners(home: Home) -> set[int]:
    """Return the pids of those living who prepared or run the stack; ask while somebody else holds its lock."""
    known: list[tuple[int, float]] = []
    with contextlib.suppress(OSError, ValueError):
        pid, created = _lock_path(home).read_text("utf-8").split()
        known.append((int(pid), float(created)))
    if state := read_state(home):
        known.append((state.supervisor_pid, state.supervisor_created))
    return {pid for pid, created in known if is_alive(pid, created)}


def _open_lock(home: Home) -> IO[str]:
    try:
        return _lock_path(home).open("a")
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StackError(
            f"{home.root} cannot be used ({error.strerror}); set CASH_HOME to a folder of yours"
        ) from error


def _get(file: IO[str], kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _path(home: Home) -> Path:
    return home.run / "state.json"


def _lock_path(home: Home) -> Path:
    return home.run / "lock"
