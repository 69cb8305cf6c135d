"""Processes whose supervisor was killed: found and ended before anything starts again."""

import contextlib
import os
import signal
import time

import psutil

from infra.local.home import Home
from infra.local.state import read_state

# Every process carries it in its environment; servers that overwrite theirs work in their data folder.
MARK = "CASH_STACK"
_PATIENCE_S = 20.0


def find_orphans(home: Home) -> list[psutil.Process]:
    """Return living processes of a stack whose supervisor is gone; call it only while holding the stack's lock."""
    found: dict[int, psutil.Process] = {}
    state = read_state(home)
    for known in state.processes.values() if state else ():
        if known.alive() and known.pid is not None:
            found[known.pid] = psutil.Process(known.pid)
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and (process.environ().get(MARK) == str(home.root) or _serves(home, process)):
                found[process.pid] = process
        except (psutil.Error, OSError):
            continue
    # Children go with their parents; ended one by one, PostgreSQL's would make it restart them.
    return [process for process in found.values() if _parent(process) not in found]


def end_orphans(home: Home) -> int:
    """End them, gently first: PostgreSQL by its fast shutdown, the others by SIGTERM; return how many there were."""
    orphans = find_orphans(home)
    for process in orphans:
        _send(process, signal.SIGINT if _name(process) == "postgres" else signal.SIGTERM)
    _, stubborn = psutil.wait_procs(orphans, timeout=_PATIENCE_S)
    for process in stubborn:
        _send(process, signal.SIGKILL)
    psutil.wait_procs(stubborn, timeout=5)
    return len(orphans)


def end_group(leader: int) -> None:
    """Kill what is left of a dead process's group and wait until it is gone."""
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:
        try:
            os.killpg(leader, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            return
        time.sleep(0.02)


def _serves(home: Home, process: psutil.Process) -> bool:
    """Tell a server that overwrote its environment by the data folder it works in, away from any terminal."""
    folders = (str(home.redis), str((home.postgres / "data").resolve()))
    return process.cwd() in folders and process.terminal() is None


def _send(process: psutil.Process, number: int) -> None:
    with contextlib.suppress(psutil.Error):
        process.send_signal(number)


def _parent(process: psutil.Process) -> int:
    try:
        return process.ppid()
    except psutil.Error:
        return 0


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.Error:
        return ""
