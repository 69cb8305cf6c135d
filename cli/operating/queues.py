"""The command that shows what waits: jobs, records, outbox rows, mails; once, or again and again."""

import asyncio
import contextlib
import importlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group
from rich.live import Live
from rich.text import Text

from cli.operating.operator_settings import quiet_kafka, settings_of
from cli.terminal.output import Failure, Json, Output, fitting_table, show_json, show_json_line
from contracts.topics import SUBMISSION_TOPICS

if TYPE_CHECKING:
    from infra.postgres.deliveries import Unsent
    from infra.postgres.engine import Database
    from infra.settings import PostgresSettings

_ANSWER_TIMEOUT_S = 5.0
#: What the servers are asked by.
_ASKED_BY = ("infra.redis.connection", "infra.redis.jobs", "infra.kafka.groups", "infra.postgres.deliveries")
#: How long something may wait before it is worth a look: each is taken within a second or two, mails within five.
_LONG_S = 30.0


@dataclass(frozen=True, slots=True)
class Queue:
    """Something that waits: how many, for how long the oldest, who takes it; ``waiting`` is ``None`` when unknown."""

    name: str
    waiting: int | None
    taken_by: str
    oldest_s: float | None = None
    remark: str | None = None
    is_wrong: bool = False


@dataclass(frozen=True, slots=True)
class Partition:
    """Where a consumer group is on one partition: it takes ``next_offset`` next, ``end`` is where the next one goes."""

    topic: str
    group: str
    partition: int
    next_offset: int | None
    end: int
    lag: int


@dataclass(frozen=True, slots=True)
class Seen:
    """All that waits, at one moment."""

    queues: Sequence[Queue]
    partitions: Sequence[Partition]


def register(app: typer.Typer) -> None:
    """Add this command to ``cash``."""
    app.command("queues")(queues)


def queues(
    partitions: Annotated[bool, typer.Option("--partitions", help="Show every partition of the topics too.")] = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Go on until Ctrl-C, in place.")] = False,
    every: Annotated[float, typer.Option("--every", metavar="SECONDS", min=0.5, help="How often, with --watch.")] = 2.0,
    json: Json = False,
) -> None:
    """Show what waits: jobs, records per topic, outbox, mails.

    In a system at rest all of it is 0. A server that does not answer is a line of the table. With --watch and --json
    each look is one line.

    Examples:
        cash queues
        cash queues --partitions
        cash queues --watch --every 5
    """
    if not watch:
        seen = look()
        show_json(as_json(seen)) if json else show_queues(seen, partitions=partitions)
        return
    # Ctrl-C is how this ends, not how it fails.
    with contextlib.suppress(KeyboardInterrupt):
        if json or not Output().is_terminal:
            while True:
                seen = look()
                show_json_line(as_json(seen)) if json else show_queues(seen, partitions=partitions)
                time.sleep(every)
        _watch(every, partitions)


def look() -> Seen:
    """Ask every server at once; one that does not answer is told in its lines.

    Raises:
        Failure: it is not known where any of them is.
    """
    quiet_kafka()
    return asyncio.run(_look())


def show_queues(seen: Seen, *, partitions: bool = False) -> None:
    """Show what waits in a table, and the partitions in another one."""
    for table in _tables(seen, partitions):
        Output().print(table)


def as_json(seen: Seen) -> dict[str, Any]:
    """Return what waits for programs."""
    return {
        "items": [asdict(queue) for queue in seen.queues],
        "partitions": [asdict(partition) for partition in seen.partitions],
    }


def _watch(every_s: float, partitions: bool) -> None:
    with Live(console=Output(), auto_refresh=False, transient=False, vertical_overflow="crop") as live:
        while True:
            shown = Group(*_tables(look(), partitions), Text(f"{time.strftime('%H:%M:%S')}  Ctrl-C ends", style="dim"))
            live.update(shown, refresh=True)
            time.sleep(every_s)


def _tables(seen: Seen, partitions: bool) -> list[Text]:
    tables = [
        fitting_table(
            ["Queue", "Waiting", "Oldest", "Taken by", "Remark"],
            [
                (
                    queue.name,
                    _waiting(queue),
                    None if queue.oldest_s is None else _age(queue.oldest_s),
                    queue.taken_by,
                    queue.remark and Text(queue.remark, style="bold red" if queue.is_wrong else ""),
                )
                for queue in seen.queues
            ],
            right=["Waiting", "Oldest"],
            whole=["Queue"],
            spare=["Taken by", "Oldest"],
        )
    ]
    if partitions and seen.partitions:
        rows = [(each.topic, each.partition, each.next_offset, each.end, f"{each.lag:,}") for each in seen.partitions]
        tables.append(
            fitting_table(
                ["Topic", "Partition", "Next taken", "Next written", "Waiting"],
                rows,
                right=["Partition", "Next taken", "Next written", "Waiting"],
                whole=["Topic"],
                spare=["Next taken", "Next written"],
            )
        )
    return tables


