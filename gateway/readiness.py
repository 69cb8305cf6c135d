"""Whether everything that requests need is there."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

from gateway.draining import Draining
from gateway.ended_sessions import AGE_S_MAX, EndedSessions
from infra.errors import Refused, Unavailable
from infra.postgres.revisions import SchemaBehind
from infra.telemetry.metrics import READY

#: Less than whoever asks us waits (the local supervisor: two seconds).
CHECK_S_MAX = 1.5

DRAINING = "draining: it was asked to stop, and answers until others have taken over"

Ping: TypeAlias = Callable[[], Awaitable[None]]
Pings: TypeAlias = Mapping[str, Ping]
"""By the name people know a dependency under."""


class Readiness:
    """Asks each dependency when it is asked itself."""

    def __init__(self, needed: Pings, missed: Pings, ended: EndedSessions, draining: Draining) -> None:
        """Keep the pings: of what every request needs, and of what some are refused without, or slower."""
        self._needed = needed
        self._missed = missed
        self._ended = ended
        self._draining = draining
        READY.set(1)

    async def shortcomings(self) -> list[str]:
        """Return what does not work while most does: it takes no gateway out of service, since all would go at once."""
        return await _asked(self._missed)

    async def problems(self) -> list[str]:
        """Return what keeps us from being ready; empty when we are."""
        problems = [DRAINING] if self._draining.begun else await self._found()
        READY.set(not problems)
        return problems

    async def _found(self) -> list[str]:
        problems = await _asked(self._needed)
        if (age_s := self._ended.age_s()) > AGE_S_MAX:
            shown = "never" if age_s == float("inf") else f"{age_s:.0f} s ago"
            problems.append(f"ended sessions were last read {shown}")
        return problems


async def _asked(pings: Pings) -> list[str]:
    found = await asyncio.gather(*(_problem(name, ping) for name, ping in pings.items()))
    return [problem for problem in found if problem]


async def _problem(name: str, ping: Ping) -> str | None:
    try:
        async with asyncio.timeout(CHECK_S_MAX):
            await ping()
    except (Refused, SchemaBehind) as error:
        return str(error)
    except (Unavailable, TimeoutError):
        return f"{name} does not answer"
    return None
