"""The gateway as one application: what it is made of, and how that starts and stops."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from uuid import UUID, uuid4

from litestar import Litestar
from litestar.types import ASGIApp

from contracts import topics
from gateway.auth import Doorman
from gateway.draining import Draining
from gateway.ended_sessions import EndedSessions
from gateway.events import LedgerEvents
from gateway.observing import Observed
from gateway.openapi import document_as_json
from gateway.outcomes import Outcomes
from gateway.passwords import Passwords
from gateway.publishing import Answers, Publisher
from gateway.queries.operations import find_identity_operations, find_ledger_operations
from gateway.readiness import Readiness
from gateway.routing import build
from gateway.services import Services
from gateway.settings import GatewayHttpSettings, GatewaySettings, LimitSettings
from gateway.tokens import Tokens, VerifiedTokens
from infra.errors import Unavailable
from infra.kafka.journal import Journal
from infra.kafka.producer import Producer
from infra.postgres.engine import Database
from infra.redis.limits import Limits
from infra.redis.wakeups import Wakeups
from infra.settings import KafkaSettings, LedgerDatabaseSettings, RedisSettings, UsersDatabaseSettings, read
from infra.telemetry.logs import get_logger

log = get_logger(__name__)

PROCESS = "gateway"
#: A database that does not answer a query for this long is down; people wait for it.
ANSWER_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class AllSettings:
    """Everything the gateway is told."""

    gateway: GatewaySettings
    http: GatewayHttpSettings
    limits: LimitSettings
    kafka: KafkaSettings
    users_database: UsersDatabaseSettings
    ledger_database: LedgerDatabaseSettings
    redis: RedisSettings

    @classmethod
    def read(cls) -> "AllSettings":
        """Read them from the environment, or end the process naming the one that is missing or wrong."""
        return cls(
            read(GatewaySettings),
            read(GatewayHttpSettings),
            read(LimitSettings),
            read(KafkaSettings),
            read(UsersDatabaseSettings),
            read(LedgerDatabaseSettings),
            read(RedisSettings),
        )


def create_app(settings: AllSettings, draining: Draining) -> ASGIApp:
    """Make the application; it connects when its lifespan begins, and keeps trying where something is not up yet."""
    instance_id = uuid4()
    users = Database(settings.users_database, application=PROCESS, answer_timeout_s=ANSWER_TIMEOUT_S)
    ledger = Database(settings.ledger_database, application=PROCESS, answer_timeout_s=ANSWER_TIMEOUT_S)
    producer = Producer(settings.kafka, client_id=PROCESS)
    wakeups = Wakeups(settings.redis)
    limits = Limits(settings.redis, **settings.limits.model_dump())
    passwords = Passwords()
    tokens = Tokens(settings.gateway)
    ended = EndedSessions(users)
    journal = Journal(settings.kafka, topics.LEDGER_JOURNAL, client_id=PROCESS)
    events = LedgerEvents(journal, ledger, ended)
    draining.when_begun(events.stop)
    identity_outcomes = Outcomes(partial(find_identity_operations, users))
    ledger_outcomes = Outcomes(partial(find_ledger_operations, ledger))
    answers = {
        topics.IDENTITY_SUBMISSIONS.name: Answers(users, identity_outcomes),
        topics.LEDGER_SUBMISSIONS.name: Answers(ledger, ledger_outcomes),
    }
    listening = asyncio.Event()

    async def hear_wakeups() -> None:
        """Raise ``Unavailable`` while nothing wakes us; waiting works without, only slower."""
        if not listening.is_set():
            raise Unavailable("listen for wake-ups")

    readiness = Readiness(
        {
            "Kafka": producer.ping,
            "the users database": users.ping,
            "the ledger database": ledger.ping,
        },
        # Without Redis nobody new gets in (limits fail closed); whoever is signed in records and reads on.
        {"Redis": limits.ping, "the channel of wake-ups": hear_wakeups},
        ended,
        draining,
    )

    def wake(operation_id: UUID) -> None:
        ledger_outcomes.wake(operation_id)
        identity_outcomes.wake(operation_id)

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        await users.start()
        await ledger.start()
        tasks = [
            asyncio.create_task(ended.watch(), name="ended sessions"),
            asyncio.create_task(wakeups.listen(instance_id, wake, ready=listening), name="wake-ups"),
            asyncio.create_task(_connect(producer), name="producer"),
            asyncio.create_task(journal.run(), name="journal"),
            asyncio.create_task(events.watch(), name="events"),
        ]
        for task in tasks:
            task.add_done_callback(_end_when_it_failed)
        log.info("gateway started", instance_id=str(instance_id))
        try:
            yield
        finally:
            events.stop()
            await end(tasks)
            await producer.stop()
            await asyncio.gather(users.stop(), ledger.stop(), wakeups.close(), limits.close())
            passwords.close()
            log.info("gateway stopped")

    services = Services(
        settings=settings.gateway,
        doorman=Doorman(VerifiedTokens(tokens), ended),
        publisher=Publisher(producer, answers, ended, instance_id),
        users=users,
        ledger=ledger,
        identity_outcomes=identity_outcomes,
        ledger_outcomes=ledger_outcomes,
        limits=limits,
        events=events,
        passwords=passwords,
        tokens=tokens,
        readiness=readiness,
        openapi=document_as_json,
    )
    app = build(
        lambda: services,
        lifespan=[lifespan],
        openapi_config=None,
        request_max_body_size=settings.http.body_bytes_max,
    )
    return Observed(app, draining, log_every=settings.http.access_log_every)


def _end_when_it_failed(task: asyncio.Task[None]) -> None:
    """End the process in order when what should live as long as it has failed: started again it is whole."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.critical("process ends", task=task.get_name(), exc_info=error)
        signal.raise_signal(signal.SIGTERM)


async def end(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel tasks until they have ended: redis-py swallows a cancellation that comes while it connects."""
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=0.5)


async def _connect(producer: Producer) -> None:
    """Connect to Kafka before the first request needs it, however long that takes."""
    while True:
        with contextlib.suppress(Unavailable):
            await producer.start()
            return
        await asyncio.sleep(0.5)
