"""Registrations: from a typed address to a verified one, by a code that is derived and never stored."""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from consumers.domain.decisions import Asked, Change, Decision
from consumers.domain.mails import MailIntent, MailKind
from consumers.domain.names import Names
from contracts.messages import JournalEntry, Submission
from contracts.money import UnknownCurrency, exponent_of
from contracts.refusals import Refusal, RefusalCode
from contracts.registrations import (
    ATTEMPTS_PER_ISSUE_MAX,
    CODE_LIFETIME_S,
    ISSUES_MAX,
    REGISTRATION_LIFETIME_S,
    RegistrationRequested,
    RegistrationVerified,
    VerificationCodeRequested,
    VerificationSubmitted,
)
from contracts.text import email_key, time_zones


class RegistrationState(StrEnum):
    """How far a registration is. Completed and expired are ends."""

    PENDING = "pending"
    VERIFIED = "verified"
    COMPLETED = "completed"
    EXPIRED = "expired"


@dataclass(slots=True)
class Registration:
    """One registration within one batch; ``state`` of ``None`` means that there is none by this id.

    ``known``: the address had a user when the registration began, so every code is wrong. ``proofs`` has what the right
    code proves, by issue, and ``password_hashes`` what was sealed, by operation id: both are attached by the
    repository, which holds the keys, so that deciders compare and compute nothing secret.
    """

    id: UUID
    names: Names = field(default_factory=Names)
    state: RegistrationState | None = None
    email: str = ""
    email_key: str = ""
    base_currency: str = ""
    time_zone: str = ""
    known: bool = False
    issue: int = 0
    attempts: int = 0
    code_expires_at: datetime | None = None
    created_at: datetime | None = None
    expires_at: datetime | None = None
    user_id: UUID | None = None
    proofs: Mapping[int, str] = field(default_factory=dict, repr=False)
    password_hashes: Mapping[UUID, str] = field(default_factory=dict, repr=False)
    journal: list[JournalEntry] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    mails: list[MailIntent] = field(default_factory=list)

    def apply(self, asked: Asked[Submission], decision: Decision) -> None:
        """Change as decided, so that the next record of this registration sees it."""
        for change in decision.changes:
            assert isinstance(change, RegistrationChange)  # deciders of registrations make no other
            change.apply_to(self)
            if isinstance(change, CodeIssued):
                kind = MailKind.ALREADY_REGISTERED if self.known else MailKind.VERIFICATION_CODE
                self.mails.append(MailIntent(self.id, change.issue, kind, asked.recorded_at, asked.traceparent))
            self.changes.append(change)
        self.journal.extend(decision.journal)


