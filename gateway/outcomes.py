"""How an operation ended: read from its row, many in one query, and waited for where ``Prefer: wait`` asks."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from uuid import UUID

from gateway.queries.operations import Operation
from infra.errors import Unavailable

#: How often a waiting request looks for itself; a wake-up only shortens that.
LOOK_EVERY_S = 0.5

ReadOperations = Callable[[Sequence[UUID]], Awaitable[Mapping[UUID, Operation]]]


class Outcomes:
    """The operations of one database.

    What is asked for while a query runs goes into the next one, so the database sees a few queries however many wait.
    """

    def __init__(self, read: ReadOperations) -> None:
        """Keep the query."""
        self._read = read
        self._wanted: dict[UUID, asyncio.Future[Operation | None]] = {}
        self._reading: asyncio.Task[None] | None = None
        self._waiting: dict[UUID, set[asyncio.Event]] = {}

    def wake(self, operation_id: UUID) -> None:
        """Let those who wait for an operation look now."""
        for event in self._waiting.get(operation_id, ()):
            event.set()

    @contextmanager
    def expecting(self, operation_id: UUID) -> Iterator[asyncio.Event]:
        """Listen for an operation's wake-up; begin before it is published."""
        event = asyncio.Event()
        events = self._waiting.setdefault(operation_id, set())
        events.add(event)
        try:
            yield event
        finally:
            events.discard(event)
            if not events:
                self._waiting.pop(operation_id, None)

    async def find(self, operation_id: UUID) -> Operation | None:
        """Find an operation; ``None`` while it is not decided.

        Raises:
            Unavailable: the database does not answer.
        """
        future = self._wanted.get(operation_id)
        if future is None:
            future = self._wanted[operation_id] = asyncio.get_running_loop().create_future()
            future.add_done_callback(_seen)
        if self._reading is None:
            self._reading = asyncio.create_task(self._read_wanted())
        # Shielded, because somebody else may wait for the same one.
        return await asyncio.shield(future)

    async def find_if_readable(self, operation_id: UUID) -> Operation | None:
        """Find an operation, or ``None`` also where the database does not answer: it may be decided or not."""
        try:
            return await self.find(operation_id)
        except Unavailable:
            return None

    async def wait(self, operation_id: UUID, woken: asyncio.Event, *, until: float) -> Operation | None:
        """Wait for an operation until the loop's clock shows ``until``; then look once more."""
        clock = asyncio.get_running_loop().time
        while True:
            try:
                async with asyncio.timeout_at(min(until, clock() + LOOK_EVERY_S)):
                    await woken.wait()
            except TimeoutError:
                pass
            woken.clear()
            operation = await self.find_if_readable(operation_id)
            if operation is not None or clock() >= until:
                return operation

    async def _read_wanted(self) -> None:
        try:
            while self._wanted:
                wanted, self._wanted = self._wanted, {}
                try:
                    found = await self._read(list(wanted))
                except Exception as error:  # noqa: BLE001 - whatever it is, nobody may wait for ever
                    for future in wanted.values():
                        future.set_exception(error)
                    continue
                for operation_id, future in wanted.items():
                    future.set_result(found.get(operation_id))
        finally:
            self._reading = None


def _seen(future: "asyncio.Future[Operation | None]") -> None:
    """Look at a failure nobody waits for any more, so that asyncio does not report it."""
    if not future.cancelled():
        future.exception()
