"""What alone can be lost, and restored beside what is still there."""

from enum import StrEnum


class Lost(StrEnum):
    """The users database, while Kafka is there; or the journal, while the databases are.

    A ledger database that alone was lost is made from the journal, without a backup: ``cash ledger rebuild``.
    """

    USERS = "users"
    JOURNAL = "journal"
