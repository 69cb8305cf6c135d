"""One mail that cannot be sent is one mail's trouble."""

from datetime import timedelta
from typing import Any, cast
from uuid import uuid4

import pytest

from consumers.jobs import mail
from consumers.jobs.letters import Undecided, Writer
from consumers.jobs.mail import TRIES_MAX, Outcome
from infra.mail.letters import sender_address
from infra.mail.smtp import Mailer
from infra.secrets import SecretKey
from tests.builders.gateway import a_key
from tests.builders.identity import NOON


class Broken:
    """Stands in for a mailer with a defect."""

    sender = sender_address("no-reply@cash.example")

    def send(self, message: object) -> None:
        raise AttributeError("local_part")


@pytest.mark.parametrize(("attempts", "outcome"), [(1, Outcome.FAILED), (TRIES_MAX, Outcome.ABANDONED)])
async def test_a_defect_ends_one_try_of_one_mail(attempts: int, outcome: Outcome) -> None:
    leased: Any = {
        "id": uuid4(),
        "registration_id": uuid4(),
        "issue": 1,
        "newest_issue": 1,
        "kind": "verification_code",
        "state": "pending",
        "attempts": attempts,
        "message_id": "abc",
        "email": "ann@example.org",
        "time_zone": "UTC",
        "leased_at": NOON,
        "code_expires_at": NOON + timedelta(minutes=5),
    }

    writer = Writer(SecretKey(a_key()), ledger=cast(Any, None))

    assert await mail._attempt(leased, cast(Mailer, Broken()), writer) == (outcome, "AttributeError")


@pytest.mark.parametrize(("attempts", "outcome"), [(1, Outcome.FAILED), (TRIES_MAX, Outcome.ABANDONED)])
async def test_an_invitation_the_ledger_does_not_have_is_waited_for_and_then_given_up(
    attempts: int, outcome: Outcome
) -> None:
    class Waiting:
        async def write(self, _: object) -> None:
            raise Undecided("the ledger has no such invitation")

    leased: Any = {"attempts": attempts}

    attempted = await mail._attempt(leased, cast(Mailer, Broken()), cast(Writer, Waiting()))

    assert attempted == (outcome, "the ledger has no such invitation")
