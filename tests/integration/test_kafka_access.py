"""Who may do what in Kafka, as the broker itself says it: every user × topic or group × operation."""

from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAuthorizationFailedError, for_code
from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient
from pydantic import SecretStr

from contracts import topics
from infra.deployment.secrets import KAFKA_ADMINISTRATOR, KAFKA_USERS
from infra.errors import Refused, Unavailable
from infra.kafka.access import RULES, Kind, Operation
from infra.kafka.administration import administrator
from infra.kafka.connection import administrator_arguments, connection_arguments
from infra.kafka.following import GroupWatch
from infra.kafka.granting import ensure_access
from infra.kafka.groups import set_offsets
from infra.kafka.producer import Producer, Record
from infra.kafka.reading import reading
from infra.local.stack import LocalStack
from infra.settings import KafkaSettings
from tests.builders.settings import settings_from

pytestmark = pytest.mark.stack

TOPICS = [topic.name for topic in topics.TOPICS]
GROUPS = [topic.group for topic in topics.TOPICS if topic.group]
ON_TOPICS = {"READ", "WRITE", "CREATE", "DELETE", "ALTER", "DESCRIBE", "DESCRIBE_CONFIGS", "ALTER_CONFIGS"}
ON_GROUPS = {"READ", "DELETE", "DESCRIBE", "DESCRIBE_CONFIGS", "ALTER_CONFIGS"}


@pytest.fixture
def signed_in(stack: LocalStack) -> Any:
    """Return how a user signs in."""
    return lambda user: settings_from(stack.recipes.kafka(user), KafkaSettings)


def client(settings: KafkaSettings) -> AdminClient:
    return AdminClient(administrator_arguments(settings, "tests"))


def documented(user: str, kind: Kind, name: str) -> set[str]:
    """Return what the table says, and what the broker adds to it."""
    operations = {rule.operation.name for rule in RULES if rule[:3] == (user, kind, name)}
    looks = {Operation.DESCRIBE.name} if operations & {Operation.READ.name, Operation.WRITE.name} else set()
    return operations | looks


def operations_of(answer: Any) -> set[str]:
    """Return what the broker says may be done; what may not even be looked at is a refusal."""
    try:
        return {each.name for each in answer.result(10).authorized_operations}
    except KafkaException as refused:
        assert "AUTHORIZATION_FAILED" in refused.args[0].name()
        return set()


def cells(admin: AdminClient) -> Iterator[tuple[Kind, str, set[str]]]:
    of_topics = admin.describe_topics(TopicCollection(TOPICS), include_authorized_operations=True)
    for name, answer in of_topics.items():
        yield Kind.TOPIC, name, operations_of(answer)
    for name, answer in admin.describe_consumer_groups(GROUPS, include_authorized_operations=True).items():
        yield Kind.GROUP, name, operations_of(answer)


@pytest.mark.parametrize("user", KAFKA_USERS)
def test_a_user_may_do_exactly_what_the_table_says(signed_in: Any, user: str) -> None:
    admin = client(signed_in(user))

    found = {(kind, name): operations for kind, name, operations in cells(admin)}
    cluster = admin.describe_cluster(include_authorized_operations=True).result(10)

    assert set(found) == {*product([Kind.TOPIC], TOPICS), *product([Kind.GROUP], GROUPS)}
    assert found == {(kind, name): documented(user, kind, name) for kind, name in found}
    assert not cluster.authorized_operations


def test_the_administrator_may_do_everything_so_the_question_is_a_real_one(signed_in: Any) -> None:
    for kind, _, operations in cells(administrator(signed_in(KAFKA_ADMINISTRATOR))):
        assert operations >= (ON_TOPICS if kind is Kind.TOPIC else ON_GROUPS)


def test_the_cluster_has_these_rules_and_no_other(signed_in: Any) -> None:
    changed = ensure_access(administrator(signed_in(KAFKA_ADMINISTRATOR)), RULES)

    assert (changed.added, changed.removed, changed.open_to_all) == ([], [], [])


