"""An open loop: each event is sent when its time has come, whatever became of those before it."""

import asyncio
import contextlib
import time
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cli.simulation.accounting import Accounting
from cli.simulation.events import Writer
from cli.simulation.latencies import Latencies
from cli.simulation.schedules import Schedule
from infra.kafka.producer import Acknowledgement, Producer

#: Written and queued in one go, before others have a turn.
_AT_ONCE = 200
#: Events of so short a time are sent together.
_TICK_S = 0.002
_LONGEST_SLEEP_S = 0.1
#: Kafka has acknowledged nothing of what it was sent for so long: it is not awaited any longer.
GIVE_UP_S = 60.0
#: What is queued when the last event was sent is awaited for so long; after that its outcome is unknown.
ACKNOWLEDGED_WITHIN_S = 60.0


@dataclass(slots=True)
class Stage:
    """A schedule while it is sent, at ``rate`` events per second; moments are of ``time.monotonic``.

    ``first`` is the number of its first event, ``recorded_before`` how many of the run's were recorded when it began.

    ``latencies`` count from the moment an event was to be sent to the moment its entry in the journal was seen,
    ``starts`` from the moment it was to be sent to that at which Kafka's client had it.
    """

    rate: float
    schedule: Schedule
    first: int
    recorded_before: int = 0
    began: float = 0.0
    ended: float = 0.0
    sent: int = 0
    latencies: Latencies = field(default_factory=Latencies)
    starts: Latencies = field(default_factory=Latencies)

    def recorded(self, number: int, at: float) -> None:
        """Note that an event of this stage, or an earlier one, was seen in the journal."""
        if number >= self.first:
            self.latencies.record(at - self.began - self.schedule.at_s[number - self.first])


class Sender:
    """Sends the stages of a run, one after the other, and learns what Kafka has of them."""

    def __init__(self, producer: Producer, writer: Writer, accounting: Accounting) -> None:
        """Prepare; the producer is this sender's alone."""
        self._producer = producer
        self._writer = writer
        self._accounting = accounting
        self._pending: deque[tuple[int, Sequence[Acknowledgement]]] = deque()
        #: When Kafka acknowledged something, or nothing that was sent was without an acknowledgement.
        self._answered_at = 0.0
        self._has_failed = False

    async def send(self, stage: Stage, is_over: Callable[[], bool]) -> bool:
        """Send a stage's events, each when its time has come; return false where Kafka takes nothing any more.

        One that could not be sent in time is sent as soon as that is possible: none is left out.
        """
        at_s, count = stage.schedule.at_s, len(stage.schedule)
        stage.began = stage.ended = self._answered_at = time.monotonic()
        place = 0
        while place < count and not is_over():
            await self._look_at_acknowledgements()
            now = time.monotonic() - stage.began
            if stage.began + now - self._answered_at > GIVE_UP_S:
                return False
            due = bisect_right(at_s, now, place, min(place + _AT_ONCE, count))
            if due == place:
                await asyncio.sleep(min(max(at_s[place] - now, _TICK_S), _LONGEST_SLEEP_S))
                continue
            queued = await self._queue(stage, place, due)
            started = time.monotonic() - stage.began
            for each in range(place, place + queued):
                stage.starts.record(started - at_s[each])
            place += queued
            stage.sent, stage.ended = place, time.monotonic()
            # Where the queue has room, nothing above gives others a turn.
            await asyncio.sleep(0)
        return True

    async def _queue(self, stage: Stage, place: int, due: int) -> int:
        """Write events and queue them; return how many Kafka's client took."""
        now = datetime.now(UTC)
        events = [self._writer.write(stage.schedule, each, stage.first, now) for each in range(place, due)]
        # Before: the journal may be faster than the acknowledgement.
        for number, event in enumerate(events, stage.first + place):
            self._accounting.queued(number, event.operation_id, event.day)
        queued = await self._producer.queue([event.record for event in events])
        for number in range(place + len(queued), due):
            self._accounting.unqueued(stage.first + number, events[number - place].operation_id)
        if queued:
            self._pending.append((stage.first + place, queued))
        return len(queued)

    async def acknowledge_all(self, is_over: Callable[[], bool]) -> None:
        """Wait until Kafka has what was queued; of what it does not have after a while it is unknown."""
        until = time.monotonic() + ACKNOWLEDGED_WITHIN_S
        while self._pending and time.monotonic() < until and not is_over():
            await self._look_at_acknowledgements()
            await asyncio.sleep(_LONGEST_SLEEP_S / 10)

    async def _look_at_acknowledgements(self) -> None:
        if not self._pending and not self._has_failed:
            self._answered_at = time.monotonic()
        while self._pending:
            first, acknowledgements = self._pending[0]
            if not all(each.done() for each in acknowledgements):
                return
            self._pending.popleft()
            broken: BaseException | None = None
            for number, each in enumerate(acknowledgements, first):
                if each.cancelled() or (error := each.exception()) is not None:
                    broken = broken or (None if each.cancelled() else error)
                else:
                    self._accounting.acknowledged(number)
                    self._answered_at = time.monotonic()
            self._has_failed = broken is not None
            if broken is not None:
                with contextlib.suppress(Exception):
                    await self._producer.mend(broken)
