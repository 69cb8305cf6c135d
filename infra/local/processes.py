"""What a process of the stack is: how to start it, how to see it is ready, how to stop it."""

import hashlib
import os
import pwd
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.local.home import Home, write_whole
from infra.local.probes import Probe

PROJECT = Path(__file__).resolve().parents[2]
# FastStream gives its last batch 15 s; whoever stops it must be more patient than that.
STOP_WITHIN_S = 20.0


@dataclass(frozen=True, slots=True)
class Process:
    """One supervised program.

    ``after`` names the processes and steps that come first. One that ``waits`` is started before them all the same
    and begins when it reads a line. A server stops after those that use it; what ``stops_first`` still gets answers
    from the others meanwhile.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    probe: Probe
    port: int
    after: Sequence[str] = ()
    waits: bool = False
    is_server: bool = False
    stops_first: bool = False
    stop_signal: int = signal.SIGTERM
    stop_within_s: float = STOP_WITHIN_S
    user: str | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """A command that runs to its end before others start; skipped while ``fingerprint`` is what it was last time."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    fingerprint: str
    after: Sequence[str] = ()

    def is_done(self, home: Home) -> bool:
        """Return whether it was done with this fingerprint."""
        try:
            return self._mark(home).read_text("utf-8") == self.fingerprint
        except OSError:
            return False

    def remember(self, home: Home) -> None:
        """Note that it is done."""
        write_whole(self._mark(home), self.fingerprint)

    def _mark(self, home: Home) -> Path:
        return home.run / f"{self.name}.done"


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything one stack runs; ``afterwards`` is done when all is ready, at the lowest priority, and may fail."""

    processes: Sequence[Process]
    steps: Sequence[Step] = ()
    afterwards: Sequence[Step] = ()


def inherited() -> dict[str, str]:
    """Return what a child may know of our environment: none of our settings; bytecode is kept, for quick restarts."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("CASH_")}
    own.pop("PYTHONDONTWRITEBYTECODE", None)
    # Two malloc arenas instead of eight per core: threads share memory that would otherwise lie idle.
    return {**own, "PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1", "MALLOC_ARENA_MAX": "2"}


def as_user(name: str | None) -> dict[str, Any]:
    """Return how ``subprocess`` runs a program as this user, and in this user's group only; nobody: as we are."""
    return {"user": name, "group": pwd.getpwnam(name).pw_gid, "extra_groups": []} if name else {}


def fingerprint_of(paths: Sequence[Path], *extra: str) -> str:
    """Return a digest of files (folders: every Python file below) and words; it changes when any of them does."""
    digest = hashlib.sha256("\0".join(extra).encode())
    for path in paths:
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(str(file.relative_to(PROJECT)).encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
