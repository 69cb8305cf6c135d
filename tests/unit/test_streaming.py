"""An answer that goes on: heartbeats, last words, and who is cut without them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import uuid4

import pytest

from gateway import streaming
from gateway.events import NOT_A_MEMBER, End, LedgerEvents, Stream
from gateway.streaming import EventAnswer


class Chunks(Stream):
    """A stream of the chunks a test gives it."""

    def __init__(self) -> None:
        self.ended: asyncio.Future[End] = asyncio.get_running_loop().create_future()
        self.principal: Any = type("Somebody", (), {"user_id": uuid4()})
        self.queue: asyncio.Queue[bytes | Exception] = asyncio.Queue()
        self.is_closed = False

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            while True:
                found = await self.queue.get()
                if isinstance(found, Exception):
                    raise found
                yield found
        finally:
            self.is_closed = True


class Client:
    """Who asked: what it got, and a connection that can be left, stopped and cut."""

    def __init__(self) -> None:
        self.stream = Chunks()
        self.events = LedgerEvents(None, None, set())  # type: ignore[arg-type]  # not asked here
        self.got: list[Any] = []
        self.left = asyncio.Event()
        self.reads = asyncio.Event()
        self.reads.set()
        self.aborted = False
        self.stop: Callable[[], None] = lambda: None
        scope: Any = {"type": "http", "connection": self}
        self.scope = scope
        self.task = asyncio.create_task(EventAnswer(self.events, self.stream)(scope, self.receive, self.send))

    def when_stopping(self, call: Callable[[], None]) -> None:
        self.stop = call

    def abort(self) -> None:
        self.aborted = True

    async def receive(self) -> Any:
        if self.got:
            await self.left.wait()
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(self, message: Any) -> None:
        await self.reads.wait()
        self.got.append(message)

    @property
    def body(self) -> bytes:
        return b"".join(message["body"] for message in self.got[1:])

    @property
    def is_whole(self) -> bool:
        return self.got[-1].get("more_body") is False

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not condition():
                await asyncio.sleep(0.001)

    async def over(self) -> None:
        async with asyncio.timeout(5):
            await self.task


@contextlib.asynccontextmanager
async def a_client() -> AsyncIterator[Client]:
    client = Client()
    try:
        await client.until(lambda: bool(client.got))
        yield client
    finally:
        client.task.cancel()
        await asyncio.wait({client.task})
        assert not client.events._streams
        assert not client.events._persons
        await asyncio.sleep(0)
        assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]


async def test_it_says_what_it_is_and_that_nobody_may_keep_or_collect_it() -> None:
    async with a_client() as client:
        assert client.got[0]["status"] == 200
        headers = dict(client.got[0]["headers"])
        assert headers[b"content-type"].startswith(b"text/event-stream")
        assert headers[b"cache-control"] == b"no-store"
        assert headers[b"x-accel-buffering"] == b"no"


async def test_what_comes_is_sent_and_a_comment_where_nothing_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "HEARTBEAT_S", 0.02)
    async with a_client() as client:
        client.stream.queue.put_nowait(b"data: 1\n\n")
        await client.until(lambda: client.body.startswith(b"data: 1\n\n:\n\n:\n\n"))
        client.stream.queue.put_nowait(b"data: 2\n\n")
        await client.until(lambda: b"data: 2\n\n" in client.body)


async def test_an_end_is_told_at_once_and_the_answer_is_whole() -> None:
    async with a_client() as client:
        client.stream.end(NOT_A_MEMBER)
        await client.over()

        assert client.body == NOT_A_MEMBER.text()
        assert client.is_whole
        assert not client.aborted


async def test_when_the_server_stops_it_ends_at_once_with_a_comment() -> None:
    async with a_client() as client:
        client.stop()
        await client.over()

        assert client.body.startswith(b": ")
        assert b"event: end" not in client.body
        assert client.is_whole


async def test_when_the_client_leaves_nothing_stays_behind() -> None:
    async with a_client() as client:
        client.stream.queue.put_nowait(b"data: 1\n\n")
        await client.until(lambda: bool(client.body))
        client.left.set()
        await client.over()

        assert client.stream.is_closed
        assert client.stream.ended.result().reason == "client_gone"


async def test_who_takes_nothing_is_cut_with_a_comment_if_it_reads_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "STALLED_S", 0.05)
    async with a_client() as client:
        client.reads.clear()
        client.stream.queue.put_nowait(b"data: 1\n\n")
        await client.until(lambda: client.stream.ended.done())
        client.reads.set()
        await client.over()

        assert client.body == b": You did not read what was sent. Connect again.\n\n"
        assert not client.aborted


async def test_who_takes_nothing_at_all_is_cut_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "STALLED_S", 0.05)
    monkeypatch.setattr(streaming, "LAST_WORDS_S", 0.05)
    async with a_client() as client:
        client.reads.clear()
        client.stream.queue.put_nowait(b"data: 1\n\n")
        await client.over()

        assert client.aborted


async def test_a_reader_who_stalls_cannot_put_off_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "LAST_WORDS_S", 0.05)
    async with a_client() as client:
        client.reads.clear()
        client.stream.queue.put_nowait(b"data: 1\n\n")
        await asyncio.sleep(0.01)
        client.stream.end(NOT_A_MEMBER)
        await client.over()

        assert client.aborted


async def test_a_defect_ends_it_so_that_the_reader_comes_again() -> None:
    async with a_client() as client:
        client.stream.queue.put_nowait(RuntimeError("a defect"))
        await client.over()

        assert client.body.startswith(b": Something went wrong")
        assert client.is_whole


async def test_one_that_is_cancelled_leaves_nothing_behind() -> None:
    async with a_client() as client:
        client.task.cancel()
        await asyncio.wait({client.task})
        assert client.task.cancelled()


async def test_it_is_not_measured_as_a_slow_request() -> None:
    async with a_client() as client:
        assert "streamed" in client.scope
