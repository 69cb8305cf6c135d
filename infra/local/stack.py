"""The local stack as one thing: prepared, started, asked, stopped; the same for people and for tests."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from infra.local.downloads import Servers, find_servers
from infra.local.environment import Environments
from infra.local.home import Home, Say, StackError, write_whole
from infra.local.kafka import kafka_identity, kafka_process, prepare_kafka
from infra.local.logs import last_lines
from infra.local.orphans import end_orphans
from infra.local.ports import choose_ports, read_ports
from infra.local.postgres import postgres_identity, postgres_process, prepare_postgres, remove_postgres
from infra.local.probes import http_probe
from infra.local.processes import PROJECT, Plan, Process, Step, fingerprint_of, inherited
from infra.local.redis import redis_process
from infra.local.secrets import Secrets, ensure_secrets, read_secrets
from infra.local.start_cache import can_train, find_start_cache
from infra.local.state import Condition, Lock, StackState, find_runners, forget_state, is_running, read_state, sign_lock
from infra.local.supervisor import Supervisor, hold_file

SERVERS = ("postgres", "redis", "kafka", "mailbox")
# The order of `cash status`; what each runs as one command.
COMMANDS: Mapping[str, Sequence[str]] = {
    "gateway": ("-m", "gateway"),
    "identity-consumer": ("-m", "consumers.identity"),
    "ledger-consumer": ("-m", "consumers.ledger", "--topics", "interactive,bulk"),
    "relay": ("-m", "consumers.relay"),
    "celery-worker": ("-m", "consumers.jobs.worker"),
    "celery-beat": ("-m", "consumers.jobs.schedule"),
}
EVERYTHING = (*SERVERS, *COMMANDS)
READY_WITHIN_S = 120.0
_STOPPED_WITHIN_S = 90.0


@dataclass(frozen=True, slots=True)
class Choices:
    """What one stack runs, remembered beside its state so that whoever starts its supervisor runs the same.

    ``settings`` are added to, or replace, the environment of every process of ours.
    """

    processes: Sequence[str] = EVERYTHING
    any_ports: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A stack that may be started: programs found, ports and secrets chosen, data folders made."""

    home: Home
    choices: Choices
    servers: Servers
    ports: dict[str, int]
    secrets: Secrets


def prepare(home: Home, choices: Choices, say: Say) -> Prepared:
    """Make everything ready for a start; safe to repeat. The caller holds the stack's lock.

    A SIGTERM meanwhile, which is how others ask for a stop, raises ``StackError``.
    """
    try:
        with _stopped_by_sigterm():
            return _prepare(home, choices, say)
    except OSError as error:
        raise StackError(
            f"the stack could not be prepared ({error}); make room, or set CASH_HOME and CASH_CACHE to folders of yours"
        ) from error


def _prepare(home: Home, choices: Choices, say: Say) -> Prepared:
    sign_lock(home)
    if ended := end_orphans(home):
        say(f"ended {ended} processes that an earlier start left behind")
    # They told of the last run.
    forget_state(home)
    for held in home.run.glob("*.hold"):
        held.unlink()
    servers = find_servers(say)
    secrets = ensure_secrets(home)
    ports, replaced = choose_ports(home, anywhere=choices.any_ports)
    for sentence in replaced:
        say(sentence)
    write_whole(_choices_path(home), json.dumps(asdict(choices)))
    if not (home.kafka / "data").exists():
        say("making the data folders of PostgreSQL and Kafka")
    with ThreadPoolExecutor() as pool:
        made = [
            pool.submit(prepare_postgres, home, servers.postgres_programs, secrets),
            pool.submit(prepare_kafka, home, servers, ports, secrets),
        ]
        for result in made:
            result.result()
    return Prepared(home, choices, servers, ports, secrets)


