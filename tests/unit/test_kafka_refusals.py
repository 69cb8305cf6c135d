"""What Kafka refuses is said in words: to whom, and what to do."""

import ssl
from collections.abc import Iterator
from typing import Any, cast

import httpx
import pytest
from aiokafka import TopicPartition
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
)
from litestar import Litestar, get
from structlog.testing import capture_logs

from gateway.errors import EXCEPTION_HANDLERS
from infra.errors import Refused, Unavailable
from infra.kafka import bootstrap as bootstrap_module
from infra.kafka import broker as broker_module
from infra.kafka.broker import BatchSubscription, create_broker
from infra.kafka.connection import unavailable
from infra.kafka.refusals import refusal_of
from infra.settings import KafkaSettings

RELAY = KafkaSettings.model_validate(
    {"bootstrap_servers": "kafka:9092", "sasl_username": "relay", "sasl_password": "secret"}
)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (TopicAuthorizationFailedError("ledger.journal"), "the user relay may not write ledger.journal; run the step"),
        (TopicAuthorizationFailedError({"b", "a"}), "the user relay may not write a, b; run the step"),
        (TopicAuthorizationFailedError(TopicPartition("a", 7)), "the user relay may not write a; run the step"),
        (TopicAuthorizationFailedError(), "the user relay may not write a topic; run the step"),
        (GroupAuthorizationFailedError("ledger-consumer"), "may not do that with a consumer group"),
        (ClusterAuthorizationFailedError(), "the user relay may write no topic"),
        (SaslAuthenticationFailed("invalid"), "the sign-in of the user relay: it has another password or no such user"),
        (ssl.SSLCertVerificationError("x"), "the certificate of kafka:9092 is not trusted"),
        (ssl.SSLError(1, "WRONG_VERSION_NUMBER"), "kafka:9092 does not speak TLS"),
    ],
)
def test_a_refusal_is_a_sentence_about_who_and_what(error: Exception, said: str) -> None:
    with pytest.raises(Refused) as refused, unavailable("publish", RELAY, "write"):
        raise error

    assert said in str(refused.value)
    assert refused.value.__cause__ is error
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("error", [KafkaConnectionError("gone"), TimeoutError(), ConnectionRefusedError()])
def test_a_broker_that_is_away_refuses_nothing(error: Exception) -> None:
    with pytest.raises(Unavailable) as raised, unavailable("publish", RELAY, "write"):
        raise error

    assert not isinstance(raised.value, Refused)
    assert refusal_of(error, RELAY) is None


async def test_a_consumer_that_is_denied_is_not_ready_and_says_why_until_it_is_let_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers: list[Exception | tuple[()]] = [TopicAuthorizationFailedError("topic"), KafkaConnectionError("gone"), ()]

    async def get(_: object) -> tuple[()]:
        if isinstance(answer := answers.pop(0), Exception):
            raise answer
        return answer

    subscription = BatchSubscription(create_broker(RELAY, "tests"), "topic", "group", _never, settings=RELAY, wait_ms=1)
    subscription._get = get  # type: ignore[assignment]
    with pytest.raises(TopicAuthorizationFailedError):
        await subscription._subscriber.get_msg(None)
    with pytest.raises(KafkaConnectionError):
        await subscription._subscriber.get_msg(None)

    problems = await subscription.problems()
    monkeypatch.setattr(broker_module, "REFUSED_FOR_S", 0.0)
    later = await subscription.problems()

    assert len(problems) == 1
    assert problems[0].startswith("topic: Kafka refuses: the user relay may not read topic; run")
    assert later == ["topic: not subscribed yet"]


async def _never(_: object) -> None:
    raise AssertionError


async def test_whoever_asked_the_gateway_gets_a_503_and_not_the_reason() -> None:
    @get("/", sync_to_thread=False)
    def refused() -> None:
        raise Refused("Kafka refuses: the user gateway may not write ledger.submissions")

    app = Litestar([refused], exception_handlers=EXCEPTION_HANDLERS)
    transport = httpx.ASGITransport(app=cast(Any, app))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as http:
        with capture_logs() as logs:
            answer = await http.get("/")

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert "gateway may" not in answer.text
    assert ["may not write ledger.submissions" in log["operation"] for log in logs] == [True]


def test_the_step_waits_for_a_cluster_that_is_late_and_not_for_one_that_refuses(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers: list[Exception | None] = [Unavailable("examine topics: TimeoutError"), None, Refused("Kafka refuses: you")]

    def bootstrap(*_: object) -> Iterator[str]:
        if answer := answers.pop(0):
            raise answer
        yield "topics: all 8 there"

    monkeypatch.setattr(bootstrap_module, "bootstrap", bootstrap)
    monkeypatch.setattr(bootstrap_module, "AGAIN_S", 0.0)
    monkeypatch.setattr(bootstrap_module, "read", lambda kind: RELAY)

    assert bootstrap_module.main() == 0
    assert bootstrap_module.main() == 1
    said = capsys.readouterr()
    assert said.out == "topics: all 8 there\n"
    assert said.err.splitlines() == [
        "not yet: examine topics: TimeoutError",
        "Kafka at kafka:9092 could not be prepared: Kafka refuses: you",
    ]
