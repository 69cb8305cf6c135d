"""A consumer's place in its group: joined or not, between two assignments or not, and a short way from one to the next.

Every change of a group's members takes all partitions from all of them and deals them out anew (aiokafka knows no other
protocol). How long that takes is how soon each member hears of it, and how soon it has finished what it had begun.
"""

import asyncio
import time
from collections.abc import Set as AbstractSet

from aiokafka import TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from prometheus_client import Gauge, Histogram

from infra.telemetry.logs import get_logger

log = get_logger(__name__)

PARTITIONS = Gauge("cash_consumer_partitions", "Partitions that this consumer has.", ["topic", "group"])
REBALANCE_SECONDS = Histogram(
    "cash_consumer_rebalance_seconds",
    "How long this consumer had no partitions while its group dealt them out anew.",
    ["topic", "group"],
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)

#: The group waits for the batch under way, so that nobody takes it a second time; but not for a slow one.
HANDOVER_WITHIN_S = 2.0
#: A group that has not agreed for so long has a member that neither answers nor is given up: worth looking at.
REBALANCE_S_MAX = 15.0


class Membership(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """Hears from aiokafka what partitions its consumer has; knows from its owner whether a batch is under way."""

    def __init__(self, topic: str, group: str) -> None:
        """Begin as a member of nothing."""
        self._names = topic, group
        self._joined = False
        self._between_batches = asyncio.Event()
        self._between_batches.set()
        self._revoked_at: float | None = None

    @property
    def is_rebalancing(self) -> bool:
        """Whether the group deals out its partitions just now."""
        return self._revoked_at is not None

    def begin_batch(self) -> None:
        """Note that a batch is taken."""
        self._between_batches.clear()

    def end_batch(self) -> None:
        """Note that it has been taken, and its offset committed."""
        self._between_batches.set()

    def problem(self) -> str | None:
        """Return what is wrong, or ``None``: a member without partitions is a spare, with which nothing is wrong."""
        if self._revoked_at is not None:
            since_s = time.monotonic() - self._revoked_at
            if self._joined and since_s > REBALANCE_S_MAX:
                return f"its group has not agreed who has which partition for {since_s:.0f} s"
        return None if self._joined else "not a member of its group yet"

    async def on_partitions_revoked(self, revoked: AbstractSet[TopicPartition]) -> None:
        """Finish the batch under way; meanwhile heartbeats go on, and nothing new is fetched."""
        self._revoked_at = time.monotonic()
        if revoked:
            try:
                async with asyncio.timeout(HANDOVER_WITHIN_S):
                    await self._between_batches.wait()
            except TimeoutError:
                log.warning("a batch is handed over unfinished", topic=self._names[0])

    async def on_partitions_assigned(self, assigned: AbstractSet[TopicPartition]) -> None:
        """Note what it has now."""
        paused_s = 0.0 if self._revoked_at is None else time.monotonic() - self._revoked_at
        if self._joined:
            REBALANCE_SECONDS.labels(*self._names).observe(paused_s)
        PARTITIONS.labels(*self._names).set(len(assigned))
        partitions = sorted(each.partition for each in assigned)
        log.info("partitions assigned", topic=self._names[0], partitions=partitions, paused_s=round(paused_s, 3))
        self._joined, self._revoked_at = True, None
