"""Identity's submissions through delivery into the real users database."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from itertools import count
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from aiokafka import ConsumerRecord

from consumers.dead_letters import DeadLetters
from consumers.deciders import IDENTITY_DECIDERS
from consumers.delivery import Delivery
from consumers.domain.decisions import Decision
from consumers.repositories.identity import IdentityRepository, IdentityState
from consumers.repositories.outbox import read_messages
from contracts import topics
from contracts.catalog import read_journal_entry
from contracts.dead_letters import replay_headers
from contracts.letters import InvitationLetterRequested
from contracts.messages import JournalEntry, Source, Submission
from contracts.passwords import PasswordChanged, PasswordChangeSubmitted
from contracts.registrations import RegistrationVerified, VerificationCodeRequested
from contracts.sessions import (
    RefreshSubmitted,
    SessionEnded,
    SessionEnding,
    SessionEndRequested,
    SessionRequested,
    SessionStarted,
)
from contracts.users import UserRegistered
from infra.kafka.producer import Producer
from infra.local.stack import LocalStack
from infra.postgres.engine import Database
from infra.redis.wakeups import Wakeups
from infra.secrets import derive_code, new_password_binding, seal
from infra.settings import KafkaSettings, RedisSettings
from tests.builders.identity import KEYS, PASSWORD_HASH, a_request, a_user, a_verification, some_keys, wrong
from tests.builders.kafka import header, reading
from tests.builders.settings import settings_from
from tests.builders.submissions import a_record
from tests.builders.users_database import a_users_database

pytestmark = pytest.mark.stack

_offsets = count()


def record(message: Submission, key: str | None = None, by: UUID | None = None) -> "ConsumerRecord[Any, Any]":
    """Return a record as it is read from the topic."""
    user_id: UUID | None = by or getattr(message, "user_id", None)
    sent = a_record(message, user_id, key=key, topic=topics.IDENTITY_SUBMISSIONS)
    return ConsumerRecord(
        topic=sent.topic,
        partition=0,
        offset=next(_offsets),
        timestamp=0,
        timestamp_type=0,
        key=sent.key,
        value=sent.value,
        checksum=None,
        serialized_key_size=0,
        serialized_value_size=0,
        headers=tuple(sent.headers),
    )


class Consumer:
    """The identity consumer's delivery on a database of the test's own."""

    def __init__(self, database: Database, stack: LocalStack) -> None:
        environment = stack.environment("identity-consumer")
        self.database = database
        #: Of one who may read dead letters: the consumer only writes them.
        self.kafka = settings_from(stack.environment("operator"), KafkaSettings)
        self.producer = Producer(settings_from(environment, KafkaSettings), client_id="tests")
        self.wakeups = Wakeups(settings_from(environment, RedisSettings))
        self.delivery = self.another()

    def another(self, **deciders: Any) -> Delivery[IdentityState]:
        """Return a second consumer process of the same group, as after a rebalance; some deciders by message name."""
        return Delivery(
            "tests",
            self.database,
            IdentityRepository(KEYS),
            {message: deciders.get(message.__name__, decide) for message, decide in IDENTITY_DECIDERS.items()},
            DeadLetters(self.producer),
            self.wakeups,
        )

    async def take(self, *messages: Submission) -> list[str]:
        """Deliver messages in one batch; return how each was decided: ``recorded``, a refusal's code, or ``failed``."""
        records = [record(message) for message in messages]
        await self.delivery.deliver(records)
        return await self.outcomes(records)

    async def outcomes(self, records: Sequence["ConsumerRecord[Any, Any]"]) -> list[str]:
        ids = [UUID(header(each, "ce_operationid")) for each in records]
        rows = await self.fetch("SELECT id, state, refusal_code FROM operations WHERE id = ANY($1)", ids)
        by_id = {row["id"]: row["refusal_code"] or row["state"] for row in rows}
        return [by_id.get(operation_id, "pending") for operation_id in ids]

    async def fetch(self, query: str, *arguments: Any) -> list[Any]:
        async with self.database.connection("look") as connection:
            return await connection.fetch(query, *arguments)

    async def register(self, username: str, email: str | None = None) -> UUID:
        """Register somebody, one batch per step, and return the user's id."""
        registration_id = uuid4()
        await self.take(a_request(registration_id, email=email or f"{username}@example.org"))
        assert await self.take(a_verification(registration_id, code_of(registration_id))) == ["recorded"]
        assert await self.take(a_user(registration_id, username)) == ["recorded"]
        rows = await self.fetch("SELECT id FROM users WHERE registration_id = $1", registration_id)
        user_id: UUID = rows[0]["id"]
        return user_id

    async def verified(self, email: str) -> UUID:
        """Return a registration whose address is verified."""
        registration_id = uuid4()
        outcomes = await self.take(
            a_request(registration_id, email=email), a_verification(registration_id, code_of(registration_id))
        )
        assert outcomes == ["recorded", "recorded"]
        return registration_id

    async def journal_of(self, subject_id: UUID) -> list[JournalEntry]:
        """Return what is in the outbox for a key, in order."""
        entries = []
        for row in await self.fetch("SELECT messages FROM outbox ORDER BY id"):
            for key, headers, value in read_messages(row["messages"]):
                if key == str(subject_id).encode():
                    entries.append(read_journal_entry(dict(headers)["ce_type"].decode(), value))
        return entries


