"""Kills: SIGKILL to a process of the test's own stack, and nothing else."""

import asyncio
import os
import signal
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime

import psutil

from infra.local.processes import inherited
from infra.local.stack import COMMANDS
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


@asynccontextmanager
async def another(line: Line, name: str) -> AsyncIterator[Process]:
    """Run a second process of a kind, as a deployment of two would; what is left of it is killed."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = line.stack.environment(name) | {"CASH_HTTP_PORT": str(port), "CASH_KAFKA_INSTANCE_ID": f"second-{name}"}
    with line.stack.home.log(f"second-{name}").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, *COMMANDS[name], env=inherited() | settings, stdout=log, stderr=log
        )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
