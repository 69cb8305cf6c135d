"""How a process of ours begins, tries again, and is stopped while it does."""

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from faststream.kafka import KafkaBroker

from consumers.consuming import STUCK_AFTER_S, Stuck, consume, ending
from consumers.delivery import TooManyDefects
from consumers.process import Process
from infra.errors import Unavailable
from infra.kafka.broker import BatchSubscription
from infra.postgres.engine import Database
from infra.postgres.revisions import SchemaBehind
from infra.settings import KafkaSettings


async def test_a_step_is_tried_until_it_works() -> None:
    tries: list[int] = []

    async def step() -> None:
        tries.append(1)
        if len(tries) < 3:
            raise Unavailable("connect")

    process = Process()

    assert await process.until_done(step, "connect to Kafka")
    assert len(tries) == 3


async def test_a_process_that_is_stopped_does_not_wait_for_a_step_that_hangs() -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def hang() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    process = Process()
    trying = asyncio.create_task(process.until_done(hang, "connect to Kafka"))
    await begun.wait()
    process.stopping.set()

    assert await trying is False
    assert cancelled.is_set()


async def test_a_defect_in_a_step_is_not_tried_again() -> None:
    async def step() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await Process().until_done(step, "connect to Kafka")


async def test_subscriptions_that_started_are_stopped_before_all_are_started_again() -> None:
    did: list[str] = []
    process = Process()

    class Broker:
        async def start(self) -> None:
            did.append("start")
            if did.count("start") == 1:
                raise OSError("the second subscription could not")
            process.stopping.set()

        async def stop(self) -> None:
            did.append("stop")

    await consume(process, cast(KafkaBroker, Broker()), [a_subscription()], a_database())

    assert did == ["start", "stop", "start", "stop"]


async def test_a_consumer_joins_no_group_before_its_database_is_migrated() -> None:
    did: list[str] = []
    process = Process()

    class Broker:
        async def start(self) -> None:
            did.append("join")
            process.stopping.set()

        async def stop(self) -> None:
            did.append("leave")

    async def ping() -> None:
        did.append("ping")
        if did.count("ping") < 3:
            raise SchemaBehind("the ledger database is at revision 0001, this version needs 0002")

    await consume(process, cast(KafkaBroker, Broker()), [a_subscription()], a_database(ping))

    assert did == ["ping", "ping", "ping", "join", "leave"]
    assert process.readiness.problems() == [
        "PostgreSQL: the ledger database is at revision 0001, this version needs 0002"
    ]


def a_subscription() -> BatchSubscription:
    settings = KafkaSettings(bootstrap_servers="127.0.0.1:1", security_protocol="PLAINTEXT")
    return cast(BatchSubscription, SimpleNamespace(settings=settings))


def a_database(ping: Callable[[], Awaitable[None]] | None = None) -> Database:
    async def answer() -> None:
        pass

    return cast(Database, SimpleNamespace(ping=ping or answer))


async def test_too_many_defects_end_the_process_red_and_with_status_1() -> None:
    async def deliver(_: Any) -> None:
        raise TooManyDefects("20 submissions in a row failed")

    process = Process()
    with pytest.raises(SystemExit):
        await ending(process, deliver)([])

    assert process.stopping.is_set()
    assert process.exit_status == 1
    assert process.readiness.problems() == ["20 submissions in a row failed"]


def test_a_subscription_is_stuck_when_kafka_answers_another_one_for_long() -> None:
    stuck, silent = Stuck(), ["Kafka does not answer"]

    # Away from both, however long, is an outage; so is a recovery that takes one a little longer.
    assert stuck.find({"a": silent, "b": silent}, 0) is None
    assert stuck.find({"a": silent, "b": silent}, 1000) is None
    assert stuck.find({"a": silent, "b": []}, 1001) is None
    assert stuck.find({"a": [], "b": []}, 1020) is None
    assert stuck.find({"a": silent, "b": []}, 1021) is None
    assert stuck.find({"a": silent, "b": []}, 1021 + STUCK_AFTER_S + 1) == "a"
    assert Stuck().find({"only": silent}, 0) is None