def code_of(registration_id: UUID, issue: int = 1) -> str:
    return derive_code(KEYS.code, registration_id, issue)


def hash_of(token: int) -> str:
    return f"{token:064x}"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def consumer(stack: LocalStack) -> AsyncIterator[Consumer]:
    async with a_users_database(stack) as database:
        consumer = Consumer(database, stack)
        yield consumer
        await consumer.producer.stop()
        await consumer.wakeups.close()


async def test_a_person_comes_from_an_address_to_a_session(consumer: Consumer) -> None:
    registration_id, session_id = uuid4(), uuid4()

    assert await consumer.take(a_request(registration_id, email="Ann@Example.org")) == ["recorded"]
    (mail,) = await consumer.fetch("SELECT * FROM mails WHERE registration_id = $1", registration_id)
    assert (mail["issue"], mail["kind"], mail["state"]) == (1, "verification_code", "due")
    assert await consumer.take(a_verification(registration_id, code_of(registration_id))) == ["recorded"]
    assert await consumer.take(a_user(registration_id, "Ann.B")) == ["recorded"]
    (user,) = await consumer.fetch("SELECT * FROM users WHERE registration_id = $1", registration_id)
    started = SessionRequested(user_id=user["id"], session_id=session_id, refresh_hash=hash_of(0), client="a test")
    assert await consumer.take(started) == ["recorded"]

    assert (user["username"], user["username_key"], user["email"]) == ("Ann.B", "ann.b", "Ann@Example.org")
    assert user["email_key"] == "ann@example.org"
    assert (user["password_hash"], user["base_currency"], user["time_zone"]) == (PASSWORD_HASH, "EUR", "Europe/Berlin")
    (registration,) = await consumer.fetch("SELECT * FROM registrations WHERE id = $1", registration_id)
    assert (registration["state"], registration["user_id"]) == ("completed", user["id"])
    (session,) = await consumer.fetch("SELECT * FROM sessions WHERE id = $1", session_id)
    assert (session["user_id"], session["client"], session["ended_at"]) == (user["id"], "a test", None)
    assert await consumer.journal_of(registration_id) == [RegistrationVerified(registration_id=registration_id)]
    assert await consumer.journal_of(user["id"]) == [
        UserRegistered(user_id=user["id"], registration_id=registration_id),
        SessionStarted(user_id=user["id"], session_id=session_id),
    ]


async def test_the_operation_names_the_user_and_keeps_no_sealed_password(consumer: Consumer) -> None:
    registration_id = await consumer.verified("keeps-nothing@example.org")
    chosen = record(a_user(registration_id, "keeps-nothing"))
    await consumer.delivery.deliver([chosen])

    operation_id = UUID(header(chosen, "ce_operationid"))
    (operation,) = await consumer.fetch("SELECT * FROM operations WHERE id = $1", operation_id)
    (user,) = await consumer.fetch("SELECT id FROM users WHERE registration_id = $1", registration_id)
    assert operation["resource_id"] == user["id"]
    assert b"sealed" not in operation["request"]


