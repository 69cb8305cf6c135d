"""Kills: SIGKILL to a process of the test's own stack, and nothing else."""

import asyncio
import os
import signal
from contextlib import suppress
from datetime import UTC, datetime

import psutil

from tests.chaos.line import Line

GONE_WITHIN_S = 20.0


async def kill(line: Line, process: str, number: int = signal.SIGKILL) -> datetime:
    """Send a signal and return when; the supervisor starts the process again."""
    pid, killed_at = line.stack.pid(process), datetime.now(UTC)
    os.kill(pid, number)
    if number == signal.SIGKILL:
        await until_gone(pid)
    return killed_at


async def until_gone(pid: int) -> None:
    """Wait until a process is no more."""
    with suppress(psutil.NoSuchProcess):
        await asyncio.to_thread(psutil.Process(pid).wait, GONE_WITHIN_S)


async def kill_and_keep_away(line: Line, process: str) -> datetime:
    """Send SIGKILL and keep the process from being started until ``release``; return when it was killed."""
    killed_at = await kill(line, process)
    await asyncio.to_thread(line.stack.hold, process)
    return killed_at
