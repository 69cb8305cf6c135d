"""What each process is, for people: ``python -m tests.pages.services`` writes ``docs/services.md`` anew.

Topics, secrets, settings and commands come from the code; what no code says (why, and what happens when it dies) stands
here.
"""

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import fill

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from consumers.settings import CodeKey, IdentityKeys
from contracts.topics import TOPICS
from gateway.settings import GatewayHttpSettings, GatewaySettings, LimitSettings
from infra.deployment.containers import DEPLOYED, complete
from infra.deployment.recipes import COMMANDS, STEPS, Recipes
from infra.grants import GrantSettings
from infra.kafka.users import KafkaUserPasswords
from infra.local.ports import PREFERRED
from infra.postgres.bootstrap import (
    LedgerRolePasswords,
    LedgerServerSettings,
    UsersRolePasswords,
    UsersServerSettings,
)
from infra.secrets import SecretKey
from infra.settings import (
    HttpSettings,
    KafkaSettings,
    LedgerDatabaseSettings,
    LogSettings,
    RedisSettings,
    Settings,
    SmtpSettings,
    TraceSettings,
    UsersDatabaseSettings,
)

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "services.md"
#: What the processes of a deployment run that the local stack runs as one.
BULK = "ledger-consumer-bulk"
#: What every process of ours is told.
COMMON: Sequence[type[Settings]] = (HttpSettings, LogSettings, TraceSettings)


@dataclass(frozen=True, slots=True)
class Service:
    """A process or step, as the page shows it.

    ``tables`` says by database what it reads and what it writes; ``settings`` are the classes that it reads.
    """

    name: str
    does: str
    tables: Mapping[str, str] = field(default_factory=dict)
    redis: str = ""
    ready: str = ""
    scales: str = ""
    dies: str = ""
    settings: Sequence[type[Settings]] = ()


