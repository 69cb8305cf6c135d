"""The JVM's ahead-of-time cache for Kafka: with it a start is quick. `start_training.py` makes it."""

import hashlib
import os
from pathlib import Path

from infra.local.downloads import Servers
from infra.local.home import cache_folder
from infra.local.kafka import JVM_OPTIONS

# The first Java that writes such a cache in one run (JEP 514).
JAVA_AT_LEAST = 25


def find_start_cache(servers: Servers) -> Path | None:
    """Return the trained cache for these jars and this Java, or ``None``; a JVM it does not fit would ignore it."""
    file = start_cache_file(servers)
    return file if file.exists() else None


def can_train(servers: Servers) -> bool:
    """Return whether this Java can write such a cache."""
    return servers.java_major >= JAVA_AT_LEAST


def start_cache_file(servers: Servers) -> Path:
    """Return where the cache lies, or will."""
    # A cache fits this version of Java, wherever it lies, these jars in this order, and the JVM's own options.
    options = [option for option in JVM_OPTIONS if option.startswith("-X")]
    parts = [servers.java_version, *(str(jar) for jar in servers.kafka_jars), *options]
    return cache_folder() / f"kafka-start-{hashlib.sha256(os.pathsep.join(parts).encode()).hexdigest()[:12]}.aot"
