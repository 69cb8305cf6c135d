"""Somebody who watches a ledger: a stream of events, read as it comes, cut and opened again as a test likes."""

import asyncio
import json
from typing import Any, Self
from uuid import UUID

import httpx

from cli.books.event_lines import Event, EventReader
from tests.builders.gateway import Person

WITHIN_S = 20.0


class Watcher:
    """One stream. ``events`` is what came, ``sequences`` those of its entries in the order they came in.

    ``beginning`` and ``rest`` are the first and last of it as it came; ``over`` is set when the gateway has ended it.
    """

    def __init__(
        self, person: Person, *, ledger_id: UUID | None = None, last: int | None = None, port: int | None = None
    ) -> None:
        self.events: list[Event] = []
        self.sequences: list[int] = []
        self.beginning = self.rest = ""
        self.over = asyncio.Event()
        self.last_id = "" if last is None else str(last)
        base = person.http.base_url if port is None else person.http.base_url.copy_with(port=port)
        self._path = f"{base}ledgers/{ledger_id or person.ledger_id}/events"
        self._headers = {"Authorization": person.http.headers["Authorization"]}
        self._http: httpx.AsyncClient | None = None
        self._task: asyncio.Task[None] | None = None
        self._opened = asyncio.Event()
        self.headers = httpx.Headers()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.cut()

    async def open(self) -> None:
        """Connect, and go on behind the last event that came."""
        self.over.clear()
        self._opened.clear()
        self._task = asyncio.create_task(self._read())
        opened = asyncio.create_task(self._opened.wait())
        await asyncio.wait({self._task, opened}, timeout=WITHIN_S, return_when=asyncio.FIRST_COMPLETED)
        opened.cancel()
        if self._task.done():
            self._task.result()
        assert self._opened.is_set() or self.over.is_set()

    async def cut(self) -> None:
        """Close the connection, in the middle of whatever comes."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
            if not self._task.cancelled() and (error := self._task.exception()) is not None:
                assert isinstance(error, httpx.TransportError), error

    async def _read(self) -> None:
        headers = self._headers | ({"Last-Event-ID": self.last_id} if self.last_id else {})
        timeout = httpx.Timeout(WITHIN_S, read=40)
        async with (
            httpx.AsyncClient(timeout=timeout, trust_env=False) as http,
            http.stream("GET", self._path, headers=headers) as answer,
        ):
            self.headers = answer.headers
            assert answer.status_code == 200, await answer.aread()
            reader = EventReader(self.last_id)
            try:
                async for part in answer.aiter_bytes():
                    text = part.decode(errors="replace")
                    self.beginning, self.rest = self.beginning or text, text
                    for event in reader.feed(part):
                        self.events.append(event)
                        if event.type != "end":
                            self.sequences.append(int(event.id))
                    self.last_id = reader.last_id
                    self._opened.set()
            finally:
                self.over.set()

    @property
    def entries(self) -> list[Any]:
        """The entries that came."""
        return [json.loads(event.data) for event in self.events if event.type != "end"]

    async def until(self, last: int, within_s: float = WITHIN_S) -> list[int]:
        """Wait until an entry has come, and return the sequences of all that came."""
        try:
            async with asyncio.timeout(within_s):
                while not self.sequences or self.sequences[-1] < last:
                    await asyncio.sleep(0.005)
        except TimeoutError:
            raise AssertionError(f"{last} did not come within {within_s} s: {self.sequences[-3:]}") from None
        return self.sequences

    async def ended(self, within_s: float = WITHIN_S) -> str:
        """Wait until the gateway has ended it, and return the reason it gave in an event."""
        try:
            async with asyncio.timeout(within_s):
                await self.over.wait()
        except TimeoutError:
            raise AssertionError(f"it did not end within {within_s} s") from None
        last = self.events[-1] if self.events else None
        return str(json.loads(last.data)["reason"]) if last is not None and last.type == "end" else ""