_SCHEMA = "the schema of its databases is the one it needs"
PROCESSES: Sequence[Service] = (
    Service(
        "gateway",
        "Takes requests over HTTP: finds out who asks, checks the shape of what is asked, publishes it as an event and "
        "answers; reads both databases for what is asked back; streams a ledger's journal to whoever watches it. It "
        "decides nothing about money and writes to no database.",
        {
            "users": "reads all but `outbox`, `unique_names` and the text of `mails`",
            "ledger": "reads all but `outbox`",
        },
        "counts tries to register and sign in; hears that an operation was decided",
        f"Kafka and both databases answer, the sessions that ended were read within 5 s, and {_SCHEMA}. Without Redis "
        "it is ready all the same, and says so under `without`",
        "any number, behind whatever distributes HTTP; each keeps connections and nothing else. Passwords are hashed "
        "by two threads with 64 MiB each",
        "requests under way end without an answer, and a retry with their idempotency key is safe; streams are cut and "
        "go on where they were, at any other gateway",
        (
            *COMMON,
            GatewaySettings,
            GatewayHttpSettings,
            LimitSettings,
            KafkaSettings,
            UsersDatabaseSettings,
            LedgerDatabaseSettings,
            RedisSettings,
        ),
    ),
    Service(
        "identity-consumer",
        "Decides what people ask about registering, signing in and passwords, in one database transaction a batch, and "
        "has mails sent.",
        {"users": "reads and writes every table"},
        "tells gateways what was decided; asks for due mail to be sent now",
        f"it is a member of its group, Kafka and the users database answer, and {_SCHEMA}",
        "up to as many as the topic has partitions; all records of one registration or user are on one of them",
        "its batch is delivered to the next one, which finds what was committed and repeats nothing",
        (*COMMON, KafkaSettings, UsersDatabaseSettings, RedisSettings, IdentityKeys),
    ),
    Service(
        "ledger-consumer",
        "Decides what people ask of their books: transactions, accounts, households, undo. Each batch is one database "
        "transaction with its postings, totals, claims and journal entries.",
        {"ledger": "reads and writes every table; postings, changes and earlier versions only grow"},
        "tells gateways what was decided",
        f"it is a member of its group, Kafka and the ledger database answer, {_SCHEMA}, and that database is no empty "
        "one beside a full journal",
        "up to as many as the topic has partitions, one more stands by; all of one ledger's records are on one of them",
        "its batch is delivered to the next one, which finds what was committed and repeats nothing",
        (*COMMON, KafkaSettings, LedgerDatabaseSettings, RedisSettings, GrantSettings),
    ),
    Service(
        BULK,
        "The same process for what imports and simulators write, so that a million rows delay no person's one. Each "
        "record carries a grant that says whose it is. In the local stack one process does both.",
        {"ledger": "reads and writes every table; postings, changes and earlier versions only grow"},
        "tells gateways what was decided, where one waits",
        "as the other",
        "as the other; it may be stopped meanwhile, rows wait for seven days",
        "as the other",
        (*COMMON, KafkaSettings, LedgerDatabaseSettings, RedisSettings, GrantSettings),
    ),
    Service(
        "relay",
        "Sends what was decided from the outbox of each database to the journals, in order and at least once.",
        {"users": "reads and marks `outbox`", "ledger": "reads and marks `outbox`"},
        "",
        f"Kafka and both databases answer, and {_SCHEMA}; one that stands by is ready too",
        "two at most are of use: one sends, by a lock in each database, and the other takes over within a second of "
        "its end",
        "rows not yet marked are sent again by the next one; readers drop repeats. While none runs the journals stand "
        "still and nothing is lost",
        (*COMMON, KafkaSettings, UsersDatabaseSettings, LedgerDatabaseSettings),
    ),
    Service(
        "celery-worker",
        "Runs the jobs: sends mail that is due, lets codes, registrations and sessions expire, tidies old rows away, "
        "checks the books for ever.",
        {
            "users": "reads `users`, `registrations`, `sessions`, `mails`; changes the last three; adds to `outbox`; "
            "deletes from `outbox` and `operations` what is old",
            "ledger": "reads every table; deletes from `outbox` and `operations` what is old",
        },
        "takes jobs from Celery's queue; keeps how their last runs ended",
        "it takes jobs, Redis answers, no job's newest run failed, and one ended within 30 s",
        "any number; of several each gets another mail, and of two runs of a job nothing happens twice",
        "its job is given to another worker after 10 s; a mail in its hands is sent again under the same Message-ID",
        (*COMMON, UsersDatabaseSettings, LedgerDatabaseSettings, RedisSettings, SmtpSettings, CodeKey),
    ),
    Service(
        "celery-beat",
        "The clock: asks for each job when it is time.",
        {},
        "keeps the schedule and its lock; puts jobs into Celery's queue",
        "it ticked within 10 s",
        "one is active, by a lock in Redis; a second one waits, not ready",
        "jobs wait for its return, at most 10 s longer because of the lock. Mail that a consumer asks for goes out all "
        "the same; second tries, expiry and tidying wait",
        (*COMMON, RedisSettings),
    ),
)
STEPS_SHOWN: Sequence[Service] = (
    Service(
        "bootstrap-postgres",
        "Makes databases and roles on the PostgreSQL servers, and sets the roles' passwords. As superuser; again "
        "without harm.",
        settings=(UsersServerSettings, LedgerServerSettings, UsersRolePasswords, LedgerRolePasswords),
    ),
    Service(
        "migrate",
        "Brings the schema of both databases to the newest revision. Each process waits for the revision it needs.",
        {"users": "owns every table", "ledger": "owns every table"},
        settings=(UsersDatabaseSettings, LedgerDatabaseSettings),
    ),
    Service(
        "bootstrap-kafka",
        "Makes topics that are missing, Kafka's users with their passwords, and the access rules; says where a topic's "
        "settings differ from ours and changes none. As Kafka's `administrator`.",
        settings=(KafkaSettings, KafkaUserPasswords),
    ),
)
SERVICES = (*PROCESSES, *STEPS_SHOWN)
#: Where the first line of a class says too little without those around it.
_HEADINGS: Mapping[type[Settings], str] = {
    UsersRolePasswords: "The passwords that the roles of the users database get",
    LedgerRolePasswords: "The passwords that the roles of the ledger database get",
}

