"""Sessions: started by a sign-in, kept alive by refresh tokens that each work once, ended by leaving, reuse or time."""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID

from consumers.domain.decisions import Asked, Change, Decision
from consumers.domain.mails import UserMail
from contracts.messages import JournalEntry, Submission
from contracts.refusals import Refusal, RefusalCode
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


@dataclass(frozen=True, slots=True)
class Session:
    """A session as it stands; ``refresh_hash`` (hex) is of the token to come next, ``previous_hash`` of the last."""

    id: UUID
    client: str
    refresh_hash: str
    previous_hash: str | None
    started_at: datetime
    refreshed_at: datetime
    expires_at: datetime
    ended_at: datetime | None = None
    ending: SessionEnding | None = None


@dataclass(slots=True)
class Sessions:
    """One user's sessions within one batch: those its records name, and all open ones where the password is to change.

    ``registered``: there is a user by this id, whose password has this version. ``taken_ids`` are sessions of other
    users, ``changed`` the ids of those to be written; ``mails`` are to be sent to the user. ``password_hashes`` has
    what was sealed, by operation id, attached by the repository, which holds the key; ``password_hash`` is the one to
    write.
    """

    user_id: UUID
    registered: bool = False
    password_version: int = 1
    sessions: dict[UUID, Session] = field(default_factory=dict)
    taken_ids: set[UUID] = field(default_factory=set)
    journal: list[JournalEntry] = field(default_factory=list)
    changed: set[UUID] = field(default_factory=set)
    mails: list[UserMail] = field(default_factory=list)
    password_hashes: Mapping[UUID, str] = field(default_factory=dict, repr=False)
    password_hash: str | None = field(default=None, repr=False)

    def apply(self, asked: Asked[Submission], decision: Decision) -> None:
        """Change as decided, so that the next record of this user sees it."""
        for change in decision.changes:
            assert isinstance(change, UserChange)  # deciders of what is a user's make no other
            change.apply_to(self)
        self.journal.extend(decision.journal)


@dataclass(frozen=True, slots=True)
class UserChange(Change):
    """A change of what is a user's; it knows what it changes."""

    def apply_to(self, sessions: Sessions) -> None:
        """Change the user's state in place."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class SessionChanged(UserChange):
    """A session began or changed; this is how it stands now."""

    session: Session

    def apply_to(self, sessions: Sessions) -> None:
        """Replace the session, or add it."""
        sessions.sessions[self.session.id] = self.session
        sessions.changed.add(self.session.id)


def decide_session(asked: Asked[SessionRequested], sessions: Sessions) -> Decision:
    """Decide whether a session begins; the gateway has checked the password."""
    message = asked.message
    if not sessions.registered:
        return _refuse(RefusalCode.USER_NOT_FOUND, "There is no such user; register first.")
    if message.password_version not in (None, sessions.password_version):
        return _refuse(RefusalCode.PASSWORD_CHANGED, "The password was changed just now; sign in with the new one.")
    if message.session_id in sessions.sessions or message.session_id in sessions.taken_ids:
        return _refuse(RefusalCode.SESSION_ID_TAKEN, "There is a session by this id already; sign in again.")
    session = Session(
        id=message.session_id,
        client=message.client,
        refresh_hash=message.refresh_hash,
        previous_hash=None,
        started_at=asked.recorded_at,
        refreshed_at=asked.recorded_at,
        expires_at=_expiry(asked.recorded_at),
    )
    started = SessionStarted(user_id=message.user_id, session_id=message.session_id)
    return Decision(changes=(SessionChanged(session),), journal=(started,))


def decide_refresh(asked: Asked[RefreshSubmitted], sessions: Sessions) -> Decision:
    """Decide whether a refresh token may be exchanged for its successor.

    Rotation is compare-and-set. A token presented again within the grace gets the same successor again: its client lost
    the answer. Presented later, it is in two hands, and nobody can say which is the thief's: the session ends.
    """
    message = asked.message
    session = sessions.sessions.get(message.session_id)
    if session is None:
        return _refuse(RefusalCode.SESSION_NOT_FOUND, "You have no such session; sign in.")
    if session.ended_at is not None or asked.recorded_at >= session.expires_at:
        return _refuse(RefusalCode.SESSION_ENDED, "This session is over; sign in again.")
    if hmac.compare_digest(message.presented_hash, session.refresh_hash):
        rotated = replace(
            session,
            refresh_hash=message.successor_hash,
            previous_hash=message.presented_hash,
            refreshed_at=asked.recorded_at,
            expires_at=_expiry(asked.recorded_at),
        )
        return Decision(changes=(SessionChanged(rotated),))
    if _is_repeated(message, session, asked.recorded_at):
        return Decision()
    refusal = Refusal(
        RefusalCode.REFRESH_REUSED,
        "This refresh token was used before, so somebody else may have it: the session was ended; sign in again.",
    )
    return _end(session, SessionEnding.REFRESH_REUSED, asked, refusal)


def decide_session_end(asked: Asked[SessionEndRequested], sessions: Sessions) -> Decision:
    """Decide to end a session; one that is over already stays as it ended, which is what was asked for."""
    session = sessions.sessions.get(asked.message.session_id)
    if session is None:
        return _refuse(RefusalCode.SESSION_NOT_FOUND, "You have no such session.")
    if session.ended_at is not None:
        return Decision()
    return _end(session, SessionEnding.SIGNED_OUT, asked)


def end_sessions(
    sessions: Sessions, ending: SessionEnding, moment: datetime, *, but: UUID
) -> tuple[list[SessionChanged], list[SessionEnded]]:
    """Return what ends all of a user's sessions but one, and the entries that say so, in the order of their ids."""
    open_ones = [each for each in sessions.sessions.values() if each.ended_at is None and each.id != but]
    open_ones.sort(key=lambda session: session.id.bytes)
    changes = [SessionChanged(replace(each, ended_at=moment, ending=ending)) for each in open_ones]
    return changes, [SessionEnded(user_id=sessions.user_id, session_id=each.id, ending=ending) for each in open_ones]


def _is_repeated(message: RefreshSubmitted, session: Session, moment: datetime) -> bool:
    return (
        session.previous_hash is not None
        and hmac.compare_digest(message.presented_hash, session.previous_hash)
        and hmac.compare_digest(message.successor_hash, session.refresh_hash)
        and moment - session.refreshed_at <= timedelta(seconds=REFRESH_GRACE_S)
    )


def _end(
    session: Session,
    ending: SessionEnding,
    asked: Asked[RefreshSubmitted] | Asked[SessionEndRequested],
    refusal: Refusal | None = None,
) -> Decision:
    ended = replace(session, ended_at=asked.recorded_at, ending=ending)
    entry = SessionEnded(user_id=asked.message.user_id, session_id=session.id, ending=ending)
    return Decision(refusal=refusal, changes=(SessionChanged(ended),), journal=(entry,))


def _expiry(moment: datetime) -> datetime:
    return moment + timedelta(seconds=SESSION_LIFETIME_S)


def _refuse(code: RefusalCode, detail: str) -> Decision:
    return Decision(refusal=Refusal(code, detail))