async def test_a_second_delivery_does_nothing(consumer: Consumer) -> None:
    registration_id = uuid4()
    records = [
        record(a_request(registration_id, email="twice@example.org")),
        record(a_verification(registration_id, wrong(code_of(registration_id)))),
        record(VerificationCodeRequested(registration_id=registration_id)),
    ]
    await consumer.delivery.deliver(records)
    before = await consumer.fetch("SELECT * FROM registrations WHERE id = $1", registration_id)

    await consumer.delivery.deliver(records)
    await consumer.delivery.deliver([records[0], *records])

    assert await consumer.fetch("SELECT * FROM registrations WHERE id = $1", registration_id) == before
    assert before[0]["issue"] == 2
    assert before[0]["attempts"] == 0
    mails = await consumer.fetch("SELECT issue FROM mails WHERE registration_id = $1 ORDER BY 1", registration_id)
    assert [mail["issue"] for mail in mails] == [1, 2]


async def test_a_registration_that_failed_by_a_defect_is_taken_when_it_is_replayed(consumer: Consumer) -> None:
    registration_id = uuid4()

    def defective(*_: object) -> Decision:
        raise ZeroDivisionError("a defect, on purpose")

    asked = record(a_request(registration_id, email="again@example.org"))
    await consumer.another(RegistrationRequested=defective).deliver([asked])
    assert await consumer.outcomes([asked]) == ["failed"]

    source = Source(topic=asked.topic, partition=asked.partition, offset=asked.offset)
    replay = replace(asked, headers=tuple(replay_headers(asked.headers, source)), offset=next(_offsets))
    for _ in range(2):
        await consumer.delivery.deliver([asked, replay])

    assert await consumer.outcomes([asked]) == ["recorded"]
    assert len(await consumer.fetch("SELECT FROM mails WHERE registration_id = $1", registration_id)) == 1


async def test_a_refused_request_leaves_no_row_not_even_when_it_comes_again(consumer: Consumer) -> None:
    registration_id = uuid4()
    refused = record(a_request(registration_id, time_zone="Europe/Atlantis"))

    await consumer.delivery.deliver([refused])
    await consumer.delivery.deliver([refused])

    assert await consumer.outcomes([refused]) == ["time_zone_unknown"]
    assert await consumer.fetch("SELECT FROM registrations WHERE id = $1", registration_id) == []
    assert await consumer.fetch("SELECT FROM registrations WHERE state IS NULL") == []


async def test_a_known_address_answers_as_an_unknown_one(consumer: Consumer) -> None:
    await consumer.register("known")
    outcomes = []
    for email in ("Known@Example.org", "unknown@example.org"):
        registration_id = uuid4()
        steps: list[Submission] = [a_request(registration_id, email=email)]
        steps += [a_verification(registration_id, wrong(code_of(registration_id)))] * 2
        steps += [VerificationCodeRequested(registration_id=registration_id)]
        steps += [a_verification(registration_id, wrong(code_of(registration_id, 2)))] * 6
        outcomes.append([outcome for step in steps for outcome in await consumer.take(step)])
    registration_id = uuid4()
    await consumer.take(a_request(registration_id, email="known@example.org"))

    assert outcomes[0] == outcomes[1]
    assert await consumer.take(a_verification(registration_id, code_of(registration_id))) == ["code_wrong"]
    (mail,) = await consumer.fetch("SELECT kind FROM mails WHERE registration_id = $1", registration_id)
    assert mail["kind"] == "already_registered"


async def test_of_two_in_one_batch_the_first_gets_the_name(consumer: Consumer) -> None:
    first, second = await consumer.verified("one@example.org"), await consumer.verified("two@example.org")

    outcomes = await consumer.take(a_user(first, "Chosen"), a_user(second, "cHOSEN"))

    assert outcomes == ["recorded", "username_taken"]
    names = await consumer.fetch(
        "SELECT kind, key, registration_id FROM unique_names WHERE registration_id = ANY($1) ORDER BY 1",
        [first, second],
    )
    assert [tuple(name) for name in names] == [("email", "one@example.org", first), ("username", "chosen", first)]
    assert await consumer.take(a_user(second, "chosen-too")) == ["recorded"]


