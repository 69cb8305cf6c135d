"""How a consumer process consumes: its subscriptions, its readiness, and when it must give up."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from faststream.kafka import KafkaBroker

from consumers.delivery import TooManyDefects
from consumers.process import Process
from infra.errors import Unavailable
from infra.kafka.broker import BatchSubscription, Records
from infra.postgres.engine import Database


async def consume(
    process: Process, broker: KafkaBroker, subscriptions: Sequence[BatchSubscription], database: Database
) -> None:
    """Consume until the process stops, reporting readiness: partitions, broker and database must all answer."""

    async def check() -> list[str]:
        problems = [problem for each in subscriptions for problem in await each.problems()]
        try:
            await database.ping()
        except Unavailable as error:
            problems.append(f"PostgreSQL: {error} ({error.__cause__!r})")
        return problems

    async def start() -> None:
        """Start all subscriptions or none: one that runs would be started a second time, and lose its first place."""
        try:
            await broker.start()
        except BaseException:
            await broker.stop()
            raise

    try:
        if await process.until_done(start, "connect to Kafka"):
            async with asyncio.TaskGroup() as tasks:
                watching = tasks.create_task(process.readiness.watch(check))
                await process.stopping.wait()
                watching.cancel()
    finally:
        # Gives the batch under way its time; its offset is committed, or it is delivered again to the next process.
        await broker.stop()


def ending(process: Process, deliver: Callable[[Records], Awaitable[None]]) -> Callable[[Records], Awaitable[None]]:
    """Wrap a delivery so that too many defects in a row end the process: a bad deployment must not drain a topic."""

    async def handle(records: Records) -> None:
        try:
            await deliver(records)
        except TooManyDefects as error:
            process.end(str(error))
            raise SystemExit(1) from error

    return handle
