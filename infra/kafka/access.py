"""Who may do what in Kafka: what the processes do, and nobody anything else.

The topics say who writes and who reads them (``contracts/topics.py``). What somebody has to do besides stands here,
each with its reason. ``docs/kafka-access.md`` shows the whole table. The broker adds two things of its own: who may
read or write may look (Describe), and who may write any topic may do so idempotently.
"""

from collections.abc import Collection
from enum import StrEnum
from typing import NamedTuple

from contracts.topics import IDENTITY_SUBMISSIONS, LEDGER_BULK, LEDGER_SUBMISSIONS, TOPICS


class Kind(StrEnum):
    """What a rule is about. There is none about the cluster, nor about transactional ids: nobody needs one."""

    TOPIC = "topic"
    GROUP = "group"


class Operation(StrEnum):
    """What may be done with it, in Kafka's words."""

    READ = "Read"
    WRITE = "Write"
    DESCRIBE = "Describe"
    DESCRIBE_CONFIGS = "DescribeConfigs"


class Rule(NamedTuple):
    """A user of Kafka may do this with that. What no rule allows is denied."""

    user: str
    kind: Kind
    name: str
    operation: Operation

    def __str__(self) -> str:
        return f"{self.user} may {self.operation} {self.kind} {self.name}"


def _of_the_topics() -> set[Rule]:
    """Return what the topics say: who writes and reads each, and in which group."""
    rules = set()
    for topic in TOPICS:
        rules |= {Rule(user, Kind.TOPIC, topic.name, Operation.WRITE) for user in topic.written_by}
        rules |= {Rule(user, Kind.TOPIC, topic.name, Operation.READ) for user in topic.read_by}
        if topic.group:
            rules |= {Rule(user, Kind.GROUP, topic.group, Operation.READ) for user in topic.read_by}
    return rules


def _of_the_operator() -> set[Rule]:
    return {
        # `cash doctor` compares the settings of topics with ours.
        *(Rule("operator", Kind.TOPIC, topic.name, Operation.DESCRIBE_CONFIGS) for topic in TOPICS),
        # `cash queues` shows how far each group is, and `cash dead-letters replay` waits for it.
        Rule("operator", Kind.GROUP, IDENTITY_SUBMISSIONS.group, Operation.DESCRIBE),
        # `cash ledger rebuild` also sets where these groups go on: for Kafka that is a commit, as readers make it.
        *(Rule("operator", Kind.GROUP, topic.group, Operation.READ) for topic in (LEDGER_SUBMISSIONS, LEDGER_BULK)),
        *(Rule("operator", Kind.TOPIC, topic.name, Operation.READ) for topic in (LEDGER_SUBMISSIONS, LEDGER_BULK)),
    }


def _of_the_simulator() -> set[Rule]:
    # It sees by the group's offsets what was taken of what it has sent.
    return {
        Rule("simulator", Kind.GROUP, topic.group, Operation.DESCRIBE) for topic in (LEDGER_SUBMISSIONS, LEDGER_BULK)
    }


RULES: frozenset[Rule] = frozenset(_of_the_topics() | _of_the_operator() | _of_the_simulator())

USERS: tuple[str, ...] = tuple(sorted({rule.user for rule in RULES}))
"""Everybody who has a rule. ``broker``, ``controller`` and ``administrator`` have none: they may do everything."""


def rules_for(users: Collection[str]) -> frozenset[Rule]:
    """Return the rules of those users who exist in a cluster."""
    return frozenset(rule for rule in RULES if rule.user in users)
