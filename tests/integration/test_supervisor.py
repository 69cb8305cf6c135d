"""The supervisor, with small programs in the place of servers."""

import asyncio
import contextlib
import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from infra.local import supervisor as supervising
from infra.local.home import Home
from infra.local.processes import PROJECT, Plan, Process, Step, inherited
from infra.local.stack import LocalStack
from infra.local.state import Condition, StackState, read_state
from infra.local.status import look
from infra.local.supervisor import Supervisor, hold_file

SLEEPS = "import time; print('up', flush=True); time.sleep(600)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEPS}"
DIES = "import sys; print('the reason', flush=True); sys.exit(3)"


def a_home(folder: Path) -> Home:
    home = Home(folder)
    home.create()
    return home


def a_process(home: Home, name: str, program: str, *, stop_within_s: float = 5, after: tuple[str, ...] = ()) -> Process:
    """A program that counts as ready once it has printed something."""

    async def probe() -> str | None:
        log = home.log(name)
        return None if log.exists() and log.stat().st_size else "has not said a word"

    command = [sys.executable, "-c", program]
    return Process(name, command, inherited(), probe, port=1, after=after, stop_within_s=stop_within_s)


class Watched:
    """A supervisor that runs, and what it said."""

    def __init__(self, home: Home, plan: Plan) -> None:
        self.said: list[str] = []
        self.home = home
        self.supervisor = Supervisor(home, plan, self.say)

    def say(self, sentence: str) -> None:
        self.said.append(sentence)

    def pid(self, name: str) -> int:
        pid = self.supervisor.state.processes[name].pid
        assert pid is not None
        return pid

    def condition(self, name: str) -> Condition:
        return self.supervisor.state.processes[name].condition


@contextlib.asynccontextmanager
async def running(home: Home, *processes: Process, steps: tuple[Step, ...] = ()) -> AsyncIterator[Watched]:
    watched = Watched(home, Plan(processes, steps))
    task = asyncio.create_task(watched.supervisor.run())
    try:
        yield watched
    finally:
        watched.supervisor.stop()
        await asyncio.wait_for(task, 30)


async def until(true: Callable[[], bool], within_s: float = 20) -> None:
    async with asyncio.timeout(within_s):
        while not true():
            await asyncio.sleep(0.02)


def exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_all_become_ready_in_order_and_stop(tmp_path: Path) -> None:
    home = a_home(tmp_path)
    second = a_process(home, "second", SLEEPS, after=("first",))

    async with running(home, second, a_process(home, "first", SLEEPS)) as watched:
        await asyncio.wait_for(watched.supervisor.ready.wait(), 20)
        pids = [watched.pid("first"), watched.pid("second")]
        state = read_state(home)
        assert state is not None
        assert state.ready()
        first, then = (state.processes[name].started_at for name in ("first", "second"))
        assert first is not None
        assert then is not None
        assert first < then

    assert not any(exists(pid) for pid in pids)
    assert watched.condition("first") is Condition.STOPPED


async def test_killed_process_is_started_again(tmp_path: Path) -> None:
    home = a_home(tmp_path)

    async with running(home, a_process(home, "server", SLEEPS)) as watched:
        await asyncio.wait_for(watched.supervisor.ready.wait(), 20)
        killed = watched.pid("server")
        os.kill(killed, signal.SIGKILL)
        await until(lambda: watched.condition("server") is Condition.READY and watched.pid("server") != killed)

        assert watched.supervisor.state.processes["server"].restarts == 1
        assert watched.said == ["server ended with signal SIGKILL; starting it again in 0.2 s", "server is ready again"]


async def test_process_that_keeps_dying_is_reported_with_its_last_lines(tmp_path: Path) -> None:
    home = a_home(tmp_path)

    async with running(home, a_process(home, "server", DIES)) as watched:
        await asyncio.wait_for(watched.supervisor.failed.wait(), 20)

        assert watched.condition("server") is Condition.FAILING
        assert watched.supervisor.state.failure == "server keeps dying, the last time it ended with exit code 3"
        assert "the reason" in watched.said[-1]
        pauses = [float(said.rsplit(" ", 2)[-2]) for said in watched.said if "starting it again" in said]
        assert pauses == sorted(pauses)
        assert pauses[0] < pauses[-1]


async def test_process_that_ignores_the_stop_is_killed_after_its_deadline(tmp_path: Path) -> None:
    home = a_home(tmp_path)

    async with running(home, a_process(home, "server", STUBBORN, stop_within_s=0.3)) as watched:
        await asyncio.wait_for(watched.supervisor.ready.wait(), 20)
        pid = watched.pid("server")

    assert not exists(pid)
    assert watched.said == ["server did not stop within 0 s and is killed"]


