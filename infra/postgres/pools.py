"""How many connections this process has to each database, for Prometheus: asked of the pools when somebody looks."""

import threading
from collections.abc import Iterable, Iterator
from typing import Protocol

from prometheus_client import REGISTRY
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector


class Pool(Protocol):
    """What we ask of asyncpg's pool."""

    def get_size(self) -> int:
        """Return how many connections it has."""

    def get_idle_size(self) -> int:
        """Return how many of them nobody uses."""

    def get_max_size(self) -> int:
        """Return how many it may have."""


class PoolMetrics(Collector):
    """Adds up the pools of each database: a job's threads have one each."""

    def __init__(self) -> None:
        """Begin without pools."""
        self._pools: list[tuple[str, Pool]] = []
        self._changing = threading.Lock()

    def add(self, database: str, pool: Pool) -> None:
        """Count a pool from now on."""
        with self._changing:
            self._pools.append((database, pool))

    def remove(self, pool: Pool) -> None:
        """Count a pool no more."""
        with self._changing:
            self._pools = [(database, other) for database, other in self._pools if other is not pool]

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Return what there is now."""
        connections, most = _families()
        with self._changing:
            pools = list(self._pools)
        for database in sorted({database for database, _ in pools}):
            own = [pool for name, pool in pools if name == database]
            idle = sum(pool.get_idle_size() for pool in own)
            connections.add_metric([database, "idle"], idle)
            connections.add_metric([database, "used"], sum(pool.get_size() for pool in own) - idle)
            most.add_metric([database], sum(pool.get_max_size() for pool in own))
        yield connections
        yield most

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Return what there may be."""
        return _families()


def _families() -> tuple[GaugeMetricFamily, GaugeMetricFamily]:
    return (
        GaugeMetricFamily(
            "cash_database_connections", "Connections of this process's pools.", labels=["database", "state"]
        ),
        GaugeMetricFamily("cash_database_connections_max", "Connections that its pools may have.", labels=["database"]),
    )


POOLS = PoolMetrics()
REGISTRY.register(POOLS)
