"""An answer that goes on: events as they come, a comment when nothing comes, and an end at once when it is time."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Protocol

from litestar.types import Receive, Scope, Send

from gateway.events import DEFECT, STOPPING, TOO_SLOW, LedgerEvents, Stream
from infra.telemetry.logs import get_logger

log = get_logger(__name__)

HEARTBEAT_S = 15.0
#: Who takes nothing of what is sent for so long is cut, and may connect again.
STALLED_S = 20.0
#: How long the last words may take; who does not hear them is cut all the same.
LAST_WORDS_S = 1.0

_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    # Nginx, and what imitates it, would collect events until a buffer is full.
    (b"x-accel-buffering", b"no"),
]


class Connection(Protocol):
    """The connection a request came by, as :class:`gateway.http.BoundedHttp` puts it into the scope."""

    def when_stopping(self, call: Callable[[], None]) -> None:
        """Call once the server stops, or now where it does so already."""

    def abort(self) -> None:
        """Close without sending what is left."""


class EventAnswer:
    """A stream of events as an answer; it ends when its reader leaves, may read no more, or takes nothing."""

    def __init__(self, events: LedgerEvents, stream: Stream) -> None:
        """Answer with this stream."""
        self._events = events
        self._stream = stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        scope["streamed"] = True  # type: ignore[typeddict-unknown-key]  # ours; ASGI allows it
        connection: Connection | None = scope.get("connection")  # type: ignore[assignment]
        if connection is not None:
            connection.when_stopping(lambda: self._stream.end(STOPPING))
        with self._events.watching(self._stream):
            sending = asyncio.create_task(self._send(send))
            leaving = asyncio.create_task(_gone(receive))
            try:
                until: set[asyncio.Future[Any]] = {sending, leaving, self._stream.ended}
                await asyncio.wait(until, return_when=asyncio.FIRST_COMPLETED)
                if self._stream.ended.done():
                    await asyncio.wait({sending, leaving}, timeout=LAST_WORDS_S, return_when=asyncio.FIRST_COMPLETED)
                if connection is not None and not sending.done() and not leaving.done():
                    connection.abort()
            finally:
                for task in (sending, leaving):
                    task.cancel()
                await asyncio.wait({sending, leaving})
            if not sending.cancelled():
                sending.result()

    async def _send(self, send: Send) -> None:
        """Send chunks and heartbeats until the stream has ended, then why."""
        ended = self._stream.ended

        async def write(body: bytes, *, more: bool = True) -> None:
            await send({"type": "http.response.body", "body": body, "more_body": more})

        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        chunks = self._stream.chunks()
        coming = asyncio.create_task(_next(chunks))
        try:
            while True:
                until: set[asyncio.Future[Any]] = {coming, ended}
                await asyncio.wait(until, timeout=HEARTBEAT_S, return_when=asyncio.FIRST_COMPLETED)
                if ended.done():
                    break
                chunk = b":\n\n"
                if coming.done():
                    chunk = coming.result()
                    coming = asyncio.create_task(_next(chunks))
                if not await _in_time(write(chunk)):
                    self._stream.end(TOO_SLOW)
        except Exception as error:  # the answer has begun: nobody else could tell the reader
            log.error("a defect", exc_info=error)
            self._stream.end(DEFECT)
        finally:
            coming.cancel()
            await asyncio.wait({coming})
        await write(ended.result().text(), more=False)


async def _in_time(writing: Coroutine[None, None, None]) -> bool:
    """Write, and return whether the reader took it in time."""
    try:
        async with asyncio.timeout(STALLED_S):
            await writing
    except TimeoutError:
        return False
    return True


async def _next(chunks: AsyncIterator[bytes]) -> bytes:
    return await anext(chunks)


async def _gone(receive: Receive) -> None:
    """Wait until the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass
