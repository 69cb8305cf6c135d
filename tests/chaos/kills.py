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

from infra.deployment.recipes import COMMANDS
from infra.local.processes import inherited
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


@asynccontextmanager
async def kept_away(line: Line, process: str) -> AsyncIterator[datetime]:
    """Send SIGKILL and let nobody start the process again within the block; yield when it was killed.

    Afterwards it runs and is ready, whatever happened in the block: other tests need it.
    """
    killed_at = await kill(line, process)
    try:
        await asyncio.to_thread(line.stack.hold, process)
        yield killed_at
    finally:
        await asyncio.to_thread(line.stack.release, process)


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
