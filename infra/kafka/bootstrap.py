"""Prepare a Kafka cluster: topics, users, access rules; run as its administrator, again without harm.

``python -m infra.kafka.bootstrap``. What is missing is made, what our users may do too much is taken from them, and
every user's password is the given one afterwards. Topics are never changed: what differs is said.
"""

import asyncio
import sys
import time
from collections.abc import Iterator

from contracts.topics import TOPICS
from infra.errors import Refused, Unavailable
from infra.kafka.access import rules_for
from infra.kafka.administration import administrator
from infra.kafka.granting import AccessChanged, ensure_access
from infra.kafka.topics import TopicsFound, examine_topics
from infra.kafka.users import KafkaUserPasswords, UsersChanged, ensure_users
from infra.settings import KafkaSettings, read

#: How long a cluster may take that has just been started, on a machine that starts everything else, too.
PATIENCE_S = 120.0
AGAIN_S = 1.0


def bootstrap(settings: KafkaSettings, passwords: KafkaUserPasswords) -> Iterator[str]:
    """Prepare the cluster; yield, a sentence each, what was done.

    Raises:
        Unavailable: Kafka does not answer, or refuses.
    """
    try:
        found = asyncio.run(examine_topics(settings, create=True))
    except Refused:
        if passwords.broker_password is None or settings.sasl_username is None or settings.sasl_password is None:
            raise
        # A cluster that does not know the administrator yet, or by another password; the broker it has always known.
        as_broker = settings.model_copy(update={"sasl_username": "broker", "sasl_password": passwords.broker_password})
        ensure_users(administrator(as_broker), {settings.sasl_username: settings.sasl_password.get_secret_value()})
        yield f"user {settings.sasl_username}: got the password it signs in with here"
        found = asyncio.run(examine_topics(settings, create=True))
    yield from _about_topics(found)
    admin = administrator(settings)
    by_user = passwords.by_user()
    yield from _about_users(ensure_users(admin, by_user))
    users = [user for user, password in by_user.items() if password is not None]
    yield from _about_access(ensure_access(admin, rules_for(users)))


def _about_topics(found: TopicsFound) -> Iterator[str]:
    yield f"topics: made {', '.join(found.created)}" if found.created else f"topics: all {len(TOPICS)} there"
    for difference in found.differences:
        yield f"differs, and stays as it is: {difference}"


def _about_users(changed: UsersChanged) -> Iterator[str]:
    """Say whose passwords were set: always everybody's who was there, so those are but counted."""
    done = [f"made {', '.join(changed.made)}"] if changed.made else []
    done += [f"password of {len(changed.renewed)} set"] if changed.renewed else []
    done += [f"removed {', '.join(changed.removed)}"] if changed.removed else []
    yield f"users: {'; '.join(done)}"


def _about_access(changed: AccessChanged) -> Iterator[str]:
    if changed.is_new:
        yield f"access rules: {changed.count} added"
    elif not changed.added and not changed.removed:
        yield f"access rules: all {changed.count} there, and no other"
    else:
        yield from (f"added: {sentence}" for sentence in changed.added)
    yield from (f"removed: {sentence}" for sentence in changed.removed)
    yield from (f"open to everybody, and stays as it is: {sentence}" for sentence in changed.open_to_all)


def main() -> int:
    """Prepare the cluster the environment names."""
    settings, passwords = read(KafkaSettings), read(KafkaUserPasswords)
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            for sentence in bootstrap(settings, passwords):
                print(sentence, flush=True)
        except Unavailable as error:
            # What it did it finds done the next time. What is refused stays so.
            if isinstance(error, Refused) or time.monotonic() > deadline:
                print(f"Kafka at {settings.bootstrap_servers} could not be prepared: {error}", file=sys.stderr)
                return 1
            print(f"not yet: {error}", file=sys.stderr, flush=True)
            time.sleep(AGAIN_S)
        else:
            return 0


if __name__ == "__main__":
    sys.exit(main())
