"""How every Kafka client of ours connects: the same addresses, SASL and TLS."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aiokafka.errors import KafkaError

from infra.errors import Refused, Unavailable
from infra.kafka.lost_connections import outlive_lost_connections
from infra.kafka.refusals import refusal_of, tell_why_not_connected
from infra.settings import KafkaSettings


def connection_arguments(settings: KafkaSettings, client_id: str) -> dict[str, Any]:
    """Return the connection arguments of an aiokafka producer, consumer or admin client."""
    outlive_lost_connections()
    tell_why_not_connected()
    arguments: dict[str, Any] = {
        "bootstrap_servers": settings.bootstrap_servers,
        "client_id": client_id,
        "security_protocol": settings.security_protocol,
        "ssl_context": settings.ssl_context(),
    }
    if settings.sasl_username and settings.sasl_password:
        arguments |= {
            "sasl_mechanism": settings.sasl_mechanism,
            "sasl_plain_username": settings.sasl_username,
            "sasl_plain_password": settings.sasl_password.get_secret_value(),
        }
    return arguments


def administrator_arguments(settings: KafkaSettings, client_id: str) -> dict[str, str]:
    """Return the connection arguments of a client made by librdkafka, which administers users and rules."""
    arguments = {
        "bootstrap.servers": settings.bootstrap_servers,
        "client.id": client_id,
        "security.protocol": settings.security_protocol,
    }
    if settings.ssl_cafile and settings.security_protocol.endswith("SSL"):
        arguments["ssl.ca.location"] = str(settings.ssl_cafile)
    if settings.sasl_username and settings.sasl_password:
        arguments |= {
            "sasl.mechanism": settings.sasl_mechanism,
            "sasl.username": settings.sasl_username,
            "sasl.password": settings.sasl_password.get_secret_value(),
        }
    return arguments


@contextmanager
def unavailable(operation: str, settings: KafkaSettings | None = None, doing: str = "use") -> Iterator[None]:
    """Turn what Kafka's clients raise when it is down, or refuses, into :class:`Unavailable`, keeping the cause.

    A refusal is :class:`Refused`, and with ``settings`` says whose it is; ``doing`` as in ``refusal_of``.
    """
    try:
        yield
    except (KafkaError, TimeoutError, OSError) as error:
        if refusal := refusal_of(error, settings, doing):
            raise Refused(refusal) from error
        raise Unavailable(f"{operation}: {str(error) or type(error).__name__}") from error
