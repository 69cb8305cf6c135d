"""Stopping: what runs beside the requests ends, also where a cancellation gets lost."""

import asyncio
import contextlib

from gateway.app import end


async def test_a_task_that_loses_a_cancellation_ends_all_the_same() -> None:
    async def stubborn() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        await asyncio.sleep(60)

    async def meek() -> None:
        await asyncio.sleep(60)

    async def over() -> None:
        return None

    tasks = [asyncio.create_task(each()) for each in (stubborn, meek, over)]
    await asyncio.sleep(0)

    async with asyncio.timeout(5):
        await end(tasks)

    assert all(task.done() for task in tasks)