async def test_a_name_goes_to_the_one_who_may_have_it_not_to_the_one_who_asked_first(consumer: Consumer) -> None:
    unverified, verified = uuid4(), await consumer.verified("deserving@example.org")
    await consumer.take(a_request(unverified, email="hasty@example.org"))

    outcomes = await consumer.take(a_user(unverified, "wanted"), a_user(verified, "wanted"))

    assert outcomes == ["registration_not_verified", "recorded"]
    (name,) = await consumer.fetch("SELECT registration_id FROM unique_names WHERE key = 'wanted'")
    assert name["registration_id"] == verified
    assert await consumer.fetch("SELECT FROM unique_names WHERE key = 'hasty@example.org'") == []


async def test_in_concurrent_batches_one_of_many_gets_the_name(consumer: Consumer) -> None:
    for round_ in range(5):
        registrations = [await consumer.verified(f"many-{round_}-{number}@example.org") for number in range(6)]
        batches = [[record(a_user(each, f"star-{round_}"))] for each in registrations]

        await asyncio.gather(*(consumer.another().deliver(batch) for batch in batches))

        outcomes = sorted([outcome for batch in batches for outcome in await consumer.outcomes(batch)])
        assert outcomes == ["recorded", *["username_taken"] * 5]
        taken = await consumer.fetch("SELECT FROM unique_names WHERE registration_id = ANY($1)", registrations)
        assert len(taken) == 2


async def test_concurrent_batches_of_the_same_people_and_names_never_deadlock(consumer: Consumer) -> None:
    user_ids = [await consumer.register(f"crossing-{number}") for number in range(4)]
    for round_ in range(5):
        registrations = [await consumer.verified(f"crossing-{round_}-{number}@example.org") for number in range(4)]
        messages: list[Submission] = []
        for number, registration_id in enumerate(registrations):
            messages.append(a_user(registration_id, f"name-{round_}-{(number * 3) % 4}"))
            messages.append(
                SessionRequested(user_id=user_ids[number], session_id=uuid4(), refresh_hash=hash_of(number))
            )
        forwards = [record(message, key="same") for message in messages]
        backwards = [record(message, key=f"other-{round_}") for message in reversed(messages)]

        await asyncio.gather(
            *(consumer.another().deliver(batch) for batch in (forwards, backwards, forwards, backwards))
        )

        users = await consumer.fetch("SELECT FROM users WHERE registration_id = ANY($1)", registrations)
        assert len(users) == 4
        assert "pending" not in await consumer.outcomes([*forwards, *backwards])


async def test_a_password_sealed_with_a_key_we_lack_becomes_a_dead_letter_alone(consumer: Consumer) -> None:
    mine, other = await consumer.verified("mine@example.org"), await consumer.verified("other@example.org")
    foreign, honest = record(a_user(other, "other", some_keys())), record(a_user(mine, "mine"))

    async with reading(consumer.kafka, topics.dead_letter_of(topics.IDENTITY_SUBMISSIONS.name).name) as dead_letters:
        await consumer.delivery.deliver([foreign, honest])
        operation_id = header(foreign, "ce_operationid")
        letters = await dead_letters.until(
            lambda letters: any(header(letter, "ce_operationid") == operation_id for letter in letters)
        )

    assert await consumer.outcomes([foreign, honest]) == ["failed", "recorded"]
    letter = next(letter for letter in letters if header(letter, "ce_operationid") == operation_id)
    assert header(letter, "deadletter_reason") == "Sealed: cannot be opened"
    assert await consumer.fetch("SELECT FROM unique_names WHERE registration_id = $1", other) == []


