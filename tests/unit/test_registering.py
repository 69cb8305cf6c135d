"""From an address to a user: every rule and every refusal."""

from datetime import timedelta
from uuid import uuid4

import pytest

from consumers.domain.mails import MailKind
from consumers.domain.names import Names
from consumers.domain.registrations import Registration, RegistrationState
from contracts.refusals import RefusalCode
from contracts.registrations import (
    ATTEMPTS_PER_ISSUE_MAX,
    CODE_LIFETIME_S,
    ISSUES_MAX,
    REGISTRATION_LIFETIME_S,
    RegistrationVerified,
    VerificationCodeRequested,
)
from contracts.users import UserRegistered
from tests.builders.identity import (
    NOON,
    PASSWORD_HASH,
    Applicant,
    a_user,
    a_verification,
    an_asked,
    code_of,
    decide,
    verified,
    wrong,
)


def test_a_mailed_code_then_a_name_make_a_user() -> None:
    ann = Applicant("Ann@Example.org")

    assert ann.request().refusal is None
    assert ann.later(minutes=1).type(ann.code()).refusal is None
    decision = ann.later(minutes=1).choose("Ann.B")

    assert decision.refusal is None
    user_id = ann.registration.user_id
    assert user_id is not None
    assert ann.registration.state is RegistrationState.COMPLETED
    assert ann.registration.journal == [
        RegistrationVerified(registration_id=ann.id),
        UserRegistered(user_id=user_id, registration_id=ann.id),
    ]
    assert ann.names.owners == {("username", "ann.b"): ann.id, ("email", "ann@example.org"): ann.id}


def test_the_users_id_follows_from_the_operation() -> None:
    ann = verified()
    message = a_user(ann.id, "ann")
    asked = an_asked(message)
    ann.names.claimed |= {("username", "ann"), ("email", "ann@example.org")}
    ann.registration.password_hashes = {asked.operation_id: PASSWORD_HASH}

    decide(asked, ann.registration)

    assert ann.registration.user_id == message.resource_id(asked.operation_id)


def test_a_request_makes_one_mail_due_at_once_with_an_id_that_tells_nothing() -> None:
    ann = Applicant()

    ann.request()

    (mail,) = ann.registration.mails
    assert (mail.issue, mail.kind, mail.due_at) == (1, MailKind.VERIFICATION_CODE, NOON)
    assert str(ann.id) not in mail.message_id
    assert ann.registration.code_expires_at == NOON + timedelta(seconds=CODE_LIFETIME_S)
    assert ann.registration.expires_at == NOON + timedelta(seconds=REGISTRATION_LIFETIME_S)


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"base_currency": "ZZZ"}, RefusalCode.CURRENCY_UNKNOWN, "base_currency"),
        ({"base_currency": "XAU"}, RefusalCode.CURRENCY_UNKNOWN, "base_currency"),
        ({"time_zone": "Europe/Atlantis"}, RefusalCode.TIME_ZONE_UNKNOWN, "time_zone"),
        ({"time_zone": "Europe"}, RefusalCode.TIME_ZONE_UNKNOWN, "time_zone"),
        ({"time_zone": "../../etc/passwd"}, RefusalCode.TIME_ZONE_UNKNOWN, "time_zone"),
        ({"time_zone": ""}, RefusalCode.TIME_ZONE_UNKNOWN, "time_zone"),
    ],
)
def test_an_unknown_home_is_refused_and_leaves_nothing(fields: dict[str, str], code: RefusalCode, field: str) -> None:
    ann = Applicant()

    decision = ann.request(**fields)

    assert decision.refusal is not None
    assert (decision.refusal.code, decision.refusal.field) == (code, field)
    assert ann.registration == Registration(id=ann.id, names=ann.names, proofs=ann.registration.proofs)


def test_a_known_address_gets_the_same_answers_another_mail_and_no_right_code() -> None:
    stranger = Applicant("new@example.org")
    known = Applicant("Ann@example.org", names=Names(taken={("email", "ann@example.org")}))

    for issue in range(1, ISSUES_MAX + 1):
        answers = [[step(each) for step in _an_issue_guessed_at(issue)] for each in (stranger, known)]
        assert answers[0] == answers[1]

    assert {mail.kind for mail in stranger.registration.mails} == {MailKind.VERIFICATION_CODE}
    assert {mail.kind for mail in known.registration.mails} == {MailKind.ALREADY_REGISTERED}
    known = Applicant("ann@example.org", names=Names(taken={("email", "ann@example.org")}))
    known.request()
    assert code_of(known.type(known.code())) is RefusalCode.CODE_WRONG
    assert known.registration.attempts == 1


