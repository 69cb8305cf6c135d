"""Is a server ready? One question per protocol, asked over a connection of its own."""

import asyncio
import json
import struct
from collections.abc import Awaitable, Callable

from infra.local.ports import LOOPBACK

# Answers nothing when the process is ready, else why not yet, in words.
Probe = Callable[[], Awaitable[str | None]]

TIMEOUT_S = 2.0
_KAFKA_API_VERSIONS = struct.pack(">hhih", 18, 0, 1, -1)
_POSTGRES_PROTOCOL = 196_608


def http_probe(port: int) -> Probe:
    """Ask ``/health/ready``; a process that is not ready says because of what."""

    async def probe() -> str | None:
        request = f"GET /health/ready HTTP/1.1\r\nHost: {LOOPBACK}\r\nConnection: close\r\n\r\n".encode()
        answer = await _ask(port, request, until_closed=True)
        head, _, body = answer.partition(b"\r\n\r\n")
        if head.split(b" ", 2)[1:2] == [b"200"]:
            return None
        try:
            return ", ".join(str(reason) for reason in json.loads(body)["because"]) or "not ready"
        except (ValueError, KeyError, TypeError):
            return "answers, but not that it is ready"

    return _patient(probe)


def postgres_probe(port: int) -> Probe:
    """Ask to sign in; a server that is still recovering refuses before it asks for a password."""

    async def probe() -> str | None:
        body = struct.pack(">i", _POSTGRES_PROTOCOL) + b"user\0postgres\0database\0postgres\0\0"
        answer = await _ask(port, struct.pack(">i", len(body) + 4) + body)
        return None if answer.startswith(b"R") else "starting up"

    return _patient(probe)


def redis_probe(port: int, password: str) -> Probe:
    """Sign in and ping; a server that is still loading its file says so."""

    async def probe() -> str | None:
        answer = await _ask(port, f"AUTH {password}\r\nPING\r\n".encode())
        return None if b"+OK" in answer and b"-" not in answer else "loading its data"

    return _patient(probe)


def kafka_probe(port: int) -> Probe:
    """Ask for the API versions, which a broker answers before sign-in and only once it serves."""

    async def probe() -> str | None:
        answer = await _ask(port, struct.pack(">i", len(_KAFKA_API_VERSIONS)) + _KAFKA_API_VERSIONS)
        return None if len(answer) > 8 else "starting up"

    return _patient(probe)


async def _ask(port: int, request: bytes, *, until_closed: bool = False) -> bytes:
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    try:
        writer.write(request)
        await writer.drain()
        return await reader.read(-1 if until_closed else 65_536)
    finally:
        writer.close()


def _patient(probe: Probe) -> Probe:
    async def asked() -> str | None:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await probe()
        except TimeoutError:
            return f"does not answer within {TIMEOUT_S:.0f} s"
        except OSError:
            return "not listening yet"

    return asked
