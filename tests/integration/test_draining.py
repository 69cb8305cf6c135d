"""A gateway leaves service while it is asked: no request fails, whoever asks, and whatever connection it holds."""

import asyncio
import signal
from pathlib import Path

import httpx
import pytest

from infra.local.stack import LocalStack
from tests.builders.gateway import Person, a_person
from tests.builders.proxy import LOOKED_EVERY_S, a_proxy, record_and_read
from tests.integration.test_gateway_process import a_gateway

pytestmark = pytest.mark.stack

DRAIN_S = 2.5


async def test_nothing_fails_while_a_gateway_leaves(stack: LocalStack, tmp_path: Path) -> None:
    with a_person(stack) as ann, a_gateway(stack, tmp_path, {"CASH_GATEWAY_DRAIN_S": str(DRAIN_S)}) as leaving:
        port = leaving.http.base_url.port
        assert port is not None
        async with a_proxy(stack.ports["gateway"], port) as proxy:
            kept, left = proxy.gateways
            assert proxy.ready == [kept, left]
            streaming = asyncio.Event()
            stream = asyncio.create_task(_read_to_its_end(left, ann, streaming))
            await streaming.wait()
            who = ann.http.headers["Authorization"]
            # Some hurry; others let their connections rest for longer than a loop's turn and shorter than the drain.
            done = asyncio.Event()
            asking = [asyncio.create_task(record_and_read(proxy, who, done, pause_s=s)) for s in [0.0] * 4 + [1.0] * 12]
            try:
                async with asyncio.timeout(20):
                    while proxy.answered[str(left.base_url)] < 50:
                        await asyncio.sleep(0.05)

                leaving.process.send_signal(signal.SIGTERM)
                assert "This gateway stops. Connect again." in await asyncio.wait_for(stream, DRAIN_S)
                assert leaving.process.poll() is None
                assert await asyncio.to_thread(leaving.process.wait, 20) == 0
                await asyncio.sleep(2 * LOOKED_EVERY_S)
            finally:
                done.set()
                stream.cancel()
                await asyncio.gather(*asking)

            assert proxy.failed == []
            assert proxy.ready == [kept]


async def _read_to_its_end(gateway: httpx.AsyncClient, ann: Person, begun: asyncio.Event) -> str:
    who = {"Authorization": ann.http.headers["Authorization"]}
    text = ""
    async with gateway.stream("GET", f"/api/v1/ledgers/{ann.ledger_id}/events", headers=who) as answer:
        async for part in answer.aiter_text():
            begun.set()
            text += part
    return text
