"""What a batch subscription does with a message of FastStream's, before and after its records are handled."""

import time
from types import SimpleNamespace
from typing import Any

import pytest
from faststream.exceptions import NackMessage

from infra.errors import Unavailable
from infra.kafka import broker as broker_module
from infra.kafka.broker import BatchSubscription, create_broker
from infra.settings import KafkaSettings


def a_subscription(*errors: Exception) -> BatchSubscription:
    async def handle(_: Any) -> None:
        for error in errors:
            raise error

    settings = KafkaSettings(bootstrap_servers="127.0.0.1:1", security_protocol="PLAINTEXT")
    broker = create_broker(settings, "tests")
    return BatchSubscription(broker, "topic", "group", handle, settings=settings, wait_ms=10)


def a_record(age_s: float) -> Any:
    return SimpleNamespace(timestamp=(time.time() - age_s) * 1000)


FIRST, SECOND, THIRD = a_record(20), a_record(60), a_record(5)


async def test_records_that_were_taken_are_let_go() -> None:
    message = SimpleNamespace(raw_message=(FIRST, SECOND, THIRD))

    await a_subscription()._on_batch(message)

    assert message.raw_message == (FIRST,)


@pytest.mark.parametrize("error", [Unavailable("take 3 submissions"), ZeroDivisionError()])
async def test_records_that_must_come_again_stay_in_the_message_which_rewinds_to_them(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker_module, "DEFECT_WAIT_S", 0)
    message = SimpleNamespace(raw_message=(FIRST, SECOND, THIRD))

    with pytest.raises(NackMessage):
        await a_subscription(error)._on_batch(message)

    assert message.raw_message == (FIRST, SECOND, THIRD)


async def test_the_lag_in_seconds_is_the_age_of_the_oldest_record_until_it_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(broker_module, "DEFECT_WAIT_S", 0)
    subscription = a_subscription(ZeroDivisionError())
    assert subscription.lag_s() == 0
    with pytest.raises(NackMessage):
        await subscription._on_batch(SimpleNamespace(raw_message=(a_record(20), a_record(60), a_record(5))))
    assert 60 <= subscription.lag_s() < 62

    taking = a_subscription()
    await taking._on_batch(SimpleNamespace(raw_message=(a_record(60),)))
    assert taking.lag_s() == 0
