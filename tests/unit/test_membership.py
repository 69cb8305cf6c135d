"""What a consumer says of its place in its group: a spare is well, a rebalance is short, a batch is handed over."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import IllegalStateError, KafkaConnectionError
from prometheus_client import REGISTRY

from infra.kafka import membership as module
from infra.kafka.broker import BatchSubscription, create_broker
from infra.kafka.membership import Membership
from infra.settings import KafkaSettings

SOME = {TopicPartition("topic", 0), TopicPartition("topic", 1)}


class Consumer:
    """What is asked of aiokafka's consumer."""

    def __init__(
        self, assigned: set[TopicPartition], error: Exception | None = None, *, has_topic: bool = True
    ) -> None:
        self._assigned, self._error, self._has_topic = assigned, error, has_topic

    def assignment(self) -> frozenset[TopicPartition]:
        return frozenset(self._assigned)

    async def topics(self) -> set[str]:
        return {"topic"} if self._has_topic else set()

    async def end_offsets(self, partitions: Any) -> dict[TopicPartition, int]:
        if self._error:
            raise self._error
        return dict.fromkeys(partitions, 7)

    async def position(self, _: TopicPartition) -> int:
        return 4


def a_subscription(consumer: Consumer) -> tuple[BatchSubscription, Membership]:
    async def handle(_: Any) -> None: ...

    settings = KafkaSettings(bootstrap_servers="127.0.0.1:1", security_protocol="PLAINTEXT")
    subscription = BatchSubscription(
        create_broker(settings, "tests"), "topic", "group", handle, settings=settings, wait_ms=10
    )
    subscription._subscriber.consumer = consumer
    return subscription, subscription._membership


def metric(name: str) -> float | None:
    return REGISTRY.get_sample_value(name, {"topic": "topic", "group": "group"})


async def test_a_member_is_ready_with_partitions_and_without_but_not_before_it_is_one() -> None:
    subscription, membership = a_subscription(Consumer(SOME))
    assert await subscription.problems() == ["topic: not a member of its group yet"]
    await membership.on_partitions_revoked(set())
    assert await subscription.problems() == ["topic: not a member of its group yet"]
    await membership.on_partitions_assigned(SOME)
    assert await subscription.problems() == []
    assert (metric("cash_consumer_partitions"), metric("cash_consumer_lag_records")) == (2, 6)

    spare, membership = a_subscription(Consumer(set()))
    await membership.on_partitions_assigned(set())
    assert await spare.problems() == []
    assert (metric("cash_consumer_partitions"), metric("cash_consumer_lag_records")) == (0, 0)


async def test_a_member_without_partitions_is_not_ready_where_there_is_no_topic() -> None:
    subscription, membership = a_subscription(Consumer(set(), has_topic=False))
    await membership.on_partitions_assigned(set())

    assert await subscription.problems() == ["topic: Kafka has no such topic, or shows us none"]


async def test_a_rebalance_is_no_problem_unless_it_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    subscription, membership = a_subscription(Consumer(SOME, IllegalStateError("not assigned any more")))
    await membership.on_partitions_assigned(SOME)
    assert await subscription.problems() == []
    await membership.on_partitions_revoked(SOME)
    assert await subscription.problems() == []

    monkeypatch.setattr(module, "REBALANCE_S_MAX", -1.0)
    assert await subscription.problems() == ["topic: its group has not agreed who has which partition for 0 s"]


async def test_a_broker_that_does_not_answer_is_one() -> None:
    subscription, membership = a_subscription(Consumer(SOME, KafkaConnectionError("gone")))
    await membership.on_partitions_assigned(SOME)

    assert await subscription.problems() == ["topic: Kafka does not answer (KafkaConnectionError)"]


async def test_partitions_are_given_up_when_the_batch_under_way_is_done() -> None:
    _, membership = a_subscription(Consumer(SOME))
    membership.begin_batch()
    giving_up = asyncio.create_task(membership.on_partitions_revoked(SOME))
    await asyncio.sleep(0.02)
    assert not giving_up.done()

    membership.end_batch()

    await asyncio.wait_for(giving_up, 1)


async def test_a_slow_batch_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HANDOVER_WITHIN_S", 0.02)
    _, membership = a_subscription(Consumer(SOME))
    membership.begin_batch()

    await asyncio.wait_for(membership.on_partitions_revoked(SOME), 1)


async def test_a_batch_lasts_from_when_it_is_got_until_the_next_is_asked_for() -> None:
    subscription, membership = a_subscription(Consumer(SOME))
    answers = iter([(SimpleNamespace(),), ()])

    async def get(_: Any) -> Any:
        return next(answers)

    subscription._get = get  # type: ignore[assignment]
    await subscription._get_noting_refusals(None)
    assert not membership._between_batches.is_set()
    await subscription._get_noting_refusals(None)
    assert membership._between_batches.is_set()
