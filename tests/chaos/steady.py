"""Steady requests to an API somewhere, while somebody replaces its processes: what was not answered with 2xx is told.

    CASH_PASSWORD=… python -m tests.chaos.steady http://10.96.12.34 USERNAME --seconds 120 --connections 8

Give it an address behind which all gateways are, as a Service's in the cluster: a forward leads to one pod. Half of the
connections record transactions and wait for the outcome, half read. None tries again, so each failure is one that
somebody would have seen.
"""

import argparse
import asyncio
import os
import statistics
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from uuid import uuid4

import httpx

_WAIT_S = 10
_ANSWER_WITHIN_S = 20.0


@dataclass(slots=True)
class Seen:
    """What came back: how often each status, what failed and when, and how long answers took."""

    statuses: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    latencies_s: dict[str, list[float]] = field(default_factory=lambda: {"record": [], "read": []})
    begun_at: float = field(default_factory=time.monotonic)

    def note(self, kind: str, status: int, seconds: float, said: str = "") -> None:
        self.statuses[f"{kind} {status}"] += 1
        self.latencies_s[kind].append(seconds)
        if not 200 <= status < 300:
            self.fail(kind, f"{status} {said[:200]}")

    def fail(self, kind: str, why: str) -> None:
        self.failures.append(f"{time.monotonic() - self.begun_at:6.1f} s  {kind}: {why}")


async def _go(client: httpx.AsyncClient, kind: str, until: float, seen: Seen) -> None:
    while time.monotonic() < until:
        began = time.monotonic()
        try:
            if kind == "record":
                answer = await client.post(
                    "/api/v1/transactions",
                    json={"amount": "1.00", "category": "Steady", "description": "while it is replaced"},
                    headers={"Prefer": f"wait={_WAIT_S}", "Idempotency-Key": str(uuid4())},
                )
            else:
                answer = await client.get("/api/v1/transactions", params={"limit": 20})
        except httpx.HTTPError as error:
            seen.fail(kind, repr(error))
        else:
            seen.note(kind, answer.status_code, time.monotonic() - began, answer.text)


async def run(url: str, username: str, password: str, seconds: float, connections: int) -> Seen:
    """Make requests for so many seconds on so many connections, and return what came back."""
    async with httpx.AsyncClient(base_url=url, timeout=_ANSWER_WITHIN_S) as client:
        signed_in = await client.post("/api/v1/sessions", json={"username": username, "password": password})
        signed_in.raise_for_status()
    bearer = {"Authorization": f"Bearer {signed_in.json()['access_token']}"}
    seen, until = Seen(), time.monotonic() + seconds
    clients = [
        httpx.AsyncClient(
            base_url=url, timeout=_ANSWER_WITHIN_S, headers=bearer, limits=httpx.Limits(max_connections=1)
        )
        for _ in range(connections)
    ]
    kinds = ("record", "read")
    try:
        await asyncio.gather(*(_go(client, kinds[number % 2], until, seen) for number, client in enumerate(clients)))
    finally:
        await asyncio.gather(*(client.aclose() for client in clients))
    return seen


def main() -> int:
    """Make the requests and say what came back; the exit code is 0 only when nothing failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.steady")
    parser.add_argument("url")
    parser.add_argument("username")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--connections", type=int, default=8)
    asked = parser.parse_args()
    seen = asyncio.run(run(asked.url, asked.username, os.environ["CASH_PASSWORD"], asked.seconds, asked.connections))
    for kind, latencies in seen.latencies_s.items():
        if latencies:
            print(f"{kind}: p50 {statistics.median(latencies) * 1000:.0f} ms, longest {max(latencies) * 1000:.0f} ms")
    print(", ".join(f"{count} × {status}" for status, count in sorted(seen.statuses.items())))
    print(f"{len(seen.failures)} failed")
    print("\n".join(seen.failures[:50]))
    return 1 if seen.failures else 0


if __name__ == "__main__":
    sys.exit(main())