def _an_issue_guessed_at(issue: int) -> list:  # type: ignore[type-arg]
    ask = (lambda each: each.request().refusal) if issue == 1 else (lambda each: each.resend().refusal)
    guess = lambda each: each.type(wrong(each.code(issue))).refusal  # noqa: E731  # reads as a list of steps
    return [ask, *[guess] * (ATTEMPTS_PER_ISSUE_MAX + 1)]


def test_letters_count_whatever_their_case_and_the_spaces_around_them() -> None:
    ann = Applicant()
    ann.request()

    assert ann.type(f" {ann.code().lower()} ").refusal is None


def test_five_wrong_codes_spend_the_issue_even_for_the_right_one() -> None:
    ann = Applicant()
    ann.request()

    refusals = [ann.type(wrong(ann.code())).refusal for _ in range(ATTEMPTS_PER_ISSUE_MAX)]

    assert [refusal.code for refusal in refusals if refusal] == [RefusalCode.CODE_WRONG] * ATTEMPTS_PER_ISSUE_MAX
    details = [refusal.detail for refusal in refusals if refusal]
    assert "tries left: 4" in details[0]
    assert "last try" in details[-1]
    assert code_of(ann.type(ann.code())) is RefusalCode.CODE_SPENT


def test_the_fifth_try_may_still_be_right() -> None:
    ann = Applicant()
    ann.request()
    for _ in range(ATTEMPTS_PER_ISSUE_MAX - 1):
        ann.type(wrong(ann.code()))

    assert ann.type(ann.code()).refusal is None


def test_a_resend_kills_the_old_code_and_gives_new_tries() -> None:
    ann = Applicant()
    ann.request()
    for _ in range(ATTEMPTS_PER_ISSUE_MAX):
        ann.type(wrong(ann.code()))

    assert ann.resend().refusal is None

    assert code_of(ann.type(ann.code(1))) is RefusalCode.CODE_WRONG
    assert ann.type(ann.code(2)).refusal is None
    assert [mail.issue for mail in ann.registration.mails] == [1, 2]
    assert len({mail.message_id for mail in ann.registration.mails}) == 2


def test_after_five_codes_there_are_no_more() -> None:
    ann = Applicant()
    ann.request()

    answers = [code_of(ann.resend()) for _ in range(ISSUES_MAX)]

    assert answers == [None] * (ISSUES_MAX - 1) + [RefusalCode.ISSUES_SPENT]
    assert ann.type(ann.code(ISSUES_MAX)).refusal is None


@pytest.mark.parametrize(
    ("after_s", "code"), [(CODE_LIFETIME_S - 0.001, None), (CODE_LIFETIME_S, RefusalCode.CODE_EXPIRED)]
)
def test_a_code_works_for_ten_minutes(after_s: float, code: RefusalCode | None) -> None:
    ann = Applicant()
    ann.request()

    assert code_of(ann.later(seconds=after_s).type(ann.code())) is code


def test_an_expired_code_stays_expired_when_the_job_has_cleared_it_and_another_one_works() -> None:
    ann = Applicant()
    ann.request()
    ann.later(seconds=CODE_LIFETIME_S)
    ann.registration.code_expires_at = None

    assert code_of(ann.type(ann.code())) is RefusalCode.CODE_EXPIRED
    ann.resend()
    assert ann.type(ann.code(2)).refusal is None


def test_a_used_code_does_not_work_again() -> None:
    ann = verified()

    assert code_of(ann.type(ann.code())) is RefusalCode.ADDRESS_VERIFIED
    assert code_of(ann.resend()) is RefusalCode.ADDRESS_VERIFIED
    assert ann.registration.journal == [RegistrationVerified(registration_id=ann.id)]


@pytest.mark.parametrize("stage", ["pending", "verified"])
def test_after_a_day_nothing_can_be_done_with_a_registration(stage: str) -> None:
    ann = Applicant()
    ann.request()
    ann.resend()
    if stage == "verified":
        ann.type(ann.code(2))
    ann.later(seconds=REGISTRATION_LIFETIME_S)

    answers = [ann.request(), ann.resend(), ann.type(ann.code(2)), ann.choose()]

    assert {code_of(answer) for answer in answers} == {RefusalCode.REGISTRATION_EXPIRED}
    assert ann.registration.state == stage


