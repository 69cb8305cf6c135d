"""How a consumer process consumes: its subscriptions, its readiness, and when it must give up."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from faststream.kafka import KafkaBroker

from consumers.delivery import TooManyDefects
from consumers.process import Process
from infra.errors import Unavailable
from infra.kafka.broker import BatchSubscription, Records
from infra.kafka.connection import unavailable
from infra.postgres.engine import Database, DatabaseReplaced

STUCK_AFTER_S = 30.0


class Stuck:
    """Finds a subscription that Kafka does not answer while it answers another one of this process.

    Seen once in a dozen kills of the broker: one of aiokafka's two consumers never came back. The cause found since is
    mended (`infra/kafka/lost_connections.py`); should there be another one, a start mends it.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self._since: dict[str, float] = {}

    def find(self, problems: Mapping[str, Sequence[str]], now: float) -> str | None:
        """Return the topic that has had problems, and another one none, for too long; ``now`` in seconds."""
        troubled = {topic for topic, found in problems.items() if found}
        if len(troubled) == len(problems):
            troubled = set()  # Kafka is away from all
        self._since = {topic: self._since.get(topic, now) for topic in troubled}
        return next((topic for topic, since in self._since.items() if now - since > STUCK_AFTER_S), None)


async def consume(
    process: Process, broker: KafkaBroker, subscriptions: Sequence[BatchSubscription], database: Database
) -> None:
    """Consume until the process stops, reporting readiness: partitions, broker and database must all answer.

    Without its database a consumer does not join its groups: it would take partitions from others, and leave them lie.
    """
    stuck = Stuck()

    async def check() -> list[str]:
        found = {each.topic: await each.problems() for each in subscriptions}
        # What Kafka refuses, a start does not mend.
        answered = {each.topic: found[each.topic] for each in subscriptions if each.refusal is None}
        if topic := stuck.find(answered, asyncio.get_running_loop().time()):
            process.end(f"{topic}: Kafka answers our other subscription, and not this one for {STUCK_AFTER_S:.0f} s")
        problems = [problem for each in found.values() for problem in each]
        try:
            await database.ping()
        except DatabaseReplaced as error:
            process.end(str(error))
        except Unavailable as error:
            problems.append(f"PostgreSQL: {error.in_full()}")
        return problems

    async def start() -> None:
        """Start all subscriptions or none: one that runs would be started a second time, and lose its first place."""
        try:
            with unavailable("start", subscriptions[0].settings, "read"):
                await broker.start()
        except BaseException:
            await broker.stop()
            raise

    try:
        has_database = await process.until_done(database.ping, "PostgreSQL")
        if has_database and await process.until_done(start, "connect to Kafka"):
            async with asyncio.TaskGroup() as tasks:
                watching = tasks.create_task(process.readiness.watch(check))
                await process.stopping.wait()
                watching.cancel()
    finally:
        # Gives the batch under way its time; its offset is committed, or it is delivered again to the next process.
        await broker.stop()


def ending(process: Process, deliver: Callable[[Records], Awaitable[None]]) -> Callable[[Records], Awaitable[None]]:
    """Wrap a delivery so that it can end the process.

    It does after too many defects in a row: a bad deployment must not drain a topic. And once there is another database
    than before: at its next start the process looks what it is.
    """

    async def handle(records: Records) -> None:
        try:
            await deliver(records)
        except TooManyDefects as error:
            process.end(str(error))
            raise SystemExit(1) from error
        except DatabaseReplaced as error:
            process.end(str(error))
            raise

    return handle
