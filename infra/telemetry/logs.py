"""Structured logs on standard output, with process and trace id, by structlog: a JSON object a line, or words."""

import logging
import sys
import time

import structlog
from structlog.typing import EventDict, WrappedLogger

from infra.settings import LogSettings, read
from infra.telemetry.traces import current_trace_id
from infra.telemetry.words import as_text

AGAIN_AFTER_S = 10.0
_CHATTY = "aiokafka"
_SENTENCES_MAX = 1000


class OnceInAWhile(logging.Filter):
    """Passes each sentence of aiokafka once in ten seconds: while a broker is away it says the same hundred times."""

    def __init__(self) -> None:
        """Begin with nothing said."""
        super().__init__()
        self._said_at: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to pass a record; what is not aiokafka's always passes."""
        if not record.name.startswith(_CHATTY):
            return True
        sentence, now = (record.name, str(record.msg)), time.monotonic()
        if now - self._said_at.get(sentence, -AGAIN_AFTER_S) < AGAIN_AFTER_S:
            return False
        if len(self._said_at) >= _SENTENCES_MAX:
            self._said_at.clear()
        self._said_at[sentence] = now
        return True


def configure_logs(process: str) -> None:
    """Send our logs and those of the libraries through one formatter, ``CASH_LOG_FORMAT``'s."""
    settings = read(LogSettings)
    level = settings.level

    def add_context(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        event["process"] = process
        if trace_id := current_trace_id():
            event.setdefault("trace_id", trace_id)
        return event

    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        add_context,
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.addFilter(OnceInAWhile())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(ensure_ascii=False) if settings.format == "json" else _as_text,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for noisy in ("aiokafka", "uvicorn.access", "uvicorn.error", "kombu", "amqp"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def _as_text(_: WrappedLogger, __: str, event: EventDict) -> str:
    return as_text(event)


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """Return the logger of a module; events are short sentences, data goes in keywords."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger
