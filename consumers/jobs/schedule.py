"""Celery beat, which asks for the jobs when they are due: ``python -m consumers.jobs.schedule``.

The schedule and a lock live in Redis (celery-redbeat): a second beat waits until the first one is gone.
"""

import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from prometheus_client import Gauge
from redbeat import RedBeatScheduler
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import LockError, LockNotOwnedError, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from consumers.jobs.app import app, keep_own_logs
from infra.settings import HttpSettings, RedisSettings, read
from infra.telemetry.logs import get_logger
from infra.telemetry.server import serve_in_thread
from infra.telemetry.spans import begin_asking, start_traces

log = get_logger(__name__)

LAST_TICK = Gauge("cash_beat_last_tick_timestamp_seconds", "When beat last ticked, in seconds since 1970; 0: not yet.")
SILENCE_MAX_S = 10.0
"""Beat ticks every two seconds at least."""
_RETRY_S = 1.0


class Ticks:
    """When beat last ticked."""

    def __init__(self) -> None:
        """Begin without one."""
        self._last_at: float | None = None

    def tick(self) -> None:
        """Note a tick."""
        if self._last_at is None:
            log.info("process ready")
        self._last_at = time.monotonic()
        LAST_TICK.set_to_current_time()

    def problems(self) -> list[str]:
        """Return what keeps beat from being ready."""
        if self._last_at is None:
            return ["starting: it waits for Redis, or for another beat's lock to end"]
        silence_s = time.monotonic() - self._last_at
        return [f"no tick for {silence_s:.0f} s: does Redis answer?"] if silence_s > SILENCE_MAX_S else []


ticks = Ticks()


class Scheduler(RedBeatScheduler):  # type: ignore[misc]  # redbeat has no types
    """RedBeat's scheduler, which says when it ticked and outlives a Redis that is away for a while."""

    def apply_async(self, entry: Any, *arguments: Any, **options: Any) -> Any:
        """Ask for one job."""
        with begin_asking(entry.task):
            return super().apply_async(entry, *arguments, **options)

    def tick(self, min: Callable[..., Any] = min, **kwargs: Any) -> float:
        """Ask for what is due and return how long to sleep.

        Raises:
            LockError: another beat has the lock, so this one has to end.
        """
        try:
            interval: float = super().tick(min, **kwargs)
        except LockNotOwnedError:
            # It ran out while Redis was away. Where nobody took it, it is ours again.
            if not self.lock.acquire(blocking=False):
                raise
            log.warning("lock taken again")
            return 0.0
        except (RedisConnectionError, RedisTimeoutError) as error:
            log.warning("tick put off", cause=repr(error))
            return _RETRY_S
        ticks.tick()
        return interval


def main() -> int:
    """Run beat until SIGTERM, which gives up the lock."""
    keep_own_logs("celery-beat")
    start_traces("celery-beat")
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_number, _leave)
    stop_serving = serve_in_thread(read(HttpSettings), ticks.problems)
    log.info("process starts")
    status = 0
    try:
        _wait_for_redis(read(RedisSettings))
        app.Beat(scheduler_cls=Scheduler, quiet=True).run()  # type: ignore[arg-type]  # the stub knows names only
    except (LockError, RedisError) as error:
        log.error("process ends", reason=repr(error))
        status = 1
    finally:
        stop_serving()
        log.info("process stopped", status=status)
    return status


def _wait_for_redis(settings: RedisSettings) -> None:
    """Wait until Redis answers: beat reads its schedule there before anything else, and would end if it could not."""
    redis = Redis.from_url(settings.url(), socket_timeout=2, socket_connect_timeout=2)
    while True:
        try:
            redis.ping()
        except (RedisConnectionError, RedisTimeoutError) as error:
            log.info("waiting", operation="connect to Redis", cause=repr(error))
            time.sleep(_RETRY_S)
        else:
            redis.close()
            return


def _leave(*_: object) -> None:
    raise SystemExit(0)


if __name__ == "__main__":
    sys.exit(main())