_HEAD = """# Services

Each process and server: what it does, reads, writes and is told, how it scales, what happens when it dies. Made by
`python -m tests.pages.services` from topics, settings and recipes; a test says when it is stale. How they work together
is in [architecture](architecture.md), how to look after them in [operations](operations.md).

```mermaid
flowchart LR
    person["people: cash, browser, any HTTP client"] -->|"HTTP, token"| gateway
    gateway -->|submissions| kafka[("kafka")]
    kafka --> identity["identity-consumer"] & ledger["ledger-consumer"] & bulk["ledger-consumer-bulk"]
    identity --> users[("user-db")]
    ledger & bulk --> books[("tx-db")]
    relay -->|journals| kafka
    users & books -->|outbox| relay
    gateway -.->|reads| users & books
    beat["celery-beat"] -->|jobs| redis[("redis")]
    redis --> worker["celery-worker"]
    worker --> users & books
    worker -->|SMTP| mail["mail server"]
    gateway & identity & ledger & bulk <-.->|"wake-ups, limits"| redis
```
"""
#: By server: image, port, what it is for, what is kept, and what happens while it is away.
SERVERS: Mapping[str, Sequence[str]] = {
    "kafka": (
        "`apache/kafka`",
        "9092",
        "the topics: submissions, journals, dead letters",
        "the ledgers' journal for ever, submissions for seven days",
        "writes answer 503 and are safe to repeat; reads go on; nothing is decided",
    ),
    "user-db": (
        "`postgres:18`",
        "5432",
        "the database `users`",
        "people, sessions, mails to be sent; there is no other copy",
        "nobody signs in, and after 5 s writes answer 503; gateways are not ready",
    ),
    "tx-db": (
        "`postgres:18`",
        "5432",
        "the database `ledger`",
        "the books; the journal has them once more",
        "the books cannot be read; what was accepted waits in Kafka; gateways are not ready",
    ),
    "redis": (
        "`redis:8`",
        "6379",
        "Celery's broker, rate limits, wake-ups",
        "queued jobs, tries counted; may be lost",
        "nobody signs in or registers: limits fail closed; recording and reading go on; mail and jobs wait",
    ),
    "mailpit": (
        "`axllent/mailpit`",
        "1025, 8025",
        "catches mail, for development",
        "nothing",
        "mails are tried six times within seven minutes, then given up",
    ),
}
_PORTS = (
    "In containers each answers on port 8000. `cash status` shows the local stack's ports; these are the usual ones.\n"
)
_SERVERS_HEAD = """## Servers

| Server | Image | Port | What it is for | What is kept | While it is away |
| --- | --- | --- | --- | --- | --- |
"""
_SERVERS_FOOT = """
In the local stack one PostgreSQL holds both databases, and a mailbox of our own stands in for Mailpit.
"""
_HEALTH = """## Health and metrics

Every process answers on its HTTP port:

| Path | Says |
| --- | --- |
| `/health/live` | 200 as long as the process answers |
| `/health/ready` | 200, or 503 with the reasons under `because`; what does not work while most does, under `without` |
| `/metrics` | counters for Prometheus; [which there are](observability.md) |

```
curl -s http://127.0.0.1:8000/health/ready
```

At SIGTERM each ends what it has begun and exits with 0: the gateway after draining, consumers after their batch. Exit
status 78 means that a setting is missing or wrong; the last lines of the log name it.

## Documents

`cash openapi --service NAME` writes what one service speaks: the gateway's HTTP API ([openapi.json](openapi.json)), and
what each writes to and reads from Kafka ([asyncapi.json](asyncapi.json)). A running gateway shows its own at `/docs`.
"""
_SETTINGS_HEAD = """## Settings

A setting comes from the environment; else from the file that `<NAME>_FILE` names; else from a file called like it in
the folder that `CASH_SECRETS_FOLDER` names, which is how containers get their secrets. One without a default that is
missing refuses the start, by name. The local stack, compose and the manifests set them all
([`infra/deployment/recipes.py`](../infra/deployment/recipes.py)).
"""


def page() -> str:
    """Return the page, the same every time."""
    parts = [_HEAD, "## Processes\n", _overview(), *map(_section, PROCESSES)]
    parts += ["## Steps\n\nRun once before the processes, and again with each new version; each can be repeated.\n"]
    parts += [*map(_section, STEPS_SHOWN), _servers(), _HEALTH, _SETTINGS_HEAD, *_settings_tables()]
    return "\n".join(parts)


def settings_named(settings: type[Settings]) -> dict[str, FieldInfo]:
    """Return the fields of a settings class by the names of their environment variables."""
    prefix = settings.model_config.get("env_prefix", "")
    return {f"{prefix}{name}".upper(): each for name, each in settings.model_fields.items()}


def _overview() -> str:
    rows = [
        f"| [{each.name}](#{each.name}) | `python {' '.join(command_of(each.name))}` | {_local_port(each.name)} |"
        for each in PROCESSES
    ]
    head = ["| Process | Command | Port in the local stack |", "| --- | --- | --- |"]
    return "\n".join([*head, *rows, "", _PORTS])


def _servers() -> str:
    rows = [f"| `{name}` | {' | '.join(cells)} |" for name, cells in SERVERS.items()]
    return _SERVERS_HEAD + "\n".join(rows) + "\n" + _SERVERS_FOOT