async def test_second_request_to_stop_leaves_the_processes_their_time(tmp_path: Path) -> None:
    home = a_home(tmp_path)

    async with running(home, a_process(home, "server", STUBBORN, stop_within_s=1.5)) as watched:
        await asyncio.wait_for(watched.supervisor.ready.wait(), 20)
        watched.supervisor.stop()
        await until(lambda: watched.condition("server") is Condition.STOPPING)
        watched.supervisor.stop()

    assert watched.said == ["server did not stop within 2 s and is killed"]


async def test_stop_in_a_hurry_kills_at_once(tmp_path: Path) -> None:
    home = a_home(tmp_path)

    async with running(home, a_process(home, "server", STUBBORN, stop_within_s=60)) as watched:
        await asyncio.wait_for(watched.supervisor.ready.wait(), 20)
        began = time.monotonic()
        watched.supervisor.stop()
        await until(lambda: watched.condition("server") is Condition.STOPPING)
        watched.supervisor.hurry()
        await until(lambda: watched.condition("server") is Condition.STOPPED)

    assert time.monotonic() - began < 20


async def test_children_of_a_dead_process_go_with_it(tmp_path: Path) -> None:
    home = a_home(tmp_path)
    child = tmp_path / "child"
    parent = "import subprocess, sys; c = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
    parent += f"open({str(child)!r}, 'w').write(str(c.pid)); {SLEEPS}"

    async with running(home, a_process(home, "server", parent)) as watched:
        await asyncio.wait_for(watched.supervisor.ready.wait(), 20)
        os.kill(watched.pid("server"), signal.SIGKILL)

        await until(lambda: not exists(int(child.read_text())))


async def test_waiting_process_is_started_early_and_begins_in_its_turn(tmp_path: Path) -> None:
    home = a_home(tmp_path)
    gate = tmp_path / "gate"
    opens = f"import os, time\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.02)\n{SLEEPS}"
    waiting = a_process(home, "second", f"import sys; sys.stdin.readline(); {SLEEPS}", after=("first",))

    async with running(home, a_process(home, "first", opens), replace(waiting, waits=True)) as watched:
        await until(lambda: watched.supervisor.state.processes["second"].alive())
        assert watched.condition("second") is Condition.WAITING
        assert not home.log("second").read_text()
        gate.touch()
        await asyncio.wait_for(watched.supervisor.ready.wait(), 20)
        os.kill(watched.pid("second"), signal.SIGKILL)
        await until(lambda: watched.said[-1:] == ["second is ready again"])


async def test_stop_does_not_wait_for_the_turn_of_a_waiting_process(tmp_path: Path) -> None:
    home = a_home(tmp_path)
    waiting = replace(a_process(home, "second", SLEEPS, after=("first",)), waits=True)

    async with running(home, a_process(home, "first", DIES), waiting) as watched:
        await until(lambda: watched.supervisor.state.processes["second"].alive())
        began = time.monotonic()

    assert time.monotonic() - began < 4


def launched(folder: Path, word: str) -> subprocess.CompletedProcess[str]:
    (folder / "late.py").write_text("import decimal, sys\nprint(__name__, sys.argv[1:], sys.stdin.read())\n")
    environment = inherited() | {"PYTHONPATH": os.pathsep.join((str(PROJECT), str(folder)))}
    command = [sys.executable, "-m", "infra.local.launch", "late", "--topics", "x"]
    return subprocess.run(command, env=environment, input=word, capture_output=True, text=True, check=False, timeout=20)


def test_launched_program_runs_as_if_started_alone_once_it_has_the_word(tmp_path: Path) -> None:
    assert launched(tmp_path, "\n").stdout == "__main__ ['--topics', 'x'] \n"


def test_launched_program_ends_quietly_when_the_supervisor_is_gone(tmp_path: Path) -> None:
    ended = launched(tmp_path, "")

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


async def test_held_process_stays_away_until_it_is_released(tmp_path: Path) -> None:
    home = a_home(tmp_path)

    async with running(home, a_process(home, "server", SLEEPS)) as watched:
        await asyncio.wait_for(watched.supervisor.ready.wait(), 20)
        hold_file(home, "server").touch()
        await until(lambda: watched.condition("server") is Condition.HELD)
        assert not watched.supervisor.state.processes["server"].alive()
        hold_file(home, "server").unlink()
        await until(lambda: watched.condition("server") is Condition.READY)

        assert watched.supervisor.state.processes["server"].restarts == 0


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervising, "LONGEST_PAUSE_S", 0.2)


