"""Emptying topics: what stands in them is deleted, and offsets go on from where they were."""

import asyncio
from collections.abc import Sequence

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete

from infra.kafka.connection import connection_arguments, unavailable
from infra.kafka.groups import partitions_of
from infra.settings import KafkaSettings

_ANSWER_TIMEOUT_S = 60


async def empty_topics(settings: KafkaSettings, topics: Sequence[str]) -> None:
    """Delete every record that stands in these topics now.

    Raises:
        Unavailable: Kafka does not answer, or refuses.
    """
    places = await partitions_of(settings, topics)
    with unavailable("delete records"):
        async with asyncio.timeout(_ANSWER_TIMEOUT_S):
            consumer = AIOKafkaConsumer(**connection_arguments(settings, "emptying"))
            admin = AIOKafkaAdminClient(**connection_arguments(settings, "emptying"))
            try:
                await consumer.start()
                ends = await consumer.end_offsets(places)
                await admin.start()
                await admin.delete_records({place: RecordsToDelete(before_offset=end) for place, end in ends.items()})
            finally:
                await consumer.stop()
                await admin.close()
