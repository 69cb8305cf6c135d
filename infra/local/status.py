"""The stack as it is now: what the supervisor wrote, and what the operating system says about the same processes."""

import time
from dataclasses import dataclass

import psutil

from infra.local.home import Home
from infra.local.state import Condition, ProcessState, StackState, find_runners, is_running, read_state

UNSUPERVISED = "unsupervised"


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """One process; memory is its own and its children's, shared pages counted by share (PSS) where the system tells."""

    name: str
    state: str
    why: str | None
    pid: int | None
    uptime_s: int | None
    memory_bytes: int | None
    restarts: int
    port: int | None


@dataclass(frozen=True, slots=True)
class StackStatus:
    """All processes in start order, the supervisor last.

    ``being_prepared`` while somebody starts it (downloads, makes data folders) and no supervisor runs yet.
    """

    home: str
    running: bool
    being_prepared: bool
    ready: bool
    preparing: list[str]
    failure: str | None
    memory_bytes: int
    processes: list[ProcessStatus]


def look(home: Home) -> StackStatus:
    """Look at a stack; one that was never started has no processes."""
    state = read_state(home)
    locked = is_running(home)
    running = locked and state is not None and state.supervised()
    processes = [_look_at(process, running) for process in state.processes.values()] if state else []
    ready = (
        running and state is not None and not state.preparing and all(one.state == Condition.READY for one in processes)
    )
    if running and state:
        processes.append(_supervisor(state))
    return StackStatus(
        home=str(home.root),
        running=running,
        being_prepared=locked and not running and bool(find_runners(home)),
        ready=ready,
        preparing=state.preparing if state else [],
        failure=state.failure if state else None,
        memory_bytes=sum(process.memory_bytes or 0 for process in processes),
        processes=processes,
    )


def _look_at(process: ProcessState, running: bool) -> ProcessStatus:
    alive = process.alive()
    state, why = str(process.condition), process.why
    if not running:
        state, why = UNSUPERVISED if alive else str(Condition.STOPPED), None
    elif process.condition is Condition.READY and not alive:
        # The supervisor has not seen it yet, or could not write what it saw.
        state, why = str(Condition.NOT_READY), "its process is gone"
    return ProcessStatus(
        name=process.name,
        state=state,
        why=why,
        pid=process.pid if alive else None,
        uptime_s=round(time.time() - process.started_at) if alive and process.started_at else None,
        memory_bytes=_memory(process.pid, with_children=True) if alive and process.pid else None,
        restarts=process.restarts,
        port=process.port,
    )


def _supervisor(state: StackState) -> ProcessStatus:
    pid = state.supervisor_pid
    return ProcessStatus(
        name="supervisor",
        state=str(Condition.READY),
        why=None,
        pid=pid,
        uptime_s=round(time.time() - state.supervisor_created),
        memory_bytes=_memory(pid, with_children=False),
        restarts=0,
        port=None,
    )


def _memory(pid: int, *, with_children: bool) -> int | None:
    try:
        leader = psutil.Process(pid)
        family = [leader, *leader.children(recursive=True)] if with_children else [leader]
    except psutil.Error:
        return None
    total = 0
    for process in family:
        try:
            total += getattr(process.memory_full_info(), "pss", 0) or process.memory_info().rss
        except psutil.Error:
            continue
    return total
