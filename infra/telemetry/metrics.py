"""The metrics that every process has, whatever it does."""

from prometheus_client import Gauge, Info

from infra.version import own_version

READY = Gauge("cash_process_ready", "1 while the process is ready; a gateway's is as it was when somebody last asked.")
BUILD = Info("cash_build", "The version that runs here.")
BUILD.info({"version": own_version()})
