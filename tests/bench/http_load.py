"""A load generator: raw HTTP/1.1 on uvloop and httptools, kept-alive connections with one request in flight each."""

import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self, cast

import httptools
import psutil

HOST = "127.0.0.1"
LOST_AFTER_S = 15.0


@dataclass(slots=True)
class Answers:
    """Answers of one side of a comparison, added up over its rounds.

    ``cpu_s`` is processor time of the server that answered, ``own_cpu_s`` the load generator's.
    """

    seconds: float = 0.0
    cpu_s: float = 0.0
    own_cpu_s: float = 0.0
    latencies_s: list[float] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        return len(self.latencies_s) / self.seconds

    def percentile_ms(self, percent: int) -> float:
        return statistics.quantiles(self.latencies_s, n=100, method="inclusive")[percent - 1] * 1000

    @property
    def spread(self) -> str:
        return f"p50 {self.percentile_ms(50):.1f} ms, p99 {self.percentile_ms(99):.1f} ms"

    @property
    def extremes(self) -> str:
        """For a handful of answers, of which no percentile can be told."""
        return f"p50 {statistics.median(self.latencies_s) * 1000:.1f} ms, slowest {max(self.latencies_s) * 1000:.1f} ms"

    @property
    def cpu_each_us(self) -> float:
        """Microseconds of the server's processor time per answer: what a busy machine changes least."""
        return self.cpu_s / len(self.latencies_s) * 1e6

    @property
    def brief(self) -> str:
        """Rate, p50 and p99."""
        return f"{self.per_second:,.0f}/s, {self.percentile_ms(50):.1f} / {self.percentile_ms(99):.1f} ms"

    def text(self) -> str:
        cpu = f"; {self.cpu_each_us:.0f} µs CPU each" if self.cpu_s else ""
        return f"{self.per_second:,.0f}/s; {self.spread}{cpu}"

    def __iadd__(self, other: Self) -> Self:
        self.seconds += other.seconds
        self.cpu_s += other.cpu_s
        self.own_cpu_s += other.own_cpu_s
        self.latencies_s += other.latencies_s
        return self


Side = Callable[[], Awaitable[Answers]]


async def in_turns(rounds: int, *sides: Side) -> list[Answers]:
    """Measure the sides in turns, so that what else the machine does meets them alike; return each one's sum."""
    sums = [Answers() for _ in sides]
    for _ in range(rounds):
        for total, side in zip(sums, sides, strict=True):
            total += await side()
    return sums


def request_bytes(method: str, path: str, headers: Mapping[str, str] | None = None, body: Any = None) -> bytes:
    """Return a request; ``body`` becomes JSON."""
    content = b"" if body is None else json.dumps(body, separators=(",", ":")).encode()
    lines = [
        f"{method} {path} HTTP/1.1",
        f"Host: {HOST}",
        *(f"{name}: {value}" for name, value in (headers or {}).items()),
    ]
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
    return "\r\n".join([*lines, "", ""]).encode() + content


async def load(
    port: int, requests: Sequence[Iterator[bytes]], *, seconds: float, status: int, pid: int | None = None
) -> Answers:
    """Send requests for so long, one connection per iterator; any other status than ``status`` is an error.

    ``pid`` is the server's, where its processor time is to be known.
    """
    loop = asyncio.get_running_loop()
    answers = Answers()
    connections = []
    for each in requests:
        connection = _Connection(each, status, answers.latencies_s)
        await loop.create_connection(partial(_itself, connection), HOST, port)
        connections.append(connection)
    server = psutil.Process(pid) if pid else None
    cpu_began = cpu_seconds(server) if server else 0.0
    began, own_cpu_began = time.perf_counter(), time.process_time()
    for connection in connections:
        connection.run_until(began + seconds)
    try:
        async with asyncio.timeout(seconds + LOST_AFTER_S):
            await asyncio.gather(*(connection.done for connection in connections))
    finally:
        for connection in connections:
            connection.close()
    answers.seconds, answers.own_cpu_s = time.perf_counter() - began, time.process_time() - own_cpu_began
    answers.cpu_s = cpu_seconds(server) - cpu_began if server else 0.0
    return answers


def cpu_seconds(process: psutil.Process) -> float:
    """Return the processor time a process has used so far."""
    times = process.cpu_times()
    return times.user + times.system


async def ask(port: int, request: bytes, *, status: int) -> float:
    """Send one request on a new connection and return the seconds until its answer, the connecting left out."""
    answers = await load(port, [iter([request])], seconds=0, status=status)
    return answers.latencies_s[0]


class _Connection(asyncio.Protocol):
    """One connection: writes the next request when the answer before is complete."""

    def __init__(self, requests: Iterator[bytes], status: int, latencies_s: list[float]) -> None:
        self._requests = requests
        self._status = status
        self._latencies_s = latencies_s
        self._parser = httptools.HttpResponseParser(self)
        self._body = b""
        self._until = 0.0
        self._sent_at = 0.0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def run_until(self, moment: float) -> None:
        self._until = moment
        self._send()

    def close(self) -> None:
        self.done.cancel()
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not isinstance: uvloop's transports are only like asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(error or ConnectionError("the server closed the connection"))

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self._body = body

    def on_message_complete(self) -> None:
        now = time.perf_counter()
        if self._parser.get_status_code() != self._status:
            if not self.done.done():
                self.done.set_exception(AssertionError(f"{self._parser.get_status_code()}: {self._body[:500]!r}"))
            return
        self._latencies_s.append(now - self._sent_at)
        if now < self._until:
            self._send()
        elif not self.done.done():
            self.done.set_result(None)

    def _send(self) -> None:
        request = next(self._requests)
        self._sent_at = time.perf_counter()
        self._transport.write(request)


def _itself(connection: _Connection) -> _Connection:
    return connection
