"""Kafka as it is deployed: prepared from nothing and again, over TLS, with rules that come and go while others work."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AclBinding, AclOperation, AclPermissionType, ResourcePatternType, ResourceType
from structlog.testing import capture_logs

from contracts.topics import LEDGER_BULK, LEDGER_SUBMISSIONS, TOPICS
from infra.deployment.certificates import make_authority
from infra.errors import Refused, Unavailable
from infra.kafka.access import RULES, USERS, Kind, Operation, Rule
from infra.kafka.administration import administrator
from infra.kafka.bootstrap import bootstrap
from infra.kafka.broker import BatchSubscription, create_broker
from infra.kafka.granting import ensure_access
from infra.kafka.producer import Producer, Record
from infra.kafka.reading import reading
from infra.kafka.topics import examine_topics
from infra.kafka.users import KafkaUserPasswords, ensure_users
from tests.builders.brokers import PASSWORDS, DeployedBroker, deployed_broker

#: The broker is a Java process: it may only be started where the local stack's programs are.
pytestmark = pytest.mark.stack

OTHERS_RULE = AclBinding(
    ResourceType.TOPIC,
    "theirs",
    ResourcePatternType.PREFIXED,
    "User:*",
    "*",
    AclOperation.READ,
    AclPermissionType.ALLOW,
)


def passwords(**otherwise: str | None) -> KafkaUserPasswords:
    users = ("gateway", "identity_consumer", "ledger_consumer", "relay", "operator", "importer", "simulator")
    return KafkaUserPasswords.model_validate({f"{user}_password": password(user) for user in users} | otherwise)


def password(user: str) -> str:
    return f"of-{user.replace('-', '_')}"


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DeployedBroker]:
    """A broker that was started from nothing and prepared once."""
    with deployed_broker(tmp_path_factory.mktemp("kafka")) as broker:
        done = list(bootstrap(broker.administrator, passwords()))
        assert done[0] == f"topics: made {', '.join(topic.name for topic in TOPICS)}"
        assert done[1].startswith("users: made gateway, identity-consumer, importer, ")
        assert done[2:] == [f"access rules: {len(RULES)} added"]
        yield broker


def test_preparing_it_again_changes_nothing(broker: DeployedBroker) -> None:
    done = list(bootstrap(broker.administrator, passwords()))

    assert done == [
        f"topics: all {len(TOPICS)} there",
        f"users: password of {len(USERS)} set",
        f"access rules: all {len(RULES)} there, and no other",
    ]


def test_what_our_users_may_too_much_is_taken_and_others_rules_stay(broker: DeployedBroker) -> None:
    admin = administrator(broker.administrator)
    ensure_access(admin, {*RULES, Rule("relay", Kind.TOPIC, "ledger.submissions", Operation.WRITE)})
    admin.create_acls([OTHERS_RULE])[OTHERS_RULE].result(10)

    done = list(bootstrap(broker.administrator, passwords()))

    assert done[2:] == [
        "removed: relay may write topic ledger.submissions",
        "open to everybody, and stays as it is: * may read topic theirs…",
    ]


async def test_a_user_without_a_password_is_removed_and_comes_back_with_one(broker: DeployedBroker) -> None:
    removed = await asyncio.to_thread(lambda: list(bootstrap(broker.administrator, passwords(simulator_password=None))))
    with pytest.raises(Refused, match="the sign-in of the user simulator"):
        await send(broker, "simulator", LEDGER_BULK.name)
    again = await asyncio.to_thread(lambda: list(bootstrap(broker.administrator, passwords())))
    await send(broker, "simulator", LEDGER_BULK.name)

    assert removed[1].endswith("; removed simulator")
    assert "removed: simulator may write topics ledger.bulk, ledger.submissions" in removed
    assert again[1] == f"users: made simulator; password of {len(USERS) - 1} set"
    assert "added: simulator may write topics ledger.bulk, ledger.submissions" in again


async def test_a_password_is_renewed_and_whoever_is_signed_in_stays_so(broker: DeployedBroker) -> None:
    producer = Producer(broker.settings("importer", password("importer")), client_id="tests")
    await producer.send(a_record(LEDGER_BULK.name))

    ensure_users(administrator(broker.administrator), {"importer": "renewed"})
    try:
        await producer.send(a_record(LEDGER_BULK.name))
        with pytest.raises(Refused, match="the sign-in of the user importer"):
            await send(broker, "importer", LEDGER_BULK.name)
        await send(broker, "importer", LEDGER_BULK.name, password="renewed")
    finally:
        await producer.stop()
        ensure_users(administrator(broker.administrator), {"importer": password("importer")})


def test_an_administrator_the_cluster_does_not_know_is_made_by_the_brokers_own_user(broker: DeployedBroker) -> None:
    """So it is in a local stack from before there was one, and where its password is another one now."""
    ensure_users(administrator(broker.administrator), {"administrator": None})

    with pytest.raises(Refused, match="the sign-in of the user administrator"):
        list(bootstrap(broker.administrator, passwords()))
    done = list(bootstrap(broker.administrator, passwords(broker_password=PASSWORDS["KAFKA_BROKER_PASSWORD"])))

    assert done[0] == "user administrator: got the password it signs in with here"
    assert list(bootstrap(broker.administrator, passwords()))[1].startswith("users: password of")


async def test_whoever_trusts_its_authority_writes_reads_and_administers_over_tls(broker: DeployedBroker) -> None:
    await send(broker, "simulator", LEDGER_BULK.name)
    settings = broker.settings("ledger-consumer", password("ledger-consumer"))
    async with reading(settings, LEDGER_BULK.name, "tests") as reader:
        ends = await reader.ends()
        read = [record async for records in reader.read_to(ends, records_max=100) for record in records]
    found = await examine_topics(broker.settings("operator", password("operator")), create=False)

    assert settings.security_protocol == "SASL_SSL"
    assert read[-1].value == b"value"
    assert (found.missing, found.differences) == ([], [])


async def test_whoever_trusts_another_authority_is_told_so(broker: DeployedBroker, tmp_path: Path) -> None:
    (tmp_path / "other.crt").write_text(make_authority().certificate)
    settings = broker.settings("gateway", password("gateway")).model_copy(update={"ssl_cafile": tmp_path / "other.crt"})

    with pytest.raises(Refused, match=r"the certificate of localhost:\d+ is not trusted .*CASH_KAFKA_SSL_CAFILE"):
        await Producer(settings, client_id="tests").start()


async def test_a_name_that_is_not_in_the_certificate_is_told(broker: DeployedBroker) -> None:
    by_address = {"bootstrap_servers": f"127.0.0.1:{broker.port}"}
    settings = broker.settings("gateway", password("gateway")).model_copy(update=by_address)

    with pytest.raises(Refused, match=r"not trusted \(.*mismatch.*use a name that is in it"):
        await Producer(settings, client_id="tests").start()


async def test_whoever_does_not_speak_tls_is_told_what_to_look_at(broker: DeployedBroker) -> None:
    plainly = {"security_protocol": "SASL_PLAINTEXT"}
    settings = broker.settings("gateway", password("gateway")).model_copy(update=plainly)

    with pytest.raises(Unavailable) as raised:
        await Producer(settings, client_id="tests").start()

    assert "CASH_KAFKA_SECURITY_PROTOCOL (SASL_PLAINTEXT) is what it speaks there" in str(raised.value.__cause__)


async def test_a_consumer_that_loses_its_right_says_so_once_and_is_not_ready(broker: DeployedBroker) -> None:
    admin = administrator(broker.administrator)
    right = Rule("ledger-consumer", Kind.TOPIC, LEDGER_SUBMISSIONS.name, Operation.READ)
    async with consuming(broker) as subscription:
        await until(lambda: subscription.problems(), lambda problems: problems == [])
        with capture_logs() as logs:
            await asyncio.to_thread(ensure_access, admin, RULES - {right})
            try:
                await until(lambda: subscription.problems(), lambda problems: problems != [])
                problems = await subscription.problems()
            finally:
                await asyncio.to_thread(ensure_access, admin, RULES)

    said = f"Kafka refuses: the user ledger-consumer may not read {LEDGER_SUBMISSIONS.name}; run the step"
    assert len(problems) == 1
    assert said in problems[0]
    assert [log["why"].startswith(said) for log in logs if log["event"] == "Kafka refuses"] == [True]


async def test_a_relay_without_its_right_says_so_and_goes_on_once_it_has_it(broker: DeployedBroker) -> None:
    admin = administrator(broker.administrator)
    right = Rule("relay", Kind.TOPIC, "ledger.journal", Operation.WRITE)
    producer = Producer(broker.settings("relay", password("relay")), client_id="tests")
    await producer.send(a_record("ledger.journal"))
    try:
        await asyncio.to_thread(ensure_access, admin, RULES - {right})
        with pytest.raises(Refused, match=r"the user relay may not write ledger\.journal; run the step"):
            await producer.send(a_record("ledger.journal"))
        with pytest.raises(Refused):
            await producer.ping()
        await asyncio.to_thread(ensure_access, admin, RULES)
        # What was refused has been counted: the first send is out of order, and makes a new producer of it.
        with pytest.raises(Unavailable):
            await producer.send(a_record("ledger.journal"))
        await producer.send(a_record("ledger.journal"))
        await producer.ping()
    finally:
        await producer.stop()


def test_its_log_names_who_was_denied_what_and_no_password(broker: DeployedBroker) -> None:
    assert "Principal = User:relay is Denied operation = WRITE" in broker.log
    assert "LITERAL:ledger.journal" in broker.log
    assert not [secret for secret in PASSWORDS.values() if secret in broker.log]
    assert list((broker.folder / "data" / "tmp").glob("format*")) == []


def a_record(topic: str) -> Record:
    return Record(topic, b"key", b"value", [])


async def send(broker: DeployedBroker, user: str, topic: str, **otherwise: str) -> None:
    producer = Producer(broker.settings(user, otherwise.get("password", password(user))), client_id="tests")
    try:
        await producer.send(a_record(topic))
    finally:
        await producer.stop()


@asynccontextmanager
async def consuming(broker: DeployedBroker) -> AsyncIterator[BatchSubscription]:
    async def take(_: Any) -> None: ...

    settings = broker.settings("ledger-consumer", password("ledger-consumer"))
    consumer = create_broker(settings, "tests")
    group, topic = LEDGER_SUBMISSIONS.group, LEDGER_SUBMISSIONS.name
    subscription = BatchSubscription(consumer, topic, group, take, settings=settings, wait_ms=10)
    await consumer.start()
    try:
        yield subscription
    finally:
        await consumer.stop()


async def until(ask: Any, enough: Any) -> None:
    async with asyncio.timeout(15):
        while not enough(await ask()):
            await asyncio.sleep(0.05)


async def test_another_number_of_partitions_is_told_and_never_made_of_a_topic_that_is_there(
    broker: DeployedBroker,
) -> None:
    wanted = broker.administrator.model_copy(update={"partitions": 48})

    found = await examine_topics(wanted, create=True)

    assert found.created == []
    assert f"{LEDGER_BULK.name} has 12 partitions, we create 48" in found.differences