async def test_refresh_tokens_rotate_and_a_reused_one_ends_the_session(consumer: Consumer) -> None:
    user_id, session_id = await consumer.register("refreshing"), uuid4()

    def refresh(presented: int) -> RefreshSubmitted:
        return RefreshSubmitted(
            user_id=user_id,
            session_id=session_id,
            presented_hash=hash_of(presented),
            successor_hash=hash_of(presented + 1),
        )

    assert (
        await consumer.take(
            SessionRequested(user_id=user_id, session_id=session_id, refresh_hash=hash_of(0)), refresh(0), refresh(0)
        )
        == ["recorded"] * 3
    )
    assert await consumer.take(refresh(1)) == ["recorded"]
    assert await consumer.take(refresh(1)) == ["recorded"]
    await _minutes_pass(consumer, session_id)
    assert await consumer.take(refresh(1), refresh(2)) == ["refresh_reused", "session_ended"]

    (session,) = await consumer.fetch("SELECT * FROM sessions WHERE id = $1", session_id)
    assert session["ending"] == "refresh_reused"
    assert session["refresh_hash"].hex() == hash_of(2)
    assert (await consumer.journal_of(user_id))[-1] == SessionEnded(
        user_id=user_id, session_id=session_id, ending=SessionEnding.REFRESH_REUSED
    )


async def _minutes_pass(consumer: Consumer, session_id: UUID) -> None:
    await consumer.fetch(
        "UPDATE sessions SET refreshed_at = refreshed_at - interval '5 minutes' WHERE id = $1", session_id
    )


async def test_a_session_is_its_users_alone(consumer: Consumer) -> None:
    ann, bob = await consumer.register("session-ann"), await consumer.register("session-bob")
    session_id = uuid4()
    await consumer.take(SessionRequested(user_id=ann, session_id=session_id, refresh_hash=hash_of(0)))

    assert await consumer.take(
        SessionEndRequested(user_id=bob, session_id=session_id),
        RefreshSubmitted(user_id=bob, session_id=session_id, presented_hash=hash_of(0), successor_hash=hash_of(1)),
        SessionRequested(user_id=bob, session_id=session_id, refresh_hash=hash_of(5)),
    ) == ["session_not_found", "session_not_found", "session_id_taken"]
    assert await consumer.take(SessionEndRequested(user_id=ann, session_id=session_id)) == ["recorded"]
    assert await consumer.take(SessionEndRequested(user_id=ann, session_id=session_id)) == ["recorded"]

    (session,) = await consumer.fetch("SELECT * FROM sessions WHERE id = $1", session_id)
    assert (session["user_id"], session["ending"]) == (ann, "signed_out")
    assert len(await consumer.journal_of(ann)) == 3


async def test_an_invited_user_gets_one_mail_and_an_id_that_is_nobodys_none(consumer: Consumer) -> None:
    ann, bob = await consumer.register("letter-ann"), await consumer.register("letter-bob")
    letters = [
        InvitationLetterRequested(invited_user_id=user_id, ledger_id=uuid4(), invitation_id=uuid4())
        for user_id in (bob, uuid4())
    ]
    # In one batch with a sign-in of the same user, and delivered again.
    records = [
        record(SessionRequested(user_id=bob, session_id=uuid4(), refresh_hash=hash_of(0))),
        *(record(letter, by=ann) for letter in letters),
    ]
    await consumer.delivery.deliver(records)
    await consumer.delivery.deliver(records)
    # Its operation was tidied away, and it comes once more under another one.
    await consumer.delivery.deliver([record(letters[0], by=ann)])

    assert await consumer.outcomes(records) == ["recorded"] * 3
    (mail,) = await consumer.fetch(
        "SELECT * FROM mails WHERE invitation_id = ANY($1)", [letter.invitation_id for letter in letters]
    )
    assert (mail["user_id"], mail["inviter_id"], mail["ledger_id"]) == (bob, ann, letters[0].ledger_id)
    assert (mail["kind"], mail["state"], mail["registration_id"], mail["issue"]) == ("invitation", "due", None, None)


async def test_a_letter_nobody_asked_for_is_no_message_of_ours(consumer: Consumer) -> None:
    bob = await consumer.register("letter-of-nobody")
    letter = record(InvitationLetterRequested(invited_user_id=bob, ledger_id=uuid4(), invitation_id=uuid4()))

    await consumer.delivery.deliver([letter])

    assert await consumer.outcomes([letter]) == ["pending"]
    assert await consumer.fetch("SELECT FROM mails WHERE user_id = $1", bob) == []


async def sign_in(consumer: Consumer, user_id: UUID) -> UUID:
    session_id = uuid4()
    started = SessionRequested(user_id=user_id, session_id=session_id, refresh_hash=hash_of(0))
    assert await consumer.take(started) == ["recorded"]
    return session_id


