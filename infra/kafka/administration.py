"""Administering a cluster through librdkafka, which can what aiokafka cannot: users and rules."""

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, TypeVar

from infra.errors import Refused, Unavailable
from infra.kafka.connection import administrator_arguments
from infra.settings import KafkaSettings

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

T = TypeVar("T")

ANSWER_TIMEOUT_S = 30.0
_ASK_EVERY_S = 0.02


def administrator(settings: KafkaSettings) -> "AdminClient":
    """Return a client for administration, signed in as a user who may change users and rules.

    That is asked first, because librdkafka 2.16 does not outlive every answer that says no: it freed some memory of an
    answer about users twice, and ended the process.

    Raises:
        Unavailable: Kafka does not answer.
        Refused: this user may not.
    """
    # Imported here: only the step that prepares a cluster needs it, and the image's other processes do not load it.
    from confluent_kafka.admin import AclOperation, AdminClient

    # What it would say by itself on stderr it also answers, or gets over.
    silent = logging.getLogger("librdkafka")
    silent.setLevel(logging.CRITICAL + 1)
    admin = AdminClient(administrator_arguments(settings, "bootstrap"), logger=silent)
    cluster = answer_of(admin.describe_cluster(include_authorized_operations=True), "look at the cluster")
    if not {AclOperation.ALTER, AclOperation.DESCRIBE} <= set(cluster.authorized_operations or ()):
        raise Refused(
            f"Kafka refuses: the user {settings.sasl_username} may not change users and rules; sign in as one of its"
            " super users, such as administrator"
        )
    return admin


def answer_of(answer: "Future[T]", operation: str) -> T:
    """Wait for an answer and return it.

    Raises:
        Unavailable: Kafka does not answer; the text names the operation.
        Refused: only an administrator may do that.
    """
    from confluent_kafka import KafkaError, KafkaException

    try:
        return answer.result(ANSWER_TIMEOUT_S)
    except KafkaException as error:
        reason: KafkaError = error.args[0]
        if reason.code() == KafkaError.CLUSTER_AUTHORIZATION_FAILED:
            raise Refused(f"Kafka refuses to {operation}: sign in as one of the super users it names") from error
        raise Unavailable(f"{operation}: {reason.str()}") from error
    except TimeoutError as error:
        raise Unavailable(f"{operation}: no answer for {ANSWER_TIMEOUT_S:.0f} s") from error


def until(condition: Callable[[], bool], operation: str) -> None:
    """Wait until what the controller has written has come to the broker that answers us.

    Raises:
        Unavailable: it has not in time.
    """
    deadline = time.monotonic() + ANSWER_TIMEOUT_S
    while not condition():
        if time.monotonic() > deadline:
            raise Unavailable(f"{operation}: they are not there after {ANSWER_TIMEOUT_S:.0f} s")
        time.sleep(_ASK_EVERY_S)
