"""Who may do what in Kafka: the page people read says what the code does, and nobody got too much."""

import re
from pathlib import Path

import pytest

from contracts.topics import TOPICS
from infra.deployment.secrets import KAFKA_ADMINISTRATOR, KAFKA_FIRST_USERS, KAFKA_USERS
from infra.kafka.access import RULES, USERS, Kind, Operation, Rule, rules_for
from infra.kafka.users import KafkaUserPasswords
from infra.local.processes import PROJECT

PAGE = (PROJECT / "docs" / "kafka-access.md").read_text(encoding="utf-8")


def shown(kind: Kind) -> tuple[list[str], set[Rule]]:
    """Return the names and the rules that the page's table of topics or of groups shows."""
    lines = re.findall(rf"^\| {kind} \|.*(?:\n\|.*)+", PAGE, flags=re.MULTILINE)[0].splitlines()
    head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    rules = {
        Rule(user, kind, row[0].strip("`"), Operation(operation))
        for row in rows
        for user, cell in zip(head[1:], row[1:], strict=True)
        for operation in cell.split(", ")
        if operation != "–"
    }
    return [row[0].strip("`") for row in rows], rules


def test_the_page_shows_every_rule_and_no_other() -> None:
    topics, of_topics = shown(Kind.TOPIC)
    groups, of_groups = shown(Kind.GROUP)

    assert topics == [topic.name for topic in TOPICS]
    assert groups == [topic.group for topic in TOPICS if topic.group]
    assert of_topics | of_groups == RULES


def test_whoever_has_a_rule_has_a_password_and_the_other_way_round() -> None:
    assert set(USERS) == set(KAFKA_USERS)
    assert set(a_password_each().by_user()) == set(USERS)


def test_the_users_that_may_do_everything_have_no_rules() -> None:
    assert not {*KAFKA_FIRST_USERS, KAFKA_ADMINISTRATOR, "controller"} & set(USERS)


@pytest.mark.parametrize(
    ("topic", "operation", "users"),
    [
        # Whoever writes here speaks in people's names.
        ("identity.submissions", Operation.WRITE, {"gateway", "operator"}),
        ("ledger.submissions", Operation.WRITE, {"gateway", "operator", "simulator"}),
        # What was decided is told by one process only.
        ("identity.journal", Operation.WRITE, {"relay"}),
        ("ledger.journal", Operation.WRITE, {"relay"}),
        # Sealed hashes of passwords, and proofs of codes.
        ("identity.submissions", Operation.READ, {"identity-consumer"}),
        ("identity.submissions.dead-letter", Operation.READ, {"operator"}),
    ],
)
def test_those_that_matter_most_belong_to_few(topic: str, operation: Operation, users: set[str]) -> None:
    found = {rule.user for rule in RULES if (rule.name, rule.operation) == (topic, operation)}

    assert found == users


def test_the_bulk_producer_may_write_the_bulk_topic_and_nothing_else() -> None:
    assert rules_for(["importer"]) == {Rule("importer", Kind.TOPIC, "ledger.bulk", Operation.WRITE)}


def test_who_has_no_password_has_no_rules() -> None:
    passwords = a_password_each(importer=None, simulator=None).by_user()

    users = [user for user, password in passwords.items() if password is not None]
    assert passwords["importer"] is passwords["simulator"] is None
    assert {rule.user for rule in rules_for(users)} == set(USERS) - {"importer", "simulator"}


def a_password_each(**otherwise: str | None) -> KafkaUserPasswords:
    given = {f"{user.replace('-', '_')}_password": f"of {user}" for user in USERS}
    return KafkaUserPasswords.model_validate(given | {f"{user}_password": each for user, each in otherwise.items()})


def test_a_password_of_a_user_is_a_setting_of_its_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for user in USERS:
        (tmp_path / f"CASH_KAFKA_{user.replace('-', '_').upper()}_PASSWORD").write_text(f"of {user}")
    monkeypatch.setenv("CASH_SECRETS_FOLDER", str(tmp_path))

    assert KafkaUserPasswords().by_user() == {user: f"of {user}" for user in USERS}
