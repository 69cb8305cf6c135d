"""How large and how slow a request may be, on a real connection."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
import uvicorn
from uvicorn.server import ServerState

from gateway import http
from gateway.http import HEAD_BYTES_MAX, BoundedHttp


async def app(scope: Any, receive: Any, send: Any) -> None:
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@pytest.fixture
def state() -> ServerState:
    return ServerState()


@pytest_asyncio.fixture
async def port(state: ServerState) -> AsyncIterator[int]:
    config = uvicorn.Config(app, port=0, http=BoundedHttp, lifespan="off", log_config=None)
    config.load()
    server = await asyncio.get_running_loop().create_server(
        lambda: BoundedHttp(config=config, server_state=state, app_state={}), "127.0.0.1", 0
    )
    async with server:
        yield server.sockets[0].getsockname()[1]


async def ask(port: int, *parts: bytes) -> bytes:
    """Send parts, one after the other; return all that comes until the connection is closed, or a whole answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0)
        async with asyncio.timeout(5):
            return await reader.read(4096)
    except ConnectionError:
        return b""
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


HEAD = b"GET / HTTP/1.1\r\nHost: x\r\nX: "


async def test_a_head_that_never_ends_is_refused(port: int) -> None:
    answer = await ask(port, HEAD, *[b"a" * 16_384] * (HEAD_BYTES_MAX // 16_384 + 20))

    assert answer == b"" or answer.startswith(b"HTTP/1.1 400")


async def test_a_large_head_that_ends_and_a_body_behind_it_are_taken(port: int) -> None:
    body = b"b" * 300_000
    head = HEAD.replace(b"GET", b"POST") + b"a" * 30_000 + b"\r\nContent-Length: %d\r\n\r\n" % len(body)

    assert (await ask(port, head + body)).startswith(b"HTTP/1.1 204")


@pytest.mark.parametrize(
    "sent", [b"", b"GET / HT", HEAD, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf"]
)
async def test_a_request_that_is_not_whole_in_time_is_given_up(
    port: int, sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "REQUEST_WITHIN_S", 0.2)

    assert await ask(port, sent) == b""


@pytest.mark.parametrize("unread", [1, 2])
async def test_a_stop_answers_what_has_arrived_and_closes_the_rest(port: int, state: ServerState, unread: int) -> None:
    whole = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    connections = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
    for reader, writer in connections:
        writer.write(whole)
        assert b"204" in await reader.readuntil(b"\r\n\r\n")
    _, half = connections[0]
    half.write(whole[:10])
    await asyncio.sleep(0.05)
    for _, writer in connections[1:][:unread]:
        # Without a turn of the loop in between, these bytes lie in the system's buffer.
        assert writer.get_extra_info("socket").fileno() > 0
        writer.write(whole)

    for connection in list(state.connections):
        connection.shutdown()

    half.write(whole[10:])
    async with asyncio.timeout(5):
        answers = [await reader.read() for reader, _ in connections]
    assert [b"204" in answer and b"connection: close" in answer for answer in answers] == [True] * (1 + unread) + [
        False
    ] * (2 - unread)
    for _, writer in connections:
        writer.close()
