"""What the consumer processes share: logs, health, a clean stop on SIGTERM, and an exit status that tells the truth."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import Awaitable, Callable

import uvloop
from aiokafka.errors import KafkaError

from infra.errors import Unavailable
from infra.memory import collect_seldom
from infra.settings import HttpSettings, read
from infra.telemetry.logs import configure_logs, get_logger
from infra.telemetry.server import Readiness, serve_in_thread
from infra.telemetry.spans import start_traces

log = get_logger(__name__)

#: After how many new containers the garbage collector looks for cycles. A batch makes a hundred thousand that live
#: until it is written and are in no cycle: with Python's 700, a third of a batch's time went into looking at them.
GC_CONTAINERS = 200_000

CONNECT_WAIT_FIRST_S = 0.1
CONNECT_WAIT_MAX_S = 2.0


class Process:
    """One running process: what it says of its health, and when and how it ends."""

    def __init__(self) -> None:
        """Begin: not ready, not stopping."""
        self.readiness = Readiness()
        self.stopping = asyncio.Event()
        self.exit_status = 0

    def end(self, reason: str) -> None:
        """Turn readiness red and end with status 1: the supervisor, not this process, decides what is next."""
        log.critical("process ends", reason=reason)
        self.readiness.fail(reason)
        self.exit_status = 1
        self.stopping.set()

    async def until_done(self, step: Callable[[], Awaitable[object]], what: str) -> bool:
        """Try a step until it works, waiting longer each time; return whether it did before the process was stopped."""
        wait_s = CONNECT_WAIT_FIRST_S
        while not self.stopping.is_set():
            try:
                if not await self._unless_stopped(step):
                    return False
            except (Unavailable, KafkaError, OSError, TimeoutError) as error:
                self.readiness.report([f"{what}: {error or type(error).__name__}"])
                log.info("waiting", operation=what, cause=repr(error), wait_s=wait_s)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.stopping.wait(), wait_s)
                wait_s = min(wait_s * 2, CONNECT_WAIT_MAX_S)
            else:
                return True
        return False

    async def _unless_stopped(self, step: Callable[[], Awaitable[object]]) -> bool:
        """Take a step, which is cancelled when the process is stopped meanwhile; return whether it was done."""
        taking, stopping = asyncio.ensure_future(step()), asyncio.ensure_future(self.stopping.wait())
        try:
            await asyncio.wait({taking, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            if not taking.done():
                taking.cancel()
                await asyncio.wait({taking})
        if taking.cancelled():
            return False
        taking.result()
        return True


def run(name: str, main: Callable[[Process], Awaitable[None]]) -> None:
    """Run a process until SIGTERM or SIGINT, or until it ends itself; then exit with its status."""
    configure_logs(name)
    start_traces(name)
    collect_seldom(GC_CONTAINERS)
    sys.exit(uvloop.run(_run(name, main)))


async def _run(name: str, main: Callable[[Process], Awaitable[None]]) -> int:
    process = Process()
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, process.stopping.set)
    stop_serving = serve_in_thread(read(HttpSettings), process.readiness.problems)
    log.info("process starts")
    try:
        await main(process)
    finally:
        stop_serving()
        log.info("process stopped", status=process.exit_status)
    return process.exit_status
