"""The identity consumer: registrations, users and sessions: ``python -m consumers.identity``."""

from consumers.consuming import consume, ending
from consumers.dead_letters import DeadLetters
from consumers.deciders import IDENTITY_DECIDERS
from consumers.delivery import Delivery
from consumers.jobs.mail import Nudge
from consumers.process import Process, run
from consumers.repositories.identity import IdentityRepository, IdentityState
from consumers.settings import IdentityKeys
from contracts import topics
from infra.kafka.broker import INTERACTIVE_WAIT_MS, BatchSubscription, create_broker
from infra.kafka.producer import Producer
from infra.postgres.engine import Database
from infra.redis.wakeups import Wakeups
from infra.settings import KafkaSettings, RedisSettings, UsersDatabaseSettings, read

NAME = "identity-consumer"


async def main(process: Process) -> None:
    """Consume ``identity.submissions`` until the process stops."""
    kafka, redis = read(KafkaSettings), read(RedisSettings)
    database = Database(read(UsersDatabaseSettings), application=NAME)
    producer = Producer(kafka, client_id=f"{NAME}-dead-letters")
    wakeups = Wakeups(redis)
    delivery: Delivery[IdentityState] = Delivery(
        topics.IDENTITY_SUBMISSIONS.group,
        database,
        IdentityRepository(read(IdentityKeys)),
        IDENTITY_DECIDERS,
        DeadLetters(producer),
        wakeups,
        after_commit=Nudge().after_commit,
    )
    broker = create_broker(kafka, NAME)
    subscription = BatchSubscription(
        broker,
        topics.IDENTITY_SUBMISSIONS.name,
        topics.IDENTITY_SUBMISSIONS.group,
        ending(process, delivery.deliver),
        settings=kafka,
        wait_ms=INTERACTIVE_WAIT_MS,
    )
    await database.start()
    try:
        await consume(process, broker, [subscription], database)
    finally:
        await producer.stop()
        await wakeups.close()
        await database.stop()


if __name__ == "__main__":
    run(NAME, main)