async def test_step_runs_once_for_one_fingerprint_and_before_those_that_need_it(tmp_path: Path) -> None:
    home = a_home(tmp_path)
    done = tmp_path / "done"
    program = [sys.executable, "-c", f"open({str(done)!r}, 'a').write('x')"]

    for fingerprint in ("one", "one", "two"):
        step = Step("prepare", program, inherited(), fingerprint)
        async with running(home, a_process(home, "server", SLEEPS, after=("prepare",)), steps=(step,)) as watched:
            await asyncio.wait_for(watched.supervisor.ready.wait(), 20)
            assert done.exists()

    assert done.read_text() == "xx"


@pytest.mark.usefixtures("hasty")
async def test_step_that_fails_is_reported_and_tried_until_it_works(tmp_path: Path) -> None:
    home = a_home(tmp_path)
    cause = tmp_path / "cause"
    cause.touch()
    program = f"import os, sys; print('no way'); sys.exit(os.path.exists({str(cause)!r}))"
    step = Step("prepare", [sys.executable, "-c", program], inherited(), "one")

    async with running(home, a_process(home, "server", SLEEPS, after=("prepare",)), steps=(step,)) as watched:
        await asyncio.wait_for(watched.supervisor.failed.wait(), 20)
        assert watched.said[-1].splitlines()[0] == "prepare ended with exit code 1"
        assert "no way" in watched.said[-1]
        cause.unlink()
        await asyncio.wait_for(watched.supervisor.ready.wait(), 20)

    assert watched.supervisor.state.failure is None


@pytest.mark.usefixtures("hasty")
async def test_program_that_cannot_be_started_is_reported_and_tried_until_it_can(tmp_path: Path) -> None:
    home = a_home(tmp_path)
    program, step_program = tmp_path / "server", tmp_path / "prepare"
    process = Process("server", [str(program)], inherited(), a_process(home, "server", SLEEPS).probe, port=1)
    step = Step("prepare", [str(step_program)], inherited(), "one")

    async with running(home, process, steps=(step,)) as watched:
        await until(lambda: watched.condition("server") is Condition.FAILING)
        assert watched.said[0].startswith(("server could not be started (", "prepare could not be started ("))
        for path, does in ((program, "echo up; exec sleep 600"), (step_program, "exit 0")):
            path.write_text(f"#!/bin/sh\n{does}\n")
            path.chmod(0o700)
        await asyncio.wait_for(watched.supervisor.ready.wait(), 20)


async def test_full_disk_and_closed_terminal_keep_no_process_from_being_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = a_home(tmp_path)
    write, full = StackState.write, False
    monkeypatch.setattr(supervising, "_TEND_EVERY_S", 0.05)

    def write_if_there_is_room(state: StackState, home: Home) -> None:
        if full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(state, home)

    def say(watched: Watched, sentence: str) -> None:
        raise BrokenPipeError

    def written_pid() -> int | None:
        state = read_state(home)
        return state.processes["server"].pid if state else None

    monkeypatch.setattr(StackState, "write", write_if_there_is_room)
    monkeypatch.setattr(Watched, "say", say)
    async with running(home, a_process(home, "server", SLEEPS)) as watched:
        await asyncio.wait_for(watched.supervisor.ready.wait(), 20)
        full, killed = True, watched.pid("server")
        os.kill(killed, signal.SIGKILL)
        await until(lambda: watched.condition("server") is Condition.READY and watched.pid("server") != killed)
        assert written_pid() == killed

        full = False
        await until(lambda: written_pid() == watched.pid("server"))


PREPARES = """
import sys, time
from pathlib import Path
from infra.local import plan
from infra.local.home import Home, StackError
from infra.local.state import Lock

home = Home(Path(sys.argv[1]))
lock = Lock.take(home)
plan.find_servers = lambda say: print("fetching", flush=True) or time.sleep(600)
try:
    plan.prepare(home, plan.Choices(), print)
except StackError as error:
    print(error)
"""


def test_start_that_still_prepares_is_stopped(tmp_path: Path) -> None:
    home = a_home(tmp_path)
    (home.run / "state.json").write_text("{}")
    hold_file(home, "kafka").touch()
    command = [sys.executable, "-c", PREPARES, str(tmp_path)]
    with (
        subprocess.Popen(command, cwd=PROJECT, env=inherited(), stdout=subprocess.PIPE, text=True) as start,
        contextlib.ExitStack() as at_last,
    ):
        at_last.callback(start.kill)
        assert start.stdout is not None
        assert start.stdout.readline() == "fetching\n"
        assert look(home).being_prepared
        # What the last run left is gone as soon as somebody starts anew.
        assert [path.name for path in home.run.iterdir()] == ["lock"]
        began = time.monotonic()

        assert LocalStack(home).stop()

        assert start.stdout.read() == "the start was stopped; start again with `cash up`\n"
    assert time.monotonic() - began < 20
    assert not LocalStack(home).stop()
