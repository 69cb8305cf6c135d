"""Leaving service without a failed request: at SIGTERM a gateway goes on answering for a while, and says so.

Whoever distributes requests learns it from readiness, and each client from ``Connection: close`` on its next answer, so
that its next connection leads to another gateway. What is then left to be closed nobody has used for that long.
"""

import asyncio
import signal
import socket
from collections.abc import Callable
from types import FrameType

import uvicorn

from infra.telemetry.logs import get_logger

log = get_logger(__name__)


class Draining:
    """Whether this gateway is leaving service."""

    def __init__(self) -> None:
        """Begin in service."""
        self.begun = False
        self._calls: list[Callable[[], None]] = []

    def when_begun(self, call: Callable[[], None]) -> None:
        """Call once it leaves service."""
        self._calls.append(call)

    def begin(self) -> None:
        """Leave service."""
        if self.begun:
            return
        self.begun = True
        for call in self._calls:
            call()


class DrainingServer(uvicorn.Server):
    """Uvicorn's server, which stops so many seconds after SIGTERM; a second SIGTERM, or a SIGINT, stops it at once."""

    def __init__(self, config: uvicorn.Config, draining: Draining, drain_s: float) -> None:
        """Serve; with ``drain_s`` 0 SIGTERM stops at once, too."""
        super().__init__(config)
        self._draining = draining
        self._drain_s = drain_s
        self._loop: asyncio.AbstractEventLoop | None = None
        self._asked = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and keep the loop for the signals' handler."""
        await super().startup(sockets)
        self._loop = asyncio.get_running_loop()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to drain, or to stop."""
        if self._loop is None or sig != signal.SIGTERM or self._asked or not self._drain_s:
            super().handle_exit(sig, frame)
            return
        self._asked = True
        # A handler runs between any two instructions; what it has to do waits for a turn of the loop.
        self._loop.call_soon_threadsafe(self._drain, self._loop)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop; without a drain before, connections are told now."""
        self._draining.begin()
        await super().shutdown(sockets)

    def _drain(self, loop: asyncio.AbstractEventLoop) -> None:
        log.info("gateway drains", connections=len(self.server_state.connections), drain_s=self._drain_s)
        self._draining.begin()
        loop.call_later(self._drain_s, self._stop)

    def _stop(self) -> None:
        self.should_exit = True
