"""HTTP/1.1 as uvicorn's httptools reads it, with an end to how long and how large a request's head may be.

Uvicorn limits bodies through us and heads not at all: one that never ends would cost everybody's time.
"""

import asyncio
import fcntl
import sys
import termios
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES_MAX = 64 * 1024
REQUEST_WITHIN_S = 30.0
#: How long a connection may be idle. Longer than proxies and load balancers keep theirs (60 s as a rule): a request may
#: cross with its connection's end, and nobody repeats a POST unasked. So the one who asks has to be the one who closes.
KEEP_ALIVE_S = 75


class BoundedHttp(HttpToolsProtocol):
    """Closes a connection whose request's head is too large, or whose request is not whole in time.

    An answer may go on for as long as it likes. One that would go on for ever finds the connection in its scope, to be
    told when the server stops, and to cut a reader who does not read.
    """

    _in_head = True
    _is_arriving = False
    _head_bytes = 0
    _overdue: asyncio.TimerHandle | None = None
    _is_stopping = False
    _on_stop: Callable[[], None] | None = None

    def connection_made(self, transport: Any) -> None:
        """Expect a first request."""
        super().connection_made(transport)
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        """Expect nothing any more."""
        self._expect_no_more()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read, and refuse a head that is not over after so many bytes."""
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > HEAD_BYTES_MAX:
            self._expect_no_more()
            self.send_400_response("The head of this request is too large.")

    def on_message_begin(self) -> None:
        """Begin to count and to wait."""
        super().on_message_begin()
        self.scope["connection"] = self  # type: ignore[typeddict-unknown-key]  # ours; ASGI allows it
        self._in_head, self._head_bytes, self._is_arriving = True, 0, True
        self._expect()

    def on_headers_complete(self) -> None:
        """Count no more: bodies have a limit of their own."""
        self._in_head = self._is_arriving = False
        super().on_headers_complete()
        if self._is_stopping:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        """Wait no more: the request is whole."""
        self._expect_no_more()
        super().on_message_complete()

    def when_stopping(self, call: Callable[[], None]) -> None:
        """Call once the server stops, or now where it does so already; the last one who asked is called."""
        self._on_stop = call
        if self._is_stopping:
            call()

    def abort(self) -> None:
        """Close without sending what is left."""
        self.transport.abort()

    def shutdown(self) -> None:
        """Close when the answer under way is over; uvicorn calls it once, when it stops.

        A request that has begun to arrive is read and answered first.
        """
        self._is_stopping = True
        if self._on_stop is not None:
            self._on_stop()
        if not (self._is_arriving or self._has_unread()):
            super().shutdown()

    def _has_unread(self) -> bool:
        """Return whether bytes lie in the system's buffer that the loop has not come to."""
        connection = self.transport.get_extra_info("socket")
        if connection is None or connection.fileno() < 0:
            return False
        unread = fcntl.ioctl(connection.fileno(), termios.FIONREAD, b"\0" * 4)
        return int.from_bytes(unread, sys.byteorder) > 0

    def _expect(self) -> None:
        self._expect_no_more()
        self._overdue = self.loop.call_later(REQUEST_WITHIN_S, self.transport.close)

    def _expect_no_more(self) -> None:
        if self._overdue is not None:
            self._overdue.cancel()
            self._overdue = None
