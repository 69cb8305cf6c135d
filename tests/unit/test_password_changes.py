"""Changing a password: whose change is made, and who is signed out by it; without a database."""

from datetime import timedelta
from uuid import UUID, uuid4, uuid5

import pytest

from consumers.domain.decisions import Decision
from consumers.domain.mails import PasswordMail
from consumers.domain.sessions import Session, Sessions
from contracts.passwords import PasswordChanged, PasswordChangeSubmitted
from contracts.refusals import RefusalCode
from contracts.sessions import SESSION_LIFETIME_S, SessionEnded, SessionEnding, SessionRequested
from tests.builders.identity import NOON, an_asked, code_of, decide

NEW_HASH = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$bmV3"


def a_session(**fields: object) -> Session:
    usual = {
        "id": uuid4(),
        "client": "a test",
        "refresh_hash": "0" * 64,
        "previous_hash": None,
        "started_at": NOON,
        "refreshed_at": NOON,
        "expires_at": NOON + timedelta(seconds=SESSION_LIFETIME_S),
    }
    return Session(**{**usual, **fields})  # type: ignore[arg-type]


def a_user(*sessions: Session, version: int = 1) -> Sessions:
    return Sessions(
        user_id=uuid4(),
        registered=True,
        password_version=version,
        sessions={session.id: session for session in sessions},
    )


def change(user: Sessions, session_id: UUID, *, version: int = 1) -> Decision:
    message = PasswordChangeSubmitted(
        user_id=user.user_id, session_id=session_id, password_version=version, sealed_password_hash="sealed"
    )
    asked = an_asked(message, traceparent="a trace")
    user.password_hashes = {asked.operation_id: NEW_HASH}
    return decide(asked, user)


def sign_in(user: Sessions, version: int | None) -> Decision:
    message = SessionRequested(
        user_id=user.user_id, session_id=uuid4(), refresh_hash="1" * 64, password_version=version
    )
    return decide(an_asked(message), user)


def test_a_new_password_takes_the_place_of_the_one_that_was_checked() -> None:
    this = a_session()
    user = a_user(this, version=4)

    assert change(user, this.id, version=4).refusal is None

    assert (user.password_hash, user.password_version) == (NEW_HASH, 5)
    assert user.journal == [PasswordChanged(user_id=user.user_id, password_version=5)]


def test_every_other_session_ends_with_the_old_password_and_this_one_stays() -> None:
    this, phone, laptop = a_session(), a_session(), a_session()
    left = a_session(ended_at=NOON - timedelta(days=1), ending=SessionEnding.SIGNED_OUT)
    user = a_user(this, phone, laptop, left)

    change(user, this.id)

    endings = {session.id: session.ending for session in user.sessions.values()}
    assert endings == {
        this.id: None,
        phone.id: SessionEnding.PASSWORD_CHANGED,
        laptop.id: SessionEnding.PASSWORD_CHANGED,
        left.id: SessionEnding.SIGNED_OUT,
    }
    assert user.changed == {phone.id, laptop.id}
    ended = [entry.session_id for entry in user.journal if isinstance(entry, SessionEnded)]
    assert ended == sorted((phone.id, laptop.id), key=lambda each: each.bytes)


def test_the_user_is_told_by_mail() -> None:
    this = a_session()
    user = a_user(this)
    message = PasswordChangeSubmitted(
        user_id=user.user_id, session_id=this.id, password_version=1, sealed_password_hash="sealed"
    )
    asked = an_asked(message, traceparent="a trace")
    user.password_hashes = {asked.operation_id: NEW_HASH}

    decide(asked, user)

    mail_id = uuid5(asked.operation_id, "letter")
    assert user.mails == [PasswordMail(id=mail_id, user_id=user.user_id, due_at=NOON, traceparent="a trace")]


def test_of_two_changes_made_on_one_password_only_the_first_is_made() -> None:
    this = a_session()
    user = a_user(this)

    assert change(user, this.id, version=1).refusal is None
    before = user.password_hash
    user.mails.clear()

    assert code_of(change(user, this.id, version=1)) is RefusalCode.PASSWORD_CHANGED
    assert (user.password_hash, user.password_version, user.mails) == (before, 2, [])


@pytest.mark.parametrize(
    ("session", "refusal"),
    [
        (None, RefusalCode.SESSION_ENDED),
        (a_session(ended_at=NOON, ending=SessionEnding.SIGNED_OUT), RefusalCode.SESSION_ENDED),
        (a_session(expires_at=NOON), RefusalCode.SESSION_ENDED),
    ],
)
def test_who_is_signed_out_changes_nothing(session: Session | None, refusal: RefusalCode) -> None:
    user = a_user(*filter(None, [session]))

    assert code_of(change(user, session.id if session else uuid4())) is refusal
    assert (user.password_hash, user.journal, user.mails) == (None, [], [])


def test_nobody_unregistered_has_a_password() -> None:
    user = Sessions(user_id=uuid4())

    assert code_of(change(user, uuid4())) is RefusalCode.USER_NOT_FOUND


@pytest.mark.parametrize(
    ("checked", "refusal"),
    [
        (1, RefusalCode.PASSWORD_CHANGED),
        (2, None),
        # Of a gateway that does not say which one it checked.
        (None, None),
    ],
)
def test_the_old_password_lets_nobody_in_any_more_not_even_who_was_on_the_way(
    checked: int | None, refusal: RefusalCode | None
) -> None:
    this = a_session()
    user = a_user(this)
    change(user, this.id)

    assert code_of(sign_in(user, checked)) is refusal


def test_no_state_or_change_shows_a_hash() -> None:
    this = a_session()
    user = a_user(this)

    decision = change(user, this.id)

    assert NEW_HASH not in f"{user!r} {decision!r}"
