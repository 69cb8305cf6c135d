"""Whether everything that requests need is there."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from gateway.ended_sessions import AGE_S_MAX, EndedSessions
from infra.errors import Unavailable

CHECK_S_MAX = 2.0


class Readiness:
    """Asks each dependency when it is asked itself."""

    def __init__(self, pings: Mapping[str, Callable[[], Awaitable[None]]], ended: EndedSessions) -> None:
        """Keep the pings, by the name people know the dependency under."""
        self._pings = pings
        self._ended = ended

    async def problems(self) -> list[str]:
        """Return what keeps us from being ready; empty when we are."""
        found = await asyncio.gather(*(self._problem(name, ping) for name, ping in self._pings.items()))
        problems = [problem for problem in found if problem]
        if (age_s := self._ended.age_s()) > AGE_S_MAX:
            shown = "never" if age_s == float("inf") else f"{age_s:.0f} s ago"
            problems.append(f"ended sessions were last read {shown}")
        return problems

    async def _problem(self, name: str, ping: Callable[[], Awaitable[None]]) -> str | None:
        try:
            async with asyncio.timeout(CHECK_S_MAX):
                await ping()
        except (Unavailable, TimeoutError):
            return f"{name} does not answer"
        return None
