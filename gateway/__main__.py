"""Run the gateway: ``python -m gateway``."""

import signal
import sys

import uvicorn

from gateway.app import PROCESS, AllSettings, create_app
from gateway.draining import Draining, DrainingServer
from gateway.http import KEEP_ALIVE_S, BoundedHttp
from infra.memory import collect_seldom
from infra.settings import HttpSettings, read
from infra.telemetry.logs import configure_logs
from infra.telemetry.spans import start_traces

#: New containers between two looks of the garbage collector: a sixth of the time of an accepted transaction was its.
GC_CONTAINERS = 10_000


def main() -> int:
    """Serve HTTP until SIGTERM, which drains first, or SIGINT; requests under way are finished."""
    configure_logs(PROCESS)
    start_traces(PROCESS)
    address = read(HttpSettings)
    settings = AllSettings.read()
    draining = Draining()
    config = uvicorn.Config(
        create_app(settings, draining),
        host=address.host,
        port=address.port,
        loop="uvloop",
        http=BoundedHttp,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.http.trusted_proxies),
        forwarded_allow_ips=settings.http.trusted_proxies or None,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=settings.http.shutdown_s,
        backlog=2048,
    )
    # Uvicorn handles these itself, and raises them again when it has stopped: a clean stop is then no error.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    collect_seldom(GC_CONTAINERS)
    server = DrainingServer(config, draining, settings.http.drain_s)
    server.run()
    return 0 if server.started else 1


if __name__ == "__main__":
    sys.exit(main())
