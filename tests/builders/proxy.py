"""Who stands before several gateways and sends each request to one that is ready; nothing is sent twice."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from uuid import uuid4

import httpx

#: As a health check: for how long requests may still go to a gateway that is leaving.
LOOKED_EVERY_S = 0.3


@dataclass
class Proxy:
    """Distributes requests over connections that are kept, and counts what came of them."""

    gateways: list[httpx.AsyncClient] = field(default_factory=list)
    ready: list[httpx.AsyncClient] = field(default_factory=list)
    answered: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    accepted: int = 0
    """How many writes were."""

    def stand_before(self, port: int) -> None:
        """Have one gateway more, at a port of this machine."""
        limits = httpx.Limits(max_keepalive_connections=200, keepalive_expiry=60)
        self.gateways.append(httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30, limits=limits))

    async def look(self) -> None:
        """Ask who is ready."""
        for gateway in list(self.gateways):
            is_ready = False
            with suppress(httpx.TransportError):
                is_ready = (await gateway.get("/health/ready")).status_code == 200
            if is_ready and gateway not in self.ready:
                self.ready.append(gateway)
            elif not is_ready and gateway in self.ready:
                self.ready.remove(gateway)

    async def go_on_looking(self) -> None:
        """Ask who is ready, for as long as the task lives."""
        while True:
            await self.look()
            await asyncio.sleep(LOOKED_EVERY_S)

    async def ask(
        self, method: str, path: str, *, by: httpx.AsyncClient | None = None, **asked: Any
    ) -> httpx.Response | None:
        """Send a request to one of those that are ready, or that one; return the answer unless it failed."""
        gateway = by or random.choice(self.ready)
        try:
            answer = await gateway.request(method, f"/api/v1{path}", **asked)
        except httpx.HTTPError as error:
            self.failed.append(f"{method} {path} of {gateway.base_url}: {error!r}")
            return None
        self.answered[str(gateway.base_url)] += 1
        if answer.status_code >= 400:
            self.failed.append(f"{method} {path} of {gateway.base_url}: {answer.status_code} {answer.text}")
            return None
        self.accepted += method == "POST"
        return answer


@asynccontextmanager
async def a_proxy(*ports: int) -> AsyncIterator[Proxy]:
    """Stand before gateways on these ports of this machine; those that are ready are known."""
    proxy = Proxy()
    for port in ports:
        proxy.stand_before(port)
    await proxy.look()
    looking = asyncio.create_task(proxy.go_on_looking())
    try:
        yield proxy
    finally:
        looking.cancel()
        await asyncio.wait({looking})
        for gateway in proxy.gateways:
            await gateway.aclose()


async def record_and_read(proxy: Proxy, authorization: str, until: asyncio.Event, *, pause_s: float) -> None:
    """Ask as people do, until something happens: record, now and then waiting for the decision, and read."""
    who = {"Authorization": authorization}
    for number in count():
        if until.is_set():
            return
        asked = {**who, "Idempotency-Key": str(uuid4()), **({"Prefer": "wait=10"} if number % 4 == 0 else {})}
        await proxy.ask("POST", "/transactions", json={"amount": "1", "category": "Rent"}, headers=asked)
        await proxy.ask("GET", "/accounts", headers=who)
        await asyncio.sleep(random.uniform(0, pause_s))
