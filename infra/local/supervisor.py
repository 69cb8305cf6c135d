"""Runs the processes of a stack: in order, watched, restarted when they die, stopped with patience."""

import asyncio
import contextlib
import signal
import subprocess
import time
import traceback
from collections.abc import Coroutine, Mapping, Sequence
from itertools import count
from pathlib import Path

import psutil

from infra.local import logs
from infra.local.home import Home, Say
from infra.local.orphans import MARK, end_group, end_orphans
from infra.local.processes import PROJECT, Plan, Process, Step, as_user
from infra.local.state import Condition, ProcessState, StackState

PROBE_EVERY_S = 0.1
WATCH_EVERY_S = 2.0
# A process that was ready this long was well: its next death starts the back-off anew.
WELL_AFTER_S = 10.0
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 15.0
# Deaths in a row after which a process counts as one that cannot start.
FAILING_AFTER = 4
_TEND_EVERY_S = 10.0
# People try things right after a start; what can wait, waits.
_AFTERWARDS_S = 10.0
_LINES_SHOWN = 12


class Supervisor:
    """Keeps one plan running until it is asked to stop.

    ``ready`` is set once, when every process was ready for the first time; ``failed`` when one cannot
    start. The state file follows every change, late where it cannot be written at once.
    """

    def __init__(self, home: Home, plan: Plan, say: Say) -> None:
        self._home = home
        self._plan = plan
        self._tell = say
        names = [process.name for process in plan.processes] + [step.name for step in plan.steps]
        self._done = {name: asyncio.Event() for name in names}
        self._running: dict[str, asyncio.subprocess.Process] = {}
        self._stopping = asyncio.Event()
        self._hurry = False
        self._unwritten = False
        self.ready = asyncio.Event()
        self.failed = asyncio.Event()
        me = psutil.Process()
        self.state = StackState(
            supervisor_pid=me.pid,
            supervisor_created=me.create_time(),
            processes={process.name: ProcessState(process.name, process.port) for process in plan.processes},
            preparing=[step.name for step in plan.steps],
        )

    def stop(self) -> None:
        """Ask to stop; asking again changes nothing."""
        self._stopping.set()

    def hurry(self) -> None:
        """Stop at once: what still runs is killed."""
        self._hurry = True
        self._stopping.set()
        for process in self._running.values():
            _signal(process, signal.SIGKILL)

    async def run(self) -> None:
        """Run everything until ``stop``, then stop everything: who answers people, the rest of ours, their servers."""
        self._write()
        background = [asyncio.create_task(self._tend_files()), asyncio.create_task(self._do_afterwards())]
        steps = [self._start_task(step.name, self._perform(step)) for step in self._plan.steps]
        keepers = {
            process.name: self._start_task(process.name, self._keep(process)) for process in self._plan.processes
        }
        await self._stopping.wait()
        for task in (*background, *steps):
            task.cancel()
        servers = {name for name, process in self._named().items() if process.is_server}
        first = {name for name, process in self._named().items() if process.stops_first}
        for group in (first, keepers.keys() - first - servers, servers):
            await asyncio.gather(*(self._end(name, keepers[name]) for name in group))
        await asyncio.gather(*background, *steps, return_exceptions=True)
        # What was being started at the very moment of the stop is nobody's child by now.
        await asyncio.to_thread(end_orphans, self._home)
        self._write()

    def _start_task(self, name: str, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        async def report_defects() -> None:
            try:
                await work
            except Exception as error:  # noqa: BLE001 - without its keeper the stack would look alive and not be
                self._fail(f"{name} is not kept running any more: {type(error).__name__}: {error}", name)
                with contextlib.suppress(OSError, ValueError):
                    traceback.print_exception(error)

        return asyncio.create_task(report_defects())

    def _named(self) -> Mapping[str, Process]:
        return {process.name: process for process in self._plan.processes}

    def _say(self, sentence: str) -> None:
        # A closed terminal or a full disk is no reason to leave the processes alone.
        with contextlib.suppress(OSError, ValueError):
            self._tell(sentence)

    def _write(self) -> None:
        try:
            self.state.write(self._home)
            self._unwritten = False
        except OSError:
            self._unwritten = True

    def _change(self, name: str, condition: Condition, why: str | None = None) -> None:
        state = self.state.processes[name]
        if (state.condition, state.why) != (condition, why):
            state.condition, state.why = condition, why
            self._write()

    async def _perform(self, step: Step) -> None:
        """Run a step to its end, unless it was done with the same fingerprint; try again while it fails."""
        if step.is_done(self._home):
            self._finish(step)
            return
        await self._wait_for(step.after)
        for attempt in count(1):
            try:
                process = await self._begin(step)
            except OSError as error:
                why = f"could not be started ({error})"
            else:
                try:
                    code = await process.wait()
                except asyncio.CancelledError:
                    _signal(process, signal.SIGKILL)
                    raise
                if code == 0:
                    # Where it cannot be noted, the next start does it once more.
                    with contextlib.suppress(OSError):
                        step.remember(self._home)
                    self._finish(step)
                    return
                why = f"ended with {_ending(code)}"
            if attempt >= FAILING_AFTER:
                self._fail(f"{step.name} {why}", step.name)
            await asyncio.sleep(pause_s(attempt))

    async def _do_afterwards(self) -> None:
        await self.ready.wait()
        await asyncio.sleep(_AFTERWARDS_S)
        for step in self._plan.afterwards:
            process = await self._begin(step, "nice", "-n", "19", start_new_session=True)
            try:
                await process.wait()
            finally:
                end_group(process.pid)

    async def _begin(self, step: Step, *prefix: str, start_new_session: bool = False) -> asyncio.subprocess.Process:
        with self._home.log(step.name).open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *prefix,
                *step.command,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                cwd=PROJECT,
                env=self._environment(step),
                start_new_session=start_new_session,
            )

    def _finish(self, step: Step) -> None:
        self.state.preparing.remove(step.name)
        self._write()
        self._done[step.name].set()
        self._announce_ready()

    def _announce_ready(self) -> None:
        if self.state.ready():
            if self.state.failure:
                self.state.failure = None
                self._write()
            self.ready.set()

    async def _keep(self, process: Process) -> None:
        """Start a process when its turn has come, and again whenever it dies."""
        if not process.waits:
            await self._wait_for(process.after)
        deaths = 0
        while not self._stopping.is_set():
            if self._held(process.name):
                self._change(process.name, Condition.HELD)
                await asyncio.sleep(PROBE_EVERY_S)
                continue
            try:
                running = await self._start(process)
            except OSError as error:
                why, well_for_s = f"could not be started ({error})", 0.0
            else:
                code, well_for_s = await self._watch(process, running)
                why = f"ended with {_ending(code)}"
                # Children it left behind would hold its port and its files.
                await asyncio.to_thread(end_group, running.pid)
                del self._running[process.name]
            if self._stopping.is_set() or self._held(process.name):
                continue
            deaths = 1 if well_for_s > WELL_AFTER_S else deaths + 1
            pause = pause_s(deaths)
            self.state.processes[process.name].restarts += 1
            if deaths >= FAILING_AFTER:
                self._change(process.name, Condition.FAILING, why)
                self._fail(f"{process.name} keeps dying, the last time it {why}", process.name)
            else:
                self._change(process.name, Condition.RESTARTING, why)
                self._say(f"{process.name} {why}; starting it again in {pause:.1f} s")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)
        self._change(process.name, Condition.STOPPED)

    async def _start(self, process: Process) -> asyncio.subprocess.Process:
        with self._home.log(process.name).open("ab") as log:
            running = await asyncio.create_subprocess_exec(
                *process.command,
                stdin=subprocess.PIPE if process.waits else subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/" if process.user else PROJECT,
                env=self._environment(process),
                **as_user(process.user),
                # Ctrl-C in the terminal is ours to hand on; and a group of its own lets us end its children too.
                start_new_session=True,
            )
        self._running[process.name] = running
        state = self.state.processes[process.name]
        state.pid, state.created, state.started_at = running.pid, None, time.time()
        with contextlib.suppress(psutil.Error):
            state.created = psutil.Process(running.pid).create_time()
        state.condition = Condition.WAITING if process.waits else Condition.STARTING
        self._write()
        return running

    async def _watch(self, process: Process, running: asyncio.subprocess.Process) -> tuple[int, float]:
        """Ask until it is ready, then now and then; return its exit code and how long ago it first was ready."""
        ready_since: float | None = None
        ended = asyncio.create_task(running.wait())
        if process.waits:
            await self._give_the_word(process, running, ended)
        try:
            while not ended.done() and not self._stopping.is_set():
                why = await process.probe()
                if ended.done():
                    break
                if self._held(process.name):
                    self._change(process.name, Condition.STOPPING)
                    await self._terminate(process, running)
                    break
                if self._stopping.is_set():
                    break
                if why is None:
                    if ready_since is None and self.state.processes[process.name].restarts:
                        self._say(f"{process.name} is ready again")
                    self._change(process.name, Condition.READY)
                    ready_since = ready_since or time.monotonic()
                    self._done[process.name].set()
                    self._announce_ready()
                else:
                    was_ready = self.state.processes[process.name].condition in (Condition.READY, Condition.NOT_READY)
                    self._change(process.name, Condition.NOT_READY if was_ready else Condition.STARTING, why)
                await asyncio.wait({ended}, timeout=WATCH_EVERY_S if why is None else PROBE_EVERY_S)
        finally:
            code = await ended
        return code, time.monotonic() - ready_since if ready_since else 0.0

    async def _give_the_word(
        self, process: Process, running: asyncio.subprocess.Process, ended: asyncio.Task[int]
    ) -> None:
        turn = asyncio.create_task(self._wait_for(process.after))
        await asyncio.wait({turn, ended}, return_when=asyncio.FIRST_COMPLETED)
        turn.cancel()
        assert running.stdin is not None
        with contextlib.suppress(ConnectionError):
            if not ended.done():
                running.stdin.write(b"\n")
                await running.stdin.drain()
        running.stdin.close()
        if not self._stopping.is_set():
            self._change(process.name, Condition.STARTING)

    async def _end(self, name: str, keeper: asyncio.Task[None]) -> None:
        running = self._running.get(name)
        if running is None:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)
            self._change(name, Condition.STOPPED)
            return
        self._change(name, Condition.STOPPING)
        await self._terminate(self._named()[name], running)
        await asyncio.gather(keeper, return_exceptions=True)

    async def _terminate(self, process: Process, running: asyncio.subprocess.Process) -> None:
        _signal(running, signal.SIGKILL if self._hurry else process.stop_signal)
        try:
            await asyncio.wait_for(running.wait(), process.stop_within_s)
        except TimeoutError:
            self._say(f"{process.name} did not stop within {process.stop_within_s:.0f} s and is killed")
            _signal(running, signal.SIGKILL)
            await running.wait()

    async def _wait_for(self, names: Sequence[str]) -> None:
        for name in names:
            if name in self._done:
                await self._done[name].wait()

    def _held(self, name: str) -> bool:
        return hold_file(self._home, name).exists()

    def _environment(self, part: Process | Step) -> dict[str, str]:
        return {**part.environment, MARK: str(self._home.root)}

    def _fail(self, sentence: str, name: str) -> None:
        """Report what cannot start, with the last it said."""
        lines: list[str] = []
        with contextlib.suppress(OSError):
            lines = logs.last_lines(self._home.log(name), _LINES_SHOWN)
        self._say("\n".join([sentence, *(f"    {line}" for line in lines)]))
        self.state.failure = sentence
        self._write()
        self.failed.set()

    async def _tend_files(self) -> None:
        while True:
            await asyncio.sleep(_TEND_EVERY_S)
            await asyncio.to_thread(logs.rotate, self._home)
            if self._unwritten:
                self._write()


def pause_s(failures: int) -> float:
    """Return how long to wait after so many failures in a row; twice as long each time, up to a limit."""
    # The exponent has a limit too: after a thousand failures the power alone would be too large for a float.
    return min(FIRST_PAUSE_S * 2.0 ** min(failures - 1, 20), LONGEST_PAUSE_S)


def hold_file(home: Home, process: str) -> Path:
    """Return the file whose presence keeps a process stopped; tests take a server away with it."""
    return home.run / f"{process}.hold"


def _signal(process: asyncio.subprocess.Process, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)


def _ending(code: int) -> str:
    """Say an exit code in words."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"
