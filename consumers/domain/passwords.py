"""Passwords: whether another one takes the place of the one that was checked, and who is signed out by it."""

from dataclasses import dataclass, field
from uuid import uuid5

from consumers.domain.decisions import Asked, Decision
from consumers.domain.letters import LetterDue
from consumers.domain.mails import PasswordMail
from consumers.domain.sessions import Sessions, UserChange, end_sessions
from contracts.passwords import PasswordChanged, PasswordChangeSubmitted
from contracts.refusals import Refusal, RefusalCode
from contracts.sessions import SessionEnding


@dataclass(frozen=True, slots=True)
class PasswordReplaced(UserChange):
    """The user has another password."""

    version: int
    password_hash: str = field(repr=False)

    def apply_to(self, sessions: Sessions) -> None:
        """Remember the hash to write; whoever was checked against the one before is too late from here on."""
        sessions.password_version = self.version
        sessions.password_hash = self.password_hash


def decide_password_change(asked: Asked[PasswordChangeSubmitted], sessions: Sessions) -> Decision:
    """Decide whether a new password replaces the one that the gateway has checked.

    Compare-and-set by the password's version: of two changes made on one password the first wins, and the second hears
    of it. Every session but the one that asks ends with the old password, and the user is told by mail.
    """
    message = asked.message
    if not sessions.registered:
        return _refuse(RefusalCode.USER_NOT_FOUND, "There is no such user; register first.")
    session = sessions.sessions.get(message.session_id)
    if session is None or session.ended_at is not None or asked.recorded_at >= session.expires_at:
        return _refuse(RefusalCode.SESSION_ENDED, "This session is over; sign in again.")
    if message.password_version != sessions.password_version:
        return _refuse(
            RefusalCode.PASSWORD_CHANGED,
            "The password was changed meanwhile, so this change was not made; try again with the new one.",
        )
    version = sessions.password_version + 1
    ended, entries = end_sessions(sessions, SessionEnding.PASSWORD_CHANGED, asked.recorded_at, but=session.id)
    mail = PasswordMail(
        id=uuid5(asked.operation_id, "letter"),
        user_id=message.user_id,
        due_at=asked.recorded_at,
        traceparent=asked.traceparent,
    )
    replaced = PasswordReplaced(version, sessions.password_hashes[asked.operation_id])
    return Decision(
        changes=(replaced, *ended, LetterDue(mail)),
        journal=(PasswordChanged(user_id=message.user_id, password_version=version), *entries),
    )


def _refuse(code: RefusalCode, detail: str) -> Decision:
    return Decision(refusal=Refusal(code, detail))