def a_change(
    user_id: UUID, session_id: UUID, hash_: str, version: int = 1, *, bound_to: UUID | None = None
) -> PasswordChangeSubmitted:
    """Return another password as the gateway sends it, for the one of a version."""
    binding = new_password_binding(bound_to or user_id, version)
    return PasswordChangeSubmitted(
        user_id=user_id,
        session_id=session_id,
        password_version=version,
        sealed_password_hash=seal(KEYS.seal, hash_, bound_to=binding),
    )


async def test_a_changed_password_ends_the_other_sessions_in_one_database_transaction(consumer: Consumer) -> None:
    user_id, stranger = await consumer.register("changing"), await consumer.register("not-changing")
    this, other, theirs = [await sign_in(consumer, each) for each in (user_id, user_id, stranger)]
    begun_in_the_batch = uuid4()
    records = [
        record(SessionRequested(user_id=user_id, session_id=begun_in_the_batch, refresh_hash=hash_of(0))),
        record(a_change(user_id, this, "the new hash")),
        record(SessionRequested(user_id=user_id, session_id=uuid4(), refresh_hash=hash_of(0), password_version=1)),
    ]
    await consumer.delivery.deliver(records)
    await consumer.delivery.deliver(records)

    assert await consumer.outcomes(records) == ["recorded", "recorded", "password_changed"]
    (user,) = await consumer.fetch("SELECT password_hash, password_version FROM users WHERE id = $1", user_id)
    assert tuple(user) == ("the new hash", 2)
    rows = await consumer.fetch("SELECT id, ending FROM sessions WHERE user_id = ANY($1)", [user_id, stranger])
    assert {row["id"]: row["ending"] for row in rows} == {
        this: None,
        other: "password_changed",
        begun_in_the_batch: "password_changed",
        theirs: None,
    }
    (mail,) = await consumer.fetch("SELECT kind, state FROM mails WHERE user_id = $1", user_id)
    assert tuple(mail) == ("password_changed", "due")
    changed, *ended = (await consumer.journal_of(user_id))[-3:]
    assert changed == PasswordChanged(user_id=user_id, password_version=2)
    assert {entry.session_id for entry in ended if isinstance(entry, SessionEnded)} == {other, begun_in_the_batch}
    (operation,) = await consumer.fetch("SELECT request FROM operations WHERE noun = 'password-change'")
    assert b"sealed" not in operation["request"]


async def test_of_two_changes_in_concurrent_batches_one_is_made(consumer: Consumer) -> None:
    for round_ in range(5):
        user_id = await consumer.register(f"racing-{round_}")
        sessions = [await sign_in(consumer, user_id) for _ in range(2)]
        batches = [[record(a_change(user_id, each, f"hash of {each}"))] for each in sessions]

        await asyncio.gather(*(consumer.another().deliver(batch) for batch in batches))

        outcomes = {each: (await consumer.outcomes(batch))[0] for each, batch in zip(sessions, batches, strict=True)}
        (winner,) = [each for each, outcome in outcomes.items() if outcome == "recorded"]
        # The other one's session has ended with the password that it was begun with.
        assert sorted(outcomes.values()) == ["recorded", "session_ended"]
        (user,) = await consumer.fetch("SELECT password_hash, password_version FROM users WHERE id = $1", user_id)
        assert tuple(user) == (f"hash of {winner}", 2)


async def test_a_sealed_password_is_no_other_users_and_replaces_no_later_one(consumer: Consumer) -> None:
    ann, bob = await consumer.register("sealing-ann"), await consumer.register("sealing-bob")
    of_ann, of_bob = await sign_in(consumer, ann), await sign_in(consumer, bob)

    assert await consumer.take(a_change(bob, of_bob, "ann's", bound_to=ann)) == ["failed"]
    assert await consumer.take(a_change(ann, of_ann, "the second")) == ["recorded"]
    assert await consumer.take(a_change(ann, of_ann, "the first again")) == ["password_changed"]
    assert await consumer.take(a_change(ann, of_ann, "the third", 2)) == ["recorded"]
    (user,) = await consumer.fetch("SELECT password_hash FROM users WHERE id = $1", ann)
    assert user["password_hash"] == "the third"
