"""What a stack runs, and how it is made ready to: from somebody's choices to a plan for the supervisor."""

import json
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from infra.deployment.recipes import COMMANDS, STEPS, Recipes
from infra.deployment.secrets import Secrets
from infra.local.downloads import Servers, find_servers
from infra.local.environment import local_places
from infra.local.home import Home, Say, StackError, write_whole
from infra.local.kafka import kafka_identity, kafka_process, prepare_kafka
from infra.local.orphans import end_orphans
from infra.local.ports import choose_ports, read_ports
from infra.local.postgres import postgres_identity, postgres_process, prepare_postgres
from infra.local.probes import http_probe
from infra.local.processes import PROJECT, Plan, Process, Step, fingerprint_of, inherited
from infra.local.redis import redis_process
from infra.local.secrets import ensure_secrets, read_secrets
from infra.local.start_cache import can_train, find_start_cache
from infra.local.state import forget_state, sign_lock
from infra.local.supervisor import Supervisor

SERVERS = ("postgres", "redis", "kafka", "mailbox")
EVERYTHING = (*SERVERS, *COMMANDS)


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
    recipes = Recipes(secrets, local_places(ports))
    steps = _steps(home, recipes, secrets)
    first = ("postgres", "redis", "kafka", *(step.name for step in steps))
    trained = find_start_cache(prepared.servers)
    processes: list[Process] = [
        postgres_process(home, prepared.servers.postgres_programs, ports["postgres"]),
        redis_process(home, prepared.servers.redis_server, ports["redis"], secrets),
        kafka_process(home, prepared.servers, ports["kafka"], trained),
    ]
    mailbox = recipes.http("mailbox") | recipes.smtp() | {"CASH_MAIL_FOLDER": str(home.mail)}
    commands = {"mailbox": ("-m", "infra.local.mailbox"), **COMMANDS}
    for name, arguments in commands.items():
        settings = mailbox if name == "mailbox" else recipes.of(name)
        ours = name in COMMANDS
        launch = [sys.executable, "-m", "infra.local.launch"]
        processes.append(
            Process(
                name=name,
                command=[*launch, *arguments[1:]] if ours else [sys.executable, *arguments],
                environment=inherited() | passed_on() | settings | dict(prepared.choices.settings),
                probe=http_probe(ports[name]),
                port=ports[name],
                after=first if ours else (),
                waits=ours,
                is_server=not ours,
                stops_first=name == "gateway",
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


def _steps(home: Home, recipes: Recipes, secrets: Secrets) -> list[Step]:
    postgres, kafka = PROJECT / "infra" / "postgres", PROJECT / "infra" / "kafka"
    databases, broker = postgres_identity(home), kafka_identity(home)
    contents = {
        "bootstrap-postgres": ([postgres / "bootstrap.py"], databases, ["postgres"]),
        "migrate": ([postgres], databases, ["postgres", "bootstrap-postgres"]),
        "bootstrap-kafka": ([PROJECT / "contracts" / "topics.py", kafka], broker, ["kafka"]),
    }
    # For stacks made before there was an administrator: the broker's user, which always was there, makes it.
    besides = {"bootstrap-kafka": {"CASH_KAFKA_BROKER_PASSWORD": secrets.kafka_password("broker")}}
    steps = []
    for name, (files, identity, after) in contents.items():
        settings = recipes.of(name) | besides.get(name, {})
        passwords = sorted(value for key, value in settings.items() if key.endswith("PASSWORD"))
        fingerprint = fingerprint_of(files, identity, *passwords)
        steps.append(Step(name, [sys.executable, *STEPS[name]], inherited() | settings, fingerprint, after))
    return steps


def passed_on() -> dict[str, str]:
    """Return what a person chose for the stack as a whole, for those of our processes that run it, and for all."""
    names = ("CASH_CACHE", "CASH_REDIS_SERVER", "CASH_TRACES_ENDPOINT", "CASH_TRACES_SAMPLE_RATIO")
    return {name: os.environ[name] for name in names if name in os.environ}


def _choices_path(home: Home) -> Path:
    return home.run / "choices.json"


def remembered(home: Home) -> Prepared:
    """Return the stack that :func:`prepare` made ready here, for a process that runs it in the background."""
    choices = Choices(**json.loads(_choices_path(home).read_text("utf-8")))
    return Prepared(home, choices, find_servers(lambda _: None), read_ports(home), read_secrets(home))


def supervise(prepared: Prepared, say: Say) -> Supervisor:
    """Return the supervisor of a prepared stack; the caller runs it."""
    return Supervisor(prepared.home, make_plan(prepared), say)
