"""The floors of the gateway, each a process of its own: ``python -m tests.bench.bare_route litestar|answer PORT``.

``litestar`` reads the same body into a struct and answers the same fields, and does nothing else. ``answer`` does not
even read: it shows how much the load generator can ask.
"""

import asyncio
import sys
from typing import cast
from uuid import UUID, uuid4

import msgspec
import uvicorn
import uvloop
from litestar import Litestar, post

from tests.bench.http_load import HOST


class NewTransaction(msgspec.Struct):
    """The body."""

    amount: str
    category: str
    description: str | None = None
    date: str | None = None


class Accepted(msgspec.Struct):
    """The answer."""

    operation_id: UUID
    status: str
    idempotency_key: str
    transaction_id: UUID


@post("/api/v1/transactions", status_code=202)
async def accept(data: NewTransaction) -> Accepted:
    """Answer."""
    return Accepted(uuid4(), "pending", data.amount, uuid4())


def run_litestar(port: int) -> None:
    app = Litestar([accept], logging_config=None, openapi_config=None)
    serve(app, port)


def serve(app: Litestar, port: int) -> None:
    """Serve an application as the gateway is served."""
    uvicorn.run(
        app,
        host=HOST,
        port=port,
        loop="uvloop",
        http="httptools",
        ws="none",
        log_config=None,
        access_log=False,
        backlog=2048,
    )


_ANSWER = b"HTTP/1.1 202 Accepted\r\ncontent-length: 2\r\n\r\n{}"


class _Answer(asyncio.Protocol):
    """Answers whatever arrives: a request is one write of the load generator."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not isinstance: uvloop's transports are only like asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._transport.write(_ANSWER)


async def run_answer(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(_Answer, HOST, port)
    await server.serve_forever()


if __name__ == "__main__":
    kind, port = sys.argv[1], int(sys.argv[2])
    if kind == "litestar":
        run_litestar(port)
    else:
        uvloop.run(run_answer(port))