def command_of(name: str) -> Sequence[str]:
    """Return what Python is told to run a process or step with, in a container."""
    if name in ("ledger-consumer", BULK):
        return (*COMMANDS["ledger-consumer"][:-1], "bulk" if name == BULK else "interactive")
    return COMMANDS[name] if name in COMMANDS else STEPS[name]


def _local_port(name: str) -> str:
    return str(PREFERRED[name]) if name in PREFERRED else "with `ledger-consumer`"


def _section(service: Service) -> str:
    name = service.name
    secrets = sorted(recipes().secrets_of(name))
    rows = [
        ("Runs", f"`python {' '.join(command_of(name))}`"),
        ("Writes to", _topics(name, reading=False)),
        ("Reads from", _topics(name, reading=True)),
        *(
            (f"Database `{database}`", f"as {_role(name, database)}: {what}")
            for database, what in service.tables.items()
        ),
        ("Redis", service.redis),
        ("Holds", ", ".join(f"`{secret}`" for secret in secrets)),
        ("Is ready when", service.ready),
        ("Scales", service.scales),
        ("When it dies", service.dies),
        ("Settings", ", ".join(_link(each) for each in service.settings)),
    ]
    table = "\n".join(f"| {label} | {text} |" for label, text in rows if text)
    return f"### {name}\n\n{fill(service.does, 124)}\n\n| | |\n| --- | --- |\n{table}\n"


def recipes() -> Recipes:
    """Return what a deployment tells its processes; the secrets in it are made up on the spot and never shown."""
    if not _made:
        _made.append(Recipes(complete({}, key_id="page"), DEPLOYED))
    return _made[0]


_made: list[Recipes] = []


def _role(name: str, database: str) -> str:
    return f"`{recipes().of(name)[f'CASH_{database.upper()}_DB_USER']}`"


def _topics(name: str, *, reading: bool) -> str:
    told = recipes().of(name)
    user = told.get("CASH_KAFKA_SASL_USERNAME")
    chosen = [topic for topic in TOPICS if user in (topic.read_by if reading else topic.written_by)]
    if name in ("ledger-consumer", BULK):
        other = "ledger.submissions" if name == BULK else "ledger.bulk"
        chosen = [topic for topic in chosen if other not in topic.name]
    groups = {topic.name: f" in the group `{topic.group}`" if reading and topic.group else "" for topic in chosen}
    return ", ".join(f"`{topic}`{group}" for topic, group in groups.items())


def _link(settings: type[Settings]) -> str:
    heading = _heading(settings)
    anchor = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
    return f"[{_prefix(settings)}](#{anchor})"


def _prefix(settings: type[Settings]) -> str:
    if len(settings.model_fields) == 1:
        return f"`{next(iter(settings_named(settings)))}`"
    return f"`{settings.model_config.get('env_prefix', '')}…`"


def _heading(settings: type[Settings]) -> str:
    first = (settings.__doc__ or "").splitlines()[0]
    return _HEADINGS.get(settings) or re.sub(r" \(``.*?``.*?\)", "", first).rstrip(".")


def _settings_tables() -> Iterator[str]:
    for settings in dict.fromkeys(each for service in SERVICES for each in service.settings):
        readers = [service.name for service in SERVICES if settings in service.settings]
        rows = [
            f"| `{name}` | {each.description} | {_default(each)} |" for name, each in settings_named(settings).items()
        ]
        read_by = "every process" if settings in COMMON else ", ".join(readers)
        table = "\n".join(["| Name | Meaning | Default |", "| --- | --- | --- |", *rows])
        yield f"### {_heading(settings)}\n\nRead by: {read_by}.\n\n{table}\n"


def _default(each: FieldInfo) -> str:
    kinds = (SecretStr.__name__, SecretKey.__name__)
    secret = each.repr is False or any(kind in str(each.annotation) for kind in kinds)
    if each.is_required():
        return "none: a secret" if secret else "none"
    if each.default is None:
        return "absent; a secret" if secret else "absent"
    shown = str(each.default).lower() if isinstance(each.default, bool) else str(each.default)
    return f"`{shown}`" if shown else "empty"


def main() -> int:
    """Write the page where it is stale, and say so."""
    text = page()
    if PAGE.is_file() and PAGE.read_text("utf-8") == text:
        print(f"{PAGE.relative_to(ROOT)} is current")
        return 0
    PAGE.write_text(text, "utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
