"""The ledger consumer: what people and imports submit: ``python -m consumers.ledger --topics interactive,bulk``."""

import argparse
from functools import partial

from consumers.consuming import consume, ending
from consumers.dead_letters import DeadLetters
from consumers.deciders import LEDGER_DECIDERS
from consumers.delivery import Delivery
from consumers.domain.books import Books
from consumers.lost_books import refuse_lost_books
from consumers.process import Process, run
from consumers.repositories.books import BooksRepository
from contracts import topics
from infra.grants import GrantSettings, grant_verifier
from infra.kafka.broker import BULK_WAIT_MS, INTERACTIVE_WAIT_MS, BatchSubscription, create_broker
from infra.kafka.producer import Producer
from infra.postgres.engine import Database
from infra.redis.wakeups import Wakeups
from infra.settings import KafkaSettings, LedgerDatabaseSettings, RedisSettings, read

NAME = "ledger-consumer"

#: By the name given with ``--topics``: topic, consumer group, how long an idle consumer may be deaf.
SUBSCRIPTIONS = {
    "interactive": (topics.LEDGER_SUBMISSIONS, topics.LEDGER_SUBMISSIONS.group, INTERACTIVE_WAIT_MS),
    "bulk": (topics.LEDGER_BULK, topics.LEDGER_BULK.group, BULK_WAIT_MS),
}


async def main(process: Process, names: list[str]) -> None:
    """Consume the named topics until the process stops."""
    kafka, redis = read(KafkaSettings), read(RedisSettings)
    database = Database(read(LedgerDatabaseSettings), application=NAME, tells_replacement=True)
    producer = Producer(kafka, client_id=f"{NAME}-dead-letters")
    wakeups = Wakeups(redis)
    read_grant = grant_verifier(read(GrantSettings))
    broker = create_broker(kafka, NAME)
    subscriptions = []
    for name in names:
        topic, group, wait_ms = SUBSCRIPTIONS[name]
        delivery: Delivery[Books] = Delivery(
            group, database, BooksRepository(), LEDGER_DECIDERS, DeadLetters(producer), wakeups, read_grant=read_grant
        )
        subscriptions.append(
            BatchSubscription(
                broker, topic.name, group, ending(process, delivery.deliver), settings=kafka, wait_ms=wait_ms
            )
        )
    await database.start()
    try:
        if await process.until_done(partial(refuse_lost_books, database, kafka), "look for the books"):
            await consume(process, broker, subscriptions, database)
    finally:
        await producer.stop()
        await wakeups.close()
        await database.stop()


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    if unknown := [name for name in names if name not in SUBSCRIPTIONS]:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: choose from {', '.join(SUBSCRIPTIONS)}")
    return names


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--topics", type=_names, default=list(SUBSCRIPTIONS), help="comma-separated (default: both)")
    run(NAME, partial(main, names=parser.parse_args().topics))
