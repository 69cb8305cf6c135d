"""When a server that drains stops: after SIGTERM later, after a second one or a SIGINT at once."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn

from gateway.draining import Draining, DrainingServer

FOR_EVER = 60.0


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer nothing: nobody asks."""


class Running:
    """A server in this process; its signals are handed over as the system would."""

    def __init__(self, drain_s: float) -> None:
        self.draining = Draining()
        config = uvicorn.Config(app, port=0, lifespan="off", log_config=None, ws="none")
        self.server = DrainingServer(config, self.draining, drain_s)
        self.begun: list[str] = []
        self.draining.when_begun(lambda: self.begun.append("begun"))

    async def signalled(self, number: int) -> None:
        self.server.handle_exit(number, None)
        await asyncio.sleep(0.05)


@asynccontextmanager
async def a_server(drain_s: float) -> AsyncIterator[Running]:
    running = Running(drain_s)
    serving = asyncio.create_task(running.server._serve())
    while running.server._loop is None:
        await asyncio.sleep(0.01)
    yield running
    async with asyncio.timeout(2):
        await serving
    assert running.begun == ["begun"]


async def test_sigterm_is_followed_by_a_drain_and_that_by_the_stop() -> None:
    async with a_server(drain_s=0.3) as running:
        await running.signalled(signal.SIGTERM)

        assert running.draining.begun
        assert not running.server.should_exit


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_ends_the_drain(second: signal.Signals) -> None:
    async with a_server(FOR_EVER) as running:
        await running.signalled(signal.SIGTERM)
        assert not running.server.should_exit
        await running.signalled(second)


@pytest.mark.parametrize(("drain_s", "first"), [(0.0, signal.SIGTERM), (FOR_EVER, signal.SIGINT)])
async def test_without_a_drain_and_at_ctrl_c_it_stops_at_once(drain_s: float, first: signal.Signals) -> None:
    async with a_server(drain_s) as running:
        await running.signalled(first)