@dataclass(frozen=True, slots=True)
class RegistrationChange(Change):
    """A change of a registration; it knows what it changes."""

    def apply_to(self, registration: Registration) -> None:
        """Change the registration in place."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class RegistrationStarted(RegistrationChange):
    """A registration began."""

    email: str
    base_currency: str
    time_zone: str
    known: bool
    created_at: datetime

    def apply_to(self, registration: Registration) -> None:
        """Fill in the registration."""
        registration.state = RegistrationState.PENDING
        registration.email = self.email
        registration.email_key = email_key(self.email)
        registration.base_currency = self.base_currency
        registration.time_zone = self.time_zone
        registration.known = self.known
        registration.created_at = self.created_at
        registration.expires_at = self.created_at + timedelta(seconds=REGISTRATION_LIFETIME_S)


@dataclass(frozen=True, slots=True)
class CodeIssued(RegistrationChange):
    """A code began to live, and with it the one before died. It is to be mailed."""

    issue: int
    expires_at: datetime

    def apply_to(self, registration: Registration) -> None:
        """Raise the issue; its attempts are counted anew."""
        registration.issue = self.issue
        registration.code_expires_at = self.expires_at
        registration.attempts = 0


@dataclass(frozen=True, slots=True)
class CodeTried(RegistrationChange):
    """A wrong code was typed."""

    def apply_to(self, registration: Registration) -> None:
        """Count the attempt."""
        registration.attempts += 1


@dataclass(frozen=True, slots=True)
class AddressVerified(RegistrationChange):
    """The right code was typed."""

    def apply_to(self, registration: Registration) -> None:
        """Let username and password be chosen."""
        registration.state = RegistrationState.VERIFIED


def decide_registration(asked: Asked[RegistrationRequested], registration: Registration) -> Decision:
    """Decide whether a registration may begin.

    The same outcome and the same work whether the address has a user or not: only the mail tells.
    """
    message = asked.message
    if registration.state is not None:
        # Only after its operation was tidied away can the same request come here again.
        return Decision(refusal=refuse_ended(registration, asked.recorded_at))
    try:
        exponent_of(message.base_currency)
    except UnknownCurrency:
        return _refuse(RefusalCode.CURRENCY_UNKNOWN, "Give a currency of ISO 4217, as in EUR.", "base_currency")
    if message.time_zone not in time_zones():
        return _refuse(RefusalCode.TIME_ZONE_UNKNOWN, "Give a time zone of IANA, as in Europe/Berlin.", "time_zone")
    started = RegistrationStarted(
        email=message.email,
        base_currency=message.base_currency,
        time_zone=message.time_zone,
        known=registration.names.has_owner("email", email_key(message.email)),
        created_at=asked.recorded_at,
    )
    return Decision(changes=(started, _issue_code(1, asked.recorded_at)))


def decide_verification_code(asked: Asked[VerificationCodeRequested], registration: Registration) -> Decision:
    """Decide whether another code is mailed. The one before dies with it, however many tries it had left."""
    if refusal := refuse_ended(registration, asked.recorded_at):
        return Decision(refusal=refusal)
    if registration.state is RegistrationState.VERIFIED:
        return Decision(refusal=_already_verified())
    if registration.issue >= ISSUES_MAX:
        return _refuse(
            RefusalCode.ISSUES_SPENT, f"{ISSUES_MAX} codes were sent, which is all there are; start a new registration."
        )
    return Decision(changes=(_issue_code(registration.issue + 1, asked.recorded_at),))


def decide_verification(asked: Asked[VerificationSubmitted], registration: Registration) -> Decision:
    """Decide whether a typed code is the right one: of the newest issue, alive, and not guessed at too often."""
    if refusal := refuse_ended(registration, asked.recorded_at):
        return Decision(refusal=refusal)
    if registration.state is RegistrationState.VERIFIED:
        return Decision(refusal=_already_verified())
    if registration.code_expires_at is None or asked.recorded_at >= registration.code_expires_at:
        minutes = CODE_LIFETIME_S // 60
        return _refuse(RefusalCode.CODE_EXPIRED, f"A code works for {minutes} minutes; ask for another one.", "code")
    if wrong := refuse_wrong_code(registration, asked.message.proof, after_the_last="ask for another code"):
        return wrong
    return Decision(changes=(AddressVerified(),), journal=(RegistrationVerified(registration_id=registration.id),))


def refuse_wrong_code(registration: Registration, proof: str, *, after_the_last: str) -> Decision | None:
    """Refuse, and count, a code that is not the newest issue's or was tried too often; ``None`` where it is right.

    ``after_the_last`` says what to do when no try is left.
    """
    if registration.attempts >= ATTEMPTS_PER_ISSUE_MAX:
        return _refuse(RefusalCode.CODE_SPENT, f"This code was tried too often; {after_the_last}.", "code")
    right = hmac.compare_digest(registration.proofs.get(registration.issue, ""), proof)
    if right and not registration.known:
        return None
    left = ATTEMPTS_PER_ISSUE_MAX - registration.attempts - 1
    advice = f"tries left: {left}" if left else f"that was the last try; {after_the_last}"
    refusal = Refusal(RefusalCode.CODE_WRONG, f"That is not the code of the newest mail; {advice}.", "code")
    return Decision(refusal=refusal, changes=(CodeTried(),))


def refuse_ended(registration: Registration, moment: datetime) -> Refusal | None:
    """Say why nothing more can be done with a registration, ``None`` where something can.

    Its end counts from the moment it is reached, not from when the expiry job comes by.
    """
    if registration.state is None:
        return Refusal(RefusalCode.REGISTRATION_NOT_FOUND, "There is no such registration; start a new one.")
    if registration.state is RegistrationState.COMPLETED:
        return Refusal(RefusalCode.REGISTRATION_COMPLETED, "This registration has its user; sign in.")
    if (
        registration.state is RegistrationState.EXPIRED
        or registration.expires_at is None
        or moment >= registration.expires_at
    ):
        hours = REGISTRATION_LIFETIME_S // 3600
        return Refusal(RefusalCode.REGISTRATION_EXPIRED, f"It was not finished within {hours} hours; start a new one.")
    return None


def _issue_code(issue: int, moment: datetime) -> CodeIssued:
    return CodeIssued(issue=issue, expires_at=moment + timedelta(seconds=CODE_LIFETIME_S))


def _already_verified() -> Refusal:
    return Refusal(RefusalCode.ADDRESS_VERIFIED, "The address is verified already; choose a username and password.")


def _refuse(code: RefusalCode, detail: str, field: str | None = None) -> Decision:
    return Decision(refusal=Refusal(code, detail, field))