@contextmanager
def _stopped_by_sigterm() -> Iterator[None]:
    """Raise at a SIGTERM within the block, so that what was begun is cleaned up; only the main thread hears signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(*_: object) -> None:
        raise StackError("the start was stopped; start again with `cash up`")

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def make_plan(prepared: Prepared) -> Plan:
    """Return what the supervisor runs."""
    home, ports, secrets = prepared.home, prepared.ports, prepared.secrets
    environments = Environments(secrets, ports)
    steps = _steps(home, environments)
    first = ("postgres", "redis", "kafka", *(step.name for step in steps))
    trained = find_start_cache(prepared.servers)
    processes: list[Process] = [
        postgres_process(home, prepared.servers.postgres_programs, ports["postgres"]),
        redis_process(home, prepared.servers.redis_server, ports["redis"], secrets),
        kafka_process(home, prepared.servers, ports["kafka"], trained),
    ]
    mailbox = environments.of("mailbox") | {"CASH_MAIL_FOLDER": str(home.mail)}
    commands = {"mailbox": ("-m", "infra.local.mailbox"), **COMMANDS}
    for name, arguments in commands.items():
        settings = mailbox if name == "mailbox" else environments.of(name)
        ours = name in COMMANDS
        launch = [sys.executable, "-m", "infra.local.launch"]
        processes.append(
            Process(
                name=name,
                command=[*launch, *arguments[1:]] if ours else [sys.executable, *arguments],
                environment=inherited() | settings | dict(prepared.choices.settings),
                probe=http_probe(ports[name]),
                port=ports[name],
                after=first if ours else (),
                waits=ours,
                is_server=not ours,
            )
        )
    chosen = [process for process in processes if process.name in prepared.choices.processes]
    names = {process.name for process in chosen}
    steps = [step for step in steps if set(step.after) & {*SERVERS} <= names]
    training = Step(
        "kafka-training",
        [sys.executable, "-m", "infra.local.start_training"],
        inherited() | passed_on(),
        fingerprint="",
    )
    untrained = "kafka" in names and trained is None and can_train(prepared.servers)
    return Plan(chosen, steps, afterwards=[training] if untrained else [])


def _steps(home: Home, environments: Environments) -> list[Step]:
    postgres, kafka = PROJECT / "infra" / "postgres", PROJECT / "infra" / "kafka"
    databases, broker = postgres_identity(home), kafka_identity(home)
    contents = {
        "bootstrap": ("infra.postgres.bootstrap", [postgres / "bootstrap.py"], databases, ["postgres"]),
        "migrate": ("infra.postgres.migrate", [postgres], databases, ["postgres", "bootstrap"]),
        "topics": ("infra.kafka.topics", [PROJECT / "contracts" / "topics.py", kafka], broker, ["kafka"]),
    }
    steps = []
    for name, (module, files, identity, after) in contents.items():
        settings = environments.of(name)
        secrets = sorted(value for key, value in settings.items() if key.endswith("PASSWORD"))
        fingerprint = fingerprint_of(files, identity, *secrets)
        steps.append(Step(name, [sys.executable, "-m", module], inherited() | settings, fingerprint, after))
    return steps


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
    def environments(self) -> Environments:
        """The environments of its processes; they exist from the first start on."""
        return Environments(read_secrets(self.home), self.ports)

    def environment(self, name: str) -> dict[str, str]:
        """Return the settings of a process or step, to run something in its place."""
        return self.environments.of(name)

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


def passed_on() -> dict[str, str]:
    """Return what a person chose for the stack as a whole, for those of our processes that run it."""
    return {name: os.environ[name] for name in ("CASH_CACHE", "CASH_REDIS_SERVER") if name in os.environ}


def _choices_path(home: Home) -> Path:
    return home.run / "choices.json"


def supervise(prepared: Prepared, say: Say) -> Supervisor:
    """Return the supervisor of a prepared stack; the caller runs it."""
    return Supervisor(prepared.home, make_plan(prepared), say)


async def _run_in_background(home: Home) -> None:
    choices = Choices(**json.loads(_choices_path(home).read_text("utf-8")))
    quiet: Say = lambda _: None  # noqa: E731 - a named function would be longer and say less
    prepared = Prepared(home, choices, find_servers(quiet), read_ports(home), read_secrets(home))
    supervisor = supervise(prepared, lambda sentence: print(sentence, flush=True))
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
