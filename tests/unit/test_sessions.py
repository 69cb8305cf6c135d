"""Sessions: sign-in, rotation, grace, reuse and the end."""

import hashlib
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest

from consumers.domain.decisions import Decision
from consumers.domain.sessions import Sessions
from contracts.refusals import RefusalCode
from contracts.sessions import (
    REFRESH_GRACE_S,
    SESSION_LIFETIME_S,
    RefreshSubmitted,
    SessionEnded,
    SessionEnding,
    SessionEndRequested,
    SessionRequested,
    SessionStarted,
)
from tests.builders.identity import NOON, an_asked, code_of, decide


def hash_of(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


class Device:
    """A signed-in device of one user; its tokens are ``t0``, ``t1``, …"""

    def __init__(self, sessions: Sessions | None = None, *, password_version: int | None = None) -> None:
        self.sessions = sessions or Sessions(user_id=uuid4(), registered=True)
        self.password_version = password_version
        self.id = uuid4()
        self.now = NOON

    def later(self, seconds: float) -> "Device":
        self.now += timedelta(seconds=seconds)
        return self

    def sign_in(self) -> Decision:
        message = SessionRequested(
            user_id=self.user_id,
            session_id=self.id,
            refresh_hash=hash_of("t0"),
            client="a test",
            password_version=self.password_version,
        )
        return decide(an_asked(message, at=self.now), self.sessions)

    def refresh(self, presented: int, successor: int | None = None) -> Decision:
        message = RefreshSubmitted(
            user_id=self.user_id,
            session_id=self.id,
            presented_hash=hash_of(f"t{presented}"),
            successor_hash=hash_of(f"t{presented + 1 if successor is None else successor}"),
        )
        return decide(an_asked(message, at=self.now), self.sessions)

    def leave(self) -> Decision:
        message = SessionEndRequested(user_id=self.user_id, session_id=self.id)
        return decide(an_asked(message, at=self.now), self.sessions)

    @property
    def user_id(self) -> UUID:
        return self.sessions.user_id

    @property
    def end(self) -> tuple[datetime | None, SessionEnding | None]:
        session = self.sessions.sessions[self.id]
        return session.ended_at, session.ending

    def ended(self, ending: SessionEnding) -> SessionEnded:
        return SessionEnded(user_id=self.user_id, session_id=self.id, ending=ending)


@pytest.fixture
def device() -> Device:
    device = Device()
    device.sign_in()
    return device


def test_a_sign_in_starts_a_session() -> None:
    device = Device()

    assert device.sign_in().refusal is None

    session = device.sessions.sessions[device.id]
    assert (session.refresh_hash, session.previous_hash, session.client) == (hash_of("t0"), None, "a test")
    assert session.expires_at == NOON + timedelta(seconds=SESSION_LIFETIME_S)
    assert device.sessions.journal == [SessionStarted(user_id=device.user_id, session_id=device.id)]


def test_nobody_unregistered_gets_a_session() -> None:
    device = Device(Sessions(user_id=uuid4()))

    assert code_of(device.sign_in()) is RefusalCode.USER_NOT_FOUND
    assert device.sessions.journal == []


def test_a_session_id_serves_once(device: Device) -> None:
    assert code_of(device.sign_in()) is RefusalCode.SESSION_ID_TAKEN

    foreign = Device()
    foreign.sessions.taken_ids.add(foreign.id)
    assert code_of(foreign.sign_in()) is RefusalCode.SESSION_ID_TAKEN


def test_each_refresh_rotates_the_token_and_prolongs_the_session(device: Device) -> None:
    for number in range(3):
        assert device.later(3600).refresh(number).refusal is None

    session = device.sessions.sessions[device.id]
    assert (session.refresh_hash, session.previous_hash) == (hash_of("t3"), hash_of("t2"))
    assert session.expires_at == device.now + timedelta(seconds=SESSION_LIFETIME_S)
    assert len(device.sessions.journal) == 1


def test_a_lost_answer_is_given_again_within_the_grace(device: Device) -> None:
    device.refresh(0)

    assert device.later(REFRESH_GRACE_S).refresh(0).refusal is None

    assert device.sessions.sessions[device.id].refresh_hash == hash_of("t1")
    assert device.later(60).refresh(1).refusal is None


def test_the_grace_is_not_prolonged_by_asking_again(device: Device) -> None:
    device.refresh(0)
    device.later(REFRESH_GRACE_S).refresh(0)

    assert code_of(device.later(1).refresh(0)) is RefusalCode.REFRESH_REUSED


@pytest.mark.parametrize(
    ("after_s", "presented", "successor"),
    [
        (REFRESH_GRACE_S + 0.001, 1, 2),  # too late
        (0, 0, 1),  # older than the last one
        (0, 1, 7),  # another successor than it was given
        (0, 99, 100),  # never this session's
    ],
)
def test_a_token_presented_twice_ends_the_session(
    device: Device, after_s: float, presented: int, successor: int
) -> None:
    device.refresh(0)
    device.refresh(1)

    decision = device.later(after_s).refresh(presented, successor)

    assert code_of(decision) is RefusalCode.REFRESH_REUSED
    assert device.end == (device.now, SessionEnding.REFRESH_REUSED)
    assert device.sessions.journal[-1] == device.ended(SessionEnding.REFRESH_REUSED)
    assert code_of(device.refresh(2)) is RefusalCode.SESSION_ENDED
    assert len(device.sessions.journal) == 2


def test_two_at_once_with_one_token_get_one_successor(device: Device) -> None:
    first, second = device.refresh(0), device.refresh(0)

    assert (first.refusal, second.refusal) == (None, None)
    assert len(second.changes) == 0


def test_an_expired_session_cannot_be_refreshed(device: Device) -> None:
    assert code_of(device.later(SESSION_LIFETIME_S).refresh(0)) is RefusalCode.SESSION_ENDED
    assert device.end == (None, None)


def test_leaving_ends_the_session_once(device: Device) -> None:
    assert device.later(5).leave().refusal is None
    ended = device.end

    assert device.later(5).leave().refusal is None

    assert device.end == ended == (NOON + timedelta(seconds=5), SessionEnding.SIGNED_OUT)
    assert device.sessions.journal[1:] == [device.ended(SessionEnding.SIGNED_OUT)]
    assert code_of(device.refresh(0)) is RefusalCode.SESSION_ENDED


def test_leaving_does_not_rewrite_how_a_session_ended(device: Device) -> None:
    device.refresh(5)

    assert device.later(1).leave().refusal is None
    assert device.end == (NOON, SessionEnding.REFRESH_REUSED)


def test_what_is_not_the_users_is_not_found() -> None:
    device = Device()
    device.sessions.taken_ids.add(device.id)

    assert code_of(device.refresh(0)) is RefusalCode.SESSION_NOT_FOUND
    assert code_of(device.leave()) is RefusalCode.SESSION_NOT_FOUND
    assert device.sessions.journal == []