def _waiting(queue: Queue) -> Text:
    if queue.waiting is None:
        return Text("?", style="yellow")
    late = queue.is_wrong or (queue.oldest_s or 0) > _LONG_S
    return Text(f"{queue.waiting:,}", style="bold red" if late and queue.waiting else "")


def _age(seconds: float) -> str:
    return f"{seconds:,.0f} s"


@dataclass(frozen=True, slots=True)
class _Probe:
    """One server to be asked; its lines are shown, with a question mark, also where it does not answer."""

    server: str
    ask: Callable[[], Awaitable[Seen]]
    lines: Sequence[tuple[str, str]]


async def _look() -> Seen:
    probes = [
        _Probe("Redis", _jobs, [("jobs", "celery-worker")]),
        _Probe("Kafka", _topics, [(topic.name, topic.group) for topic in SUBMISSION_TOPICS]),
        _Probe("the users database", _users, [("outbox (users)", "relay"), ("mails", "celery-worker")]),
        _Probe("the ledger database", _ledger, [("outbox (ledger)", "relay")]),
    ]
    # Before their time runs: in a container that has little of a busy machine, importing alone takes seconds.
    for module in _ASKED_BY:
        importlib.import_module(module)
    answers = await asyncio.gather(*(_answer(probe) for probe in probes))
    unknown = [failure for _, failure in answers if failure is not None]
    if len(unknown) == len(probes):
        raise unknown[0]
    return Seen(
        [queue for seen, _ in answers for queue in seen.queues],
        [partition for seen, _ in answers for partition in seen.partitions],
    )


async def _answer(probe: _Probe) -> tuple[Seen, Failure | None]:
    """Return what a server says, or lines that say it does not; and the failure where it is not known where it is."""
    from asyncpg import PostgresError
    from redis.exceptions import RedisError

    from infra.errors import Refused, Unavailable

    try:
        async with asyncio.timeout(_ANSWER_TIMEOUT_S):
            return await probe.ask(), None
    except Failure as failure:
        remark, unknown = str(failure), failure
    except PostgresError as error:
        remark, unknown = f"{probe.server} refuses: {error}", None
    except Refused as error:
        remark, unknown = str(error), None
    except (Unavailable, RedisError, OSError, TimeoutError):
        remark, unknown = f"{probe.server} does not answer", None
    lines = [Queue(name, None, taken_by, remark=remark, is_wrong=True) for name, taken_by in probe.lines]
    return Seen(lines, []), unknown


async def _jobs() -> Seen:
    from infra.redis.connection import connect
    from infra.redis.jobs import QUEUE, UNACKED
    from infra.settings import RedisSettings

    redis = connect(settings_of(RedisSettings))
    try:
        waiting, taken = await redis.llen(QUEUE), await redis.hlen(UNACKED)
    finally:
        await redis.aclose()
    return Seen([Queue("jobs", waiting, "celery-worker", remark=f"{taken:,} being done" if taken else None)], [])


async def _topics() -> Seen:
    from infra.kafka.groups import measure_lags
    from infra.settings import KafkaSettings

    lags = await measure_lags(settings_of(KafkaSettings), SUBMISSION_TOPICS)
    return Seen(
        [
            Queue(
                lag.topic,
                lag.records,
                lag.group,
                remark=f"{lag.members} {'member' if lag.members == 1 else 'members'}"
                if lag.members
                else "nobody takes",
                is_wrong=not lag.members,
            )
            for lag in lags
        ],
        [
            Partition(lag.topic, lag.group, each.partition, each.next_offset, each.end, each.records)
            for lag in lags
            for each in lag.partitions
        ],
    )


async def _users() -> Seen:
    from infra.postgres.deliveries import measure_mails, measure_outbox
    from infra.settings import UsersDatabaseSettings

    async with _opened(UsersDatabaseSettings) as database:
        unsent, mails = await measure_outbox(database), await measure_mails(database)
    put_off = f"{mails.put_off:,} more are tried later" if mails.put_off else None
    return Seen(
        [_outbox("users", unsent), Queue("mails", mails.due, "celery-worker", mails.oldest_s, put_off)],
        [],
    )


async def _ledger() -> Seen:
    from infra.postgres.deliveries import measure_outbox
    from infra.settings import LedgerDatabaseSettings

    async with _opened(LedgerDatabaseSettings) as database:
        return Seen([_outbox("ledger", await measure_outbox(database))], [])


def _outbox(name: str, unsent: "Unsent") -> Queue:
    remark = f"{unsent.messages:,} messages in them" if unsent.rows else None
    return Queue(f"outbox ({name})", unsent.rows, "relay", unsent.oldest_s, remark)


@contextlib.asynccontextmanager
async def _opened(kind: "type[PostgresSettings]") -> "AsyncIterator[Database]":
    from infra.postgres.engine import Database

    database = Database(settings_of(kind), application="queues")
    await database.start()
    try:
        yield database
    finally:
        await database.stop()
