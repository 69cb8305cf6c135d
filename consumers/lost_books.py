"""What keeps the ledger consumer from beginning books anew that were only lost.

An empty ledger database beside a journal that is not empty is no fresh start: every ledger would begin at entry 1
again, and the journal would tell two histories. Its books are in the journal: ``cash ledger rebuild``.
"""

from contracts import topics
from infra.errors import Unavailable
from infra.kafka.reading import reading
from infra.postgres.engine import Database
from infra.settings import KafkaSettings

_ANY_LEDGER = "SELECT EXISTS (SELECT FROM ledgers WHERE sequence > 0)"

LOST = (
    "the ledger database is empty and its journal is not: run `cash ledger rebuild --switch-over`,"
    " or where a restore was interrupted, that once more"
)


class BooksLost(Unavailable):
    """The ledger database knows nothing of what the journal tells; it may be rebuilt any moment."""


async def refuse_lost_books(database: Database, kafka: KafkaSettings) -> None:
    """Raise where the books were lost: what was begun on an empty database could not be put together with them.

    Raises:
        BooksLost: the database has no ledger, the journal has.
        Unavailable: PostgreSQL or Kafka does not answer.
    """
    async with database.connection("look for ledgers") as connection:
        if await connection.fetchval(_ANY_LEDGER):
            return
    async with reading(kafka, topics.LEDGER_JOURNAL.name, "ledger-consumer-start") as journal:
        if await journal.ends() != await journal.beginnings():
            raise BooksLost(LOST)
