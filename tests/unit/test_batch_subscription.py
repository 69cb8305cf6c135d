"""What a batch subscription does with a message of FastStream's, before and after its records are handled."""

from types import SimpleNamespace
from typing import Any

import pytest
from faststream.exceptions import NackMessage

from infra.errors import Unavailable
from infra.kafka import broker
from infra.kafka.broker import BatchSubscription, create_broker
from infra.settings import KafkaSettings


def a_subscription(*errors: Exception) -> BatchSubscription:
    async def handle(_: Any) -> None:
        for error in errors:
            raise error

    settings = KafkaSettings(bootstrap_servers="127.0.0.1:1", security_protocol="PLAINTEXT")
    return BatchSubscription(create_broker(settings, "tests"), "topic", "group", handle, wait_ms=10)


async def test_records_that_were_taken_are_let_go() -> None:
    message = SimpleNamespace(raw_message=("first", "second", "third"))

    await a_subscription()._on_batch(message)

    assert message.raw_message == ("first",)


@pytest.mark.parametrize("error", [Unavailable("take 3 submissions"), ZeroDivisionError()])
async def test_records_that_must_come_again_stay_in_the_message_which_rewinds_to_them(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker, "DEFECT_WAIT_S", 0)
    message = SimpleNamespace(raw_message=("first", "second", "third"))

    with pytest.raises(NackMessage):
        await a_subscription(error)._on_batch(message)

    assert message.raw_message == ("first", "second", "third")
