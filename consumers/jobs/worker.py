"""The Celery worker, which runs the jobs: ``python -m consumers.jobs.worker``."""

import sys
import warnings

from celery.exceptions import CPendingDeprecationWarning, SecurityWarning
from celery.signals import worker_ready
from redis import Redis
from redis.exceptions import RedisError

import consumers.jobs.checks  # noqa: F401 - so that the worker knows its task
from consumers.jobs.app import app, keep_own_logs
from consumers.jobs.expiry import databases
from consumers.jobs.mail import outgoing
from consumers.jobs.running import LAST_SUCCESS, pulse
from infra.mail.letters import AddressRefused
from infra.settings import HttpSettings, RedisSettings, read
from infra.telemetry.logs import get_logger
from infra.telemetry.server import serve_in_thread
from infra.telemetry.spans import start_traces

log = get_logger(__name__)

SILENCE_MAX_S = 30.0
"""Beat asks for something every five seconds; a worker that ended nothing for this long has stopped consuming, though
its process lives and its connections look well (Celery issues 8030, 8091, 10205)."""


class Health:
    """What keeps the worker from being ready."""

    def __init__(self, settings: RedisSettings) -> None:
        """Begin as starting."""
        self._redis = Redis.from_url(settings.url(), socket_timeout=1, socket_connect_timeout=1)
        self._consuming = False

    def begin(self, **_: object) -> None:
        """Note that the worker consumes (Celery's signal ``worker_ready``)."""
        self._consuming = True
        log.info("process ready")

    def problems(self) -> list[str]:
        """Return what is wrong; called in the threads of the health server."""
        try:
            self._redis.ping()
        except RedisError as error:
            return [f"Redis: {type(error).__name__}"]
        return pulse.problems(SILENCE_MAX_S) if self._consuming else ["starting"]


def main() -> int:
    """Run the worker until SIGTERM, after which the jobs under way are finished."""
    keep_own_logs("celery-worker")
    start_traces("celery-worker")
    # It warns of root because of pickled tasks; ours are JSON, and a local stack may run as root.
    warnings.simplefilter("ignore", SecurityWarning)
    try:
        outgoing()
    except AddressRefused as error:
        print(f"Setting CASH_SMTP_SENDER: {error}", file=sys.stderr)
        return 78
    databases()
    # A job that has not been done since then may well be late.
    for entry in app.conf.beat_schedule.values():
        LAST_SUCCESS.labels(entry["task"]).set_to_current_time()
    health = Health(read(RedisSettings))
    worker_ready.connect(health.begin)
    stop_serving = serve_in_thread(read(HttpSettings), health.problems)
    log.info("process starts")
    worker = app.Worker(
        quiet=True, optimization="fair", without_gossip=True, without_mingle=True, without_heartbeat=True
    )
    # It recommends to cancel what runs when Redis goes away, which threads cannot do (see app.py). Here, because the
    # constructor has just asked for every such warning.
    warnings.simplefilter("ignore", CPendingDeprecationWarning)
    try:
        worker.start()
    finally:
        stop_serving()
        log.info("process stopped", status=worker.exitcode)
    return int(worker.exitcode or 0)


if __name__ == "__main__":
    sys.exit(main())
