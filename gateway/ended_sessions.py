"""Sessions that ended while their access tokens are still good, read from the users database every two seconds."""

import asyncio
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

from prometheus_client import Gauge

from contracts.sessions import ACCESS_TOKEN_LIFETIME_S
from gateway.queries.sessions import list_ended
from infra.errors import Unavailable
from infra.postgres.engine import Database
from infra.telemetry.logs import get_logger

log = get_logger(__name__)

READ_EVERY_S = 2.0
#: A list older than this no longer protects anybody: whoever writes is answered 503.
AGE_S_MAX = 5.0
#: A row is dated when it is decided and seen when it is committed, at most the delivery's time-out (30 s) later.
_OVERLAP = timedelta(seconds=60)

AGE = Gauge("cash_ended_sessions_age_seconds", "Seconds since the ended sessions were last read.")


class EndedSessions:
    """The ended sessions somebody might still hold a token of."""

    def __init__(self, users: Database, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Start with none, as old as can be."""
        self._users = users
        self._clock = clock
        self._ended: dict[UUID, datetime] = {}
        self._read_at: float | None = None
        AGE.set_function(self.age_s)

    def __contains__(self, session_id: UUID) -> bool:
        return session_id in self._ended

    def age_s(self) -> float:
        """Return how long ago the list was read."""
        return float("inf") if self._read_at is None else self._clock() - self._read_at

    def require_fresh(self) -> None:
        """Raise ``Unavailable`` where the list is too old to say who may still write."""
        if self._read_at is None or self._clock() - self._read_at > AGE_S_MAX:
            raise Unavailable("read ended sessions")

    async def watch(self) -> None:
        """Read the list every two seconds for as long as the task lives."""
        while True:
            try:
                async with asyncio.timeout(AGE_S_MAX):
                    await self.read()
            except (Unavailable, TimeoutError) as error:
                log.warning("ended sessions not read", error=repr(error))
            await asyncio.sleep(READ_EVERY_S)

    async def read(self) -> None:
        """Read what ended since the last read, and forget what ended before any token that is still good."""
        began = self._clock()
        newest = max(self._ended.values(), default=None)
        lifetime = timedelta(seconds=ACCESS_TOKEN_LIFETIME_S)
        ended, now = await list_ended(self._users, since=newest and newest - _OVERLAP, within=lifetime + _OVERLAP)
        self._ended.update(ended)
        oldest = now - lifetime - _OVERLAP
        self._ended = {session_id: at for session_id, at in self._ended.items() if at >= oldest}
        self._read_at = began
