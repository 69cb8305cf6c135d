"""The local stack as one thing: prepared, started, asked, stopped; the same for people and for tests."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from infra.deployment.recipes import Recipes
from infra.local.environment import local_recipes
from infra.local.home import Home, Say, StackError
from infra.local.logs import last_lines
from infra.local.orphans import end_orphans
from infra.local.plan import Choices, passed_on, prepare, remembered, supervise
from infra.local.ports import read_ports
from infra.local.postgres import remove_postgres
from infra.local.processes import PROJECT, inherited
from infra.local.state import Condition, Lock, StackState, find_runners, is_running, read_state, sign_lock
from infra.local.supervisor import hold_file

READY_WITHIN_S = 120.0
_STOPPED_WITHIN_S = 90.0


class LocalStack:
    """One local stack in one data folder, run by a supervisor in the background.

    Args:
        home: its data folder; two stacks never share one.
        choices: which processes, which ports, which settings besides the usual.
        say: told what happens during a start; nobody by default.
    """

    def __init__(self, home: Home | Path, choices: Choices | None = None, say: Say = lambda _: None) -> None:
        self.home = home if isinstance(home, Home) else Home(home)
        self._choices = choices or Choices(any_ports=True)
        self._say = say

    def start(self, within_s: float = READY_WITHIN_S) -> None:
        """Start what is not running and return when all is ready; raise with the reason when it does not get so."""
        self.home.create()
        lock = Lock.take(self.home)
        if lock is not None:
            try:
                prepare(self.home, self._choices, self._say)
                self._spawn(lock)
            finally:
                # The supervisor has inherited it and keeps it.
                lock.release()
        self.wait_ready(within_s, give_up=True)

    def stop(self) -> bool:
        """Stop everything, a start that still prepares too; return whether there was anything to stop."""
        try:
            lock, asked = self._take_over()
        except FileNotFoundError:
            return False
        try:
            return bool(end_orphans(self.home)) or asked
        finally:
            lock.release()

    def reset(self) -> None:
        """Stop everything and delete what the stack made and nothing else; downloads stay."""
        self.home.create()
        lock, _ = self._take_over()
        try:
            end_orphans(self.home)
            remove_postgres(self.home)
            for folder in (self.home.kafka, self.home.redis, self.home.mail, self.home.logs, self.home.run):
                shutil.rmtree(folder, ignore_errors=True)
            for file in (self.home.secrets, self.home.ports):
                file.unlink(missing_ok=True)
            # With a file of somebody else's in it, the folder is still ours to start anew in.
            if list(self.home.root.iterdir()) == [self.home.marker]:
                shutil.rmtree(self.home.root)
        finally:
            lock.release()

    def _take_over(self) -> tuple[Lock, bool]:
        """Ask whoever has the lock to stop, once each, until it is ours; return it and whether anybody was asked."""
        asked = {os.getpid()}
        deadline = time.monotonic() + _STOPPED_WITHIN_S
        while (lock := Lock.take(self.home)) is None:
            for pid in find_runners(self.home) - asked:
                asked.add(pid)
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)
            if time.monotonic() > deadline:
                raise StackError(
                    f"the stack in {self.home.root} did not stop within {_STOPPED_WITHIN_S:.0f} s;"
                    f" see {self.home.log('supervisor')}"
                )
            time.sleep(0.05)
        return lock, len(asked) > 1

    def wait_ready(self, within_s: float = READY_WITHIN_S, *, give_up: bool = False) -> None:
        """Wait until every process is ready; raise when time is up.

        With ``give_up`` also as soon as one died so often that it counts as failing; without, it is
        waited for, since the supervisor goes on trying.
        """
        deadline = time.monotonic() + within_s
        while True:
            state = self.state()
            # While another start prepares, the file may still tell of the stack before.
            state = state if state is not None and state.supervised() else None
            if state is not None and state.ready():
                return
            if give_up and state is not None and state.failure:
                raise StackError(
                    f"{self._with_log(state, state.failure)}\nThe others keep running; `cash down` stops them."
                )
            if not is_running(self.home):
                lines = last_lines(self.home.log("supervisor"), 5)
                raise StackError(f"the stack's supervisor ended: {' '.join(lines) or 'it left no word'}")
            if time.monotonic() > deadline:
                raise StackError(self._with_log(state, f"not ready after {within_s:.0f} s"))
            time.sleep(0.05)

    def state(self) -> StackState | None:
        """Return what the supervisor last wrote."""
        return read_state(self.home)

    @property
    def ports(self) -> dict[str, int]:
        """The port of each listener, by name."""
        return read_ports(self.home)

    @property
    def recipes(self) -> Recipes:
        """What its processes are told; it exists from the first start on."""
        return local_recipes(self.home)

    def environment(self, name: str) -> dict[str, str]:
        """Return the settings of a process or step, to run something in its place."""
        return self.recipes.of(name)

    def pid(self, name: str) -> int:
        """Return the pid of a process that runs now."""
        state = self.state()
        process = state.processes.get(name) if state else None
        if process is None or process.pid is None or not process.alive():
            raise StackError(f"{name} is not running")
        return process.pid

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """Send a process a signal; the supervisor starts it again."""
        os.kill(self.pid(name), number)

    def wait_for_restart(self, name: str, before: int, within_s: float = 60.0) -> None:
        """Wait until a process that had the pid ``before`` runs anew and is ready."""
        deadline = time.monotonic() + within_s
        while True:
            state = self.state()
            process = state.processes[name] if state else None
            if process and process.condition is Condition.READY and process.pid != before:
                return
            if time.monotonic() > deadline:
                raise StackError(self._with_log(state, f"{name} did not come back within {within_s:.0f} s"))
            time.sleep(0.05)

    def hold(self, name: str) -> None:
        """Stop a process and keep it stopped until ``release``."""
        hold_file(self.home, name).touch()
        self._wait_for(name, Condition.HELD)

    def release(self, name: str) -> None:
        """Let a held process start again and wait until all is ready."""
        hold_file(self.home, name).unlink(missing_ok=True)
        self._wait_for(name, Condition.READY)

    @contextmanager
    def held(self, name: str) -> Iterator[None]:
        """Keep a process stopped within the block; afterwards it runs and is ready, whatever happened."""
        try:
            self.hold(name)
            yield
        finally:
            self.release(name)

    def _wait_for(self, name: str, condition: Condition, within_s: float = 60.0) -> None:
        deadline = time.monotonic() + within_s
        while (state := self.state()) is None or state.processes[name].condition is not condition:
            if time.monotonic() > deadline:
                raise StackError(f"{name} is not {condition} after {within_s:.0f} s")
            time.sleep(0.05)

    def _spawn(self, lock: Lock) -> None:
        with self.home.log("supervisor").open("ab") as log, warnings.catch_warnings():
            # It outlives this object on purpose; Popen would warn of that when it is collected.
            warnings.simplefilter("ignore", ResourceWarning)
            subprocess.Popen(
                [sys.executable, "-m", "infra.local.stack", str(self.home.root), str(lock.descriptor)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=PROJECT,
                env=inherited() | passed_on(),
                pass_fds=(lock.descriptor,),
                start_new_session=True,
            )

    def _with_log(self, state: StackState | None, sentence: str) -> str:
        """Add to a sentence what those in trouble logged last: the failing, or else all that are not ready."""
        late = [one for one in state.processes.values() if one.condition is not Condition.READY] if state else []
        failing = [one for one in late if one.condition is Condition.FAILING]
        lines = [sentence]
        for process in failing or late:
            lines.append(f"{process.name} is {process.condition}{f' ({process.why})' if process.why else ''}")
            if process.condition is not Condition.WAITING:
                lines += [f"    {line}" for line in last_lines(self.home.log(process.name), 8)]
        if state and state.preparing:
            step = state.preparing[0]
            lines += [f"{step} is not done", *(f"    {line}" for line in last_lines(self.home.log(step), 8))]
        return "\n".join(lines)


async def _run_in_background(home: Home) -> None:
    supervisor = supervise(remembered(home), lambda sentence: print(sentence, flush=True))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, supervisor.stop)
    await supervisor.run()


if __name__ == "__main__":
    lock = Lock.inherit(int(sys.argv[2]))
    home = Home(Path(sys.argv[1]))
    sign_lock(home)
    asyncio.run(_run_in_background(home))
    lock.release()
