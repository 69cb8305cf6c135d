"""What Kafka refuses because of who we are: told from a broker that is away, in a sentence that says what to do.

A process tries again all the same: somebody may be about to put the rules right.
"""

import contextvars
import functools
import ssl
from typing import Any

import aiokafka.client
from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnsupportedSaslMechanismError,
)

from infra.settings import KafkaSettings

#: What to do where a rule is missing or a password another one.
REMEDY = "run the step bootstrap-kafka (python -m infra.kafka.bootstrap)"

#: What says by itself why there is no connection.
_TELLING = (SaslAuthenticationFailed, UnsupportedSaslMechanismError, ssl.SSLError)
_cause: contextvars.ContextVar[BaseException | None] = contextvars.ContextVar("cause", default=None)


def refusal_of(error: BaseException, settings: KafkaSettings | None, doing: str = "use") -> str | None:
    """Return what Kafka, or the check of its certificate, refuses, in a sentence; ``None`` for any other error.

    Args:
        error: what a client of ours raised.
        settings: who it signed in as, and where; without, the sentence names neither.
        doing: the verb for what it did with the topic, where the broker names one.
    """
    user = (settings and settings.sasl_username) or "we sign in as"
    server = settings.bootstrap_servers if settings else "the broker"
    match error:
        case TopicAuthorizationFailedError():
            return f"Kafka refuses: the user {user} may not {doing} {_topics_in(error)}; {REMEDY}"
        case GroupAuthorizationFailedError():
            return f"Kafka refuses: the user {user} may not do that with a consumer group ({error}); {REMEDY}"
        case ClusterAuthorizationFailedError():
            return f"Kafka refuses: the user {user} may write no topic, or not change the cluster; {REMEDY}"
        case SaslAuthenticationFailed():
            return f"Kafka refuses the sign-in of the user {user}: it has another password or no such user; {REMEDY}"
        case UnsupportedSaslMechanismError():
            return f"{server} knows no such sign-in: set CASH_KAFKA_SASL_MECHANISM to one that it knows"
        case ssl.SSLCertVerificationError():
            return (
                f"the certificate of {server} is not trusted ({getattr(error, 'verify_message', error)}): set"
                " CASH_KAFKA_SSL_CAFILE to the authority that signed it, and use a name that is in it"
            )
        case ssl.SSLError():
            return (
                f"{server} does not speak TLS ({getattr(error, 'reason', error)}): look at the port, or set"
                " CASH_KAFKA_SECURITY_PROTOCOL to what it speaks"
            )
    return None


def _topics_in(error: BaseException) -> str:
    """Return the topics that an error of aiokafka names: one, one's partition, a set of them, or none."""
    found: set[str] = set()
    for each in error.args:
        found |= {each.topic} if isinstance(each, TopicPartition) else {each} if isinstance(each, str) else set(each)
    return ", ".join(sorted(found)) or "a topic"


@functools.cache
def tell_why_not_connected() -> None:
    """Have every aiokafka client of this process raise what kept it from connecting to the first broker.

    It logs that and raises "Unable to bootstrap" instead, whether a password is wrong, a certificate is not trusted or
    nobody listens.
    """
    aiokafka.client.create_conn = _noting(aiokafka.client.create_conn)
    AIOKafkaClient.bootstrap = _telling(AIOKafkaClient.bootstrap)


def _noting(create: Any) -> Any:
    @functools.wraps(create)
    async def noting(*args: Any, **kwargs: Any) -> Any:
        try:
            return await create(*args, **kwargs)
        except Exception as error:
            _cause.set(error)
            raise

    return noting


def _telling(bootstrap: Any) -> Any:
    @functools.wraps(bootstrap)
    async def telling(client: Any) -> None:
        _cause.set(None)
        try:
            await bootstrap(client)
        except KafkaConnectionError as error:
            cause = _cause.get()
            if isinstance(cause, _TELLING):
                raise cause from error
            if cause is None or isinstance(cause, (ConnectionResetError, KafkaConnectionError)):
                servers = ", ".join(f"{host}:{port}" for host, port, _ in client.hosts)
                raise KafkaConnectionError(
                    f"{servers} closed the connection before it had answered; if it does so again, look whether"
                    f" CASH_KAFKA_SECURITY_PROTOCOL ({client._security_protocol}) is what it speaks there"
                ) from error
            raise error from cause

    return telling
