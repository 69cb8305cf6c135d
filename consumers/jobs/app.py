"""The Celery app: tasks travel through Redis as JSON, and a killed worker's task is run again within 15 seconds."""

import logging
from typing import Any

from celery import Celery
from celery.signals import before_task_publish, setup_logging

from infra.redis.jobs import BEAT_PREFIX, SOCKET_OPTIONS, broker_settings
from infra.settings import RedisSettings, read
from infra.telemetry.logs import configure_logs
from infra.telemetry.traces import current_traceparent

#: A task that was not acknowledged for this long is given to another worker. No task may run longer.
VISIBILITY_TIMEOUT_S = 10
#: How long a task may begin new work; what it has begun fits into the rest of the time.
TASK_BUDGET_S = 3.0
#: A task that waited this long in the queue is dropped: beat sent others since. Long enough for a killed worker's task.
TASK_EXPIRY_S = 60
#: Tasks run in threads of one process. They wait for SMTP and PostgreSQL, and metrics and health live beside them.
THREADS = 4

MAIL_EVERY_S = 5.0
EXPIRE_EVERY_S = 30.0
TIDY_EVERY_S = 60.0
CHECK_EVERY_S = 60.0


def settings() -> dict[str, Any]:
    """Return Celery's configuration; read when first needed, so that importing a task needs no Redis."""
    redis = read(RedisSettings)
    return {
        **broker_settings(redis),
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        # kombu looks for unacknowledged tasks every interval × throttle seconds; its defaults make that 100.
        "broker_transport_options": {
            **SOCKET_OPTIONS,
            "visibility_timeout": VISIBILITY_TIMEOUT_S,
            "unacked_restore_interval": 2,
            "unacked_restore_throttle": 1,
        },
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        # Without results there is nothing to be cleaned up, which beat would ask for otherwise.
        "result_expires": None,
        "worker_prefetch_multiplier": 1,
        "worker_concurrency": THREADS,
        "worker_pool": "threads",
        # A thread cannot be cancelled; what was under way when Redis went away finishes, and may run twice.
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_enable_remote_control": False,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "enable_utc": True,
        "timezone": "UTC",
        "beat_schedule": {
            "send due mail": _every(MAIL_EVERY_S, "send_due_mail"),
            "expire": _every(EXPIRE_EVERY_S, "expire"),
            "tidy": _every(TIDY_EVERY_S, "tidy"),
            "check books": _every(CHECK_EVERY_S, "check_books"),
        },
        "beat_max_loop_interval": 2,
        "redbeat_redis_url": redis.url(),
        "redbeat_redis_options": dict(SOCKET_OPTIONS),
        "redbeat_key_prefix": BEAT_PREFIX,
        # A second beat waits for the first one's lock; after a kill -9 it is free again this soon.
        "redbeat_lock_timeout": 10,
    }


def keep_own_logs(process: str) -> None:
    """Log as every process does; Celery leaves logs alone that somebody else has set up."""
    configure_logs(process)
    setup_logging.connect(_leave_alone)
    for part in ("beat", "apps.worker", "worker.strategy", "app.trace", "worker.consumer.connection"):
        logging.getLogger(f"celery.{part}").setLevel(logging.WARNING)


@before_task_publish.connect
def _carry_trace(headers: dict[str, Any] | None = None, **_: object) -> None:
    """Put the trace of whoever asks for a job into the message that asks for it."""
    if headers is not None and (traceparent := current_traceparent()):
        headers["traceparent"] = traceparent


def _leave_alone(**_: object) -> None:
    """Receive Celery's signal ``setup_logging``, and do nothing."""


def _every(seconds: float, task: str) -> dict[str, Any]:
    return {"task": task, "schedule": seconds, "options": {"expires": TASK_EXPIRY_S}}


app = Celery("cash-flow")
app.add_defaults(settings)