@pytest.mark.parametrize(
    ("user", "topic"),
    [
        ("importer", "ledger.submissions"),
        ("importer", "ledger.journal"),
        ("gateway", "ledger.journal"),
        ("gateway", "ledger.bulk"),
        ("relay", "ledger.submissions"),
        ("ledger-consumer", "ledger.journal"),
        ("identity-consumer", "ledger.submissions.dead-letter"),
        ("simulator", "identity.submissions"),
        ("operator", "ledger.journal"),
    ],
)
async def test_what_must_not_be_written_is_refused_in_words(signed_in: Any, user: str, topic: str) -> None:
    producer = Producer(signed_in(user), client_id="tests")
    try:
        with pytest.raises(Refused, match=f"the user {user} may not write {topic}; run the step bootstrap-kafka"):
            await producer.send(Record(topic, b"key", b"value", []))
        with pytest.raises(Refused, match=f"the user {user} may not write {topic}"):
            await producer.ping()
    finally:
        await producer.stop()


@pytest.mark.parametrize(
    ("user", "topic"),
    [
        ("simulator", "identity.submissions"),
        ("simulator", "ledger.submissions"),
        ("gateway", "ledger.submissions"),
        ("relay", "ledger.journal"),
        ("importer", "ledger.bulk"),
        ("identity-consumer", "ledger.journal"),
    ],
)
async def test_what_must_not_be_read_is_refused_in_words(signed_in: Any, user: str, topic: str) -> None:
    async def read() -> None:
        async with reading(signed_in(user), topic, "tests") as reader:
            # To the end and one record more, so that it has to ask for one even where there is none.
            async for _ in reader.read_to({0: (await reader.ends())[0] + 1}, records_max=1):
                pass

    with pytest.raises(Refused, match=f"may not read {topic}; run the step bootstrap-kafka"):
        await read()


async def test_whose_group_it_is_not_may_not_move_it(signed_in: Any) -> None:
    with pytest.raises(Refused, match="the user simulator may not do that with a consumer group"):
        await set_offsets(signed_in("simulator"), "ledger-consumer", "ledger.submissions", {})
    with pytest.raises(Refused, match="the user gateway may not do that with a consumer group"):
        await GroupWatch(signed_in("gateway"), "ledger-consumer", "ledger.submissions", "tests").offsets()


@pytest.mark.parametrize("user", ["operator", "gateway"])
async def test_nobody_else_makes_or_empties_topics(signed_in: Any, user: str) -> None:
    admin = AIOKafkaAdminClient(**connection_arguments(signed_in(user), "tests"))
    await admin.start()
    try:
        made = await admin.create_topics([NewTopic("tests.mine", 1, 1)])
        deleted = await admin.delete_topics(["ledger.journal"])
    finally:
        await admin.close()

    assert [for_code(code) for _, code, *_ in made.topic_errors] == [TopicAuthorizationFailedError]
    assert [for_code(code) for _, code in deleted.topic_error_codes] == [TopicAuthorizationFailedError]


@pytest.mark.parametrize("user", KAFKA_USERS)
def test_nobody_else_makes_users_or_rules(signed_in: Any, user: str) -> None:
    with pytest.raises(Refused, match=f"the user {user} may not change users and rules"):
        administrator(signed_in(user))


@pytest.mark.parametrize(
    ("change", "user"),
    [({"sasl_password": SecretStr("a guess")}, "gateway"), ({"sasl_username": "stranger"}, "stranger")],
)
async def test_nobody_gets_in_without_the_right_password(signed_in: Any, change: dict[str, Any], user: str) -> None:
    producer = Producer(signed_in("gateway").model_copy(update=change), client_id="tests")

    with pytest.raises(Refused, match=f"refuses the sign-in of the user {user}: it has another password or no such"):
        await producer.start()


@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SASL_SSL"])
async def test_nobody_gets_in_by_another_protocol_and_its_name_is_said(signed_in: Any, protocol: str) -> None:
    unsigned = {"sasl_username": None} if protocol == "PLAINTEXT" else {}
    settings = signed_in("gateway").model_copy(update={"security_protocol": protocol, **unsigned})

    with pytest.raises(Unavailable, match="connect to Kafka") as raised:
        await Producer(settings, client_id="tests").start()

    assert f"CASH_KAFKA_SECURITY_PROTOCOL ({protocol}) is what it speaks there" in str(raised.value.__cause__)
