"""Health and metrics over HTTP for a process that answers nothing else: a small WSGI server in a thread of its own.

It runs beside the event loop, so that a loop that hangs is seen: readiness is a report the loop renews, and an old
report is a bad one.
"""

import asyncio
import json
import threading
import time
from collections.abc import Awaitable, Callable, Iterable
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import make_wsgi_app

from infra.settings import HttpSettings
from infra.telemetry.metrics import READY

#: A readiness report older than this is itself the problem.
REPORT_LIFETIME_S = 10.0
WATCH_UNREADY_S = 0.2
WATCH_READY_S = 2.0


class Readiness:
    """What keeps a process from being ready, as last reported; not ready until the first report."""

    def __init__(self) -> None:
        """Begin as starting."""
        self._problems = ["starting"]
        self._reported_at = time.monotonic()
        self._failed: str | None = None

    def report(self, problems: list[str]) -> None:
        """Replace the report; an empty list means ready."""
        self._problems = problems
        self._reported_at = time.monotonic()

    def fail(self, reason: str) -> None:
        """Turn readiness red for good: the process is about to end."""
        self._failed = reason

    def problems(self) -> list[str]:
        """Return what keeps the process from being ready; empty when it is."""
        if self._failed:
            return [self._failed]
        if time.monotonic() - self._reported_at > REPORT_LIFETIME_S:
            return [f"no sign of life for {REPORT_LIFETIME_S:.0f} s", *self._problems]
        return self._problems

    async def watch(self, check: Callable[[], Awaitable[list[str]]]) -> None:
        """Report what ``check`` finds for as long as the task lives: often while there are problems, else seldom."""
        while True:
            problems = await check()
            self.report(problems)
            await asyncio.sleep(WATCH_UNREADY_S if problems else WATCH_READY_S)


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _SilentHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Probes come every few seconds; they are not news."""


def serve_in_thread(settings: HttpSettings, problems: Callable[[], list[str]]) -> Callable[[], None]:
    """Serve ``/health/live``, ``/health/ready`` and ``/metrics`` until the returned function is called.

    ``problems`` says what keeps the process from being ready; it is called in the server's threads.
    """
    metrics = make_wsgi_app()
    READY.set_function(lambda: not problems())

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path == "/metrics":
            result: Iterable[bytes] = metrics(environ, start_response)
            return result
        status, body = _health(path, problems)
        start_response(status, [("Content-Type", "application/json"), ("Cache-Control", "no-store")])
        return [json.dumps(body).encode()]

    server = make_server(settings.host, settings.port, answer, server_class=_Server, handler_class=_SilentHandler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.2}, daemon=True, name="health")
    thread.start()

    def stop() -> None:
        server.shutdown()
        server.server_close()

    return stop


def _health(path: str, problems: Callable[[], list[str]]) -> tuple[str, dict[str, Any]]:
    if path == "/health/live":
        return "200 OK", {"status": "alive"}
    if path == "/health/ready":
        because = problems()
        if because:
            return "503 Service Unavailable", {"status": "not ready", "because": because}
        return "200 OK", {"status": "ready"}
    return "404 Not Found", {"status": "not found", "try": ["/health/live", "/health/ready", "/metrics"]}