def test_an_expired_registration_is_refused_whatever_the_hour() -> None:
    ann = verified()
    ann.registration.state = RegistrationState.EXPIRED

    assert code_of(ann.choose()) is RefusalCode.REGISTRATION_EXPIRED


def test_a_completed_registration_refuses_everything() -> None:
    ann = verified()
    ann.choose()

    answers = [ann.request(), ann.resend(), ann.type(ann.code()), ann.choose("another")]

    assert {code_of(answer) for answer in answers} == {RefusalCode.REGISTRATION_COMPLETED}


def test_what_nobody_began_is_not_found() -> None:
    registration = Registration(id=uuid4())
    asked = [
        an_asked(VerificationCodeRequested(registration_id=registration.id)),
        an_asked(a_verification(registration.id, "ABCDEF")),
        an_asked(a_user(registration.id)),
    ]

    assert {code_of(decide(each, registration)) for each in asked} == {RefusalCode.REGISTRATION_NOT_FOUND}


def test_the_same_request_again_is_taken_and_changes_nothing() -> None:
    ann = Applicant()
    ann.request()

    decision = ann.request()

    assert decision.refusal is None
    assert len(ann.registration.mails) == 1


def test_a_name_before_a_verified_address_is_refused() -> None:
    ann = Applicant()
    ann.request()

    assert code_of(ann.choose()) is RefusalCode.REGISTRATION_NOT_VERIFIED
    assert ann.names.owners == {}


def test_who_only_knows_the_registration_cannot_become_its_user() -> None:
    ann = verified()

    tries = [code_of(ann.choose("thief", letters=wrong(ann.code()))) for _ in range(ATTEMPTS_PER_ISSUE_MAX + 1)]

    assert tries == [RefusalCode.CODE_WRONG] * ATTEMPTS_PER_ISSUE_MAX + [RefusalCode.CODE_SPENT]
    assert ann.registration.user_id is None


def test_a_code_typed_in_time_counts_for_the_name_hours_later() -> None:
    ann = verified().later(hours=2)

    assert code_of(ann.choose(letters=wrong(ann.code()))) is RefusalCode.CODE_WRONG
    assert code_of(ann.choose()) is None


def test_two_in_one_batch_want_one_name_and_the_first_gets_it() -> None:
    names = Names()
    ann, anna = verified("ann@example.org", names=names), verified("anna@example.org", names=names)

    assert ann.choose("Anna").refusal is None
    refused = anna.choose("aNNA").refusal

    assert refused is not None
    assert (refused.code, refused.field) == (RefusalCode.USERNAME_TAKEN, "username")
    assert anna.registration.state is RegistrationState.VERIFIED
    assert names.released == {("email", "anna@example.org")}
    assert anna.choose("anna2").refusal is None


def test_a_refused_one_leaves_the_name_to_the_next_in_the_batch() -> None:
    names = Names()
    unverified, ann = Applicant("early@example.org", names=names), verified("ann@example.org", names=names)
    unverified.request()

    assert code_of(unverified.choose("ann")) is RefusalCode.REGISTRATION_NOT_VERIFIED
    assert ann.choose("ann").refusal is None
    assert names.released == {("email", "early@example.org")}


def test_two_registrations_of_one_address_make_one_user() -> None:
    names = Names()
    first, second = verified(names=names), verified("ANN@example.org", names=names)

    assert first.choose("ann").refusal is None
    assert code_of(second.choose("ann2")) is RefusalCode.EMAIL_TAKEN
    assert names.released == {("username", "ann2")}


def test_a_name_somebody_had_before_is_taken() -> None:
    ann = verified(names=Names(taken={("username", "ann")}))

    assert code_of(ann.choose("ANN")) is RefusalCode.USERNAME_TAKEN


def test_an_address_registered_in_this_very_batch_is_known_to_the_next() -> None:
    names = Names()
    verified("ann@example.org", names=names).choose("ann")
    again = Applicant("Ann@Example.ORG", names=names)

    again.request()

    assert again.registration.known


def test_nothing_secret_shows_in_a_representation() -> None:
    ann = verified()
    decision = ann.choose()

    shown = f"{ann.registration!r} {decision!r} {ann.keys!r}"
    assert PASSWORD_HASH not in shown
    assert ann.registration.proofs[1] not in shown
    assert str(ann.keys.seal["test-1"]) not in shown
