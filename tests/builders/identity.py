"""Identity's submissions as deciders are asked them, and registrations at any stage, without a database."""

import os
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from consumers.deciders import IDENTITY_DECIDERS
from consumers.domain.decisions import Asked, Decision
from consumers.domain.names import Names
from consumers.domain.registrations import Registration
from consumers.domain.sessions import Sessions
from consumers.settings import IdentityKeys
from contracts.envelope import operation_id, request_hash, to_value
from contracts.messages import Source, Submission
from contracts.refusals import RefusalCode
from contracts.registrations import (
    ISSUES_MAX,
    RegistrationRequested,
    VerificationCodeRequested,
    VerificationSubmitted,
)
from contracts.text import email_key, name_key
from contracts.users import UserSubmitted
from infra.secrets import derive_code, password_binding, proof_of, seal

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
PASSWORD_HASH = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA"


def some_keys() -> IdentityKeys:
    """Return new keys of the identity consumer."""
    names = {"code": _a_key(), "proof": _a_key(), "seal": f"test-1:{_a_key()}"}
    return IdentityKeys(**names)  # type: ignore[arg-type]  # as text, which is how the environment gives them


def _a_key() -> str:
    return b64encode(os.urandom(32)).decode()


KEYS = some_keys()


def an_asked(message: Submission, *, at: datetime = NOON, key: str | None = None, **changes: Any) -> Asked[Any]:
    """Return a submission as a decider is asked it."""
    key = key or str(uuid4())
    user_id: UUID | None = getattr(message, "user_id", None)
    fields: dict[str, Any] = {
        "message": message,
        "user_id": user_id,
        "operation_id": operation_id(message, user_id, key),
        "idempotency_key": key,
        "request_hash": request_hash(to_value(message), message.unhashed),
        "submitted_at": at,
        "recorded_at": at,
        "source": Source(topic="identity.submissions", partition=0, offset=0),
    }
    return Asked(**fields | changes)


def decide(asked: Asked[Any], state: Registration | Sessions) -> Decision:
    """Decide and apply, as delivery does."""
    decision = IDENTITY_DECIDERS[type(asked.message)](asked, state)
    state.apply(asked, decision)
    return decision


def a_request(registration_id: UUID, *, email: str = "ann@example.org", **fields: Any) -> RegistrationRequested:
    """Return somebody's wish to register."""
    home = {"base_currency": "EUR", "time_zone": "Europe/Berlin"} | fields
    return RegistrationRequested(registration_id=registration_id, email=email, **home)


def a_verification(registration_id: UUID, letters: str, keys: IdentityKeys = KEYS) -> VerificationSubmitted:
    """Return typed letters as the gateway sends them."""
    return VerificationSubmitted(registration_id=registration_id, proof=proof_of(keys.proof, registration_id, letters))


def a_user(
    registration_id: UUID, username: str = "ann", keys: IdentityKeys = KEYS, *, letters: str | None = None
) -> UserSubmitted:
    """Return a chosen username and password as the gateway sends them, with the first mail's code or other letters."""
    binding = password_binding(registration_id, name_key(username))
    return UserSubmitted(
        registration_id=registration_id,
        proof=proof_of(keys.proof, registration_id, letters or derive_code(keys.code, registration_id, 1)),
        username=username,
        sealed_password_hash=seal(keys.seal, PASSWORD_HASH, bound_to=binding),
    )


@dataclass
class Applicant:
    """Somebody who registers, driving the deciders; each step returns its decision."""

    email: str = "ann@example.org"
    names: Names = field(default_factory=Names)
    keys: IdentityKeys = KEYS
    now: datetime = NOON
    id: UUID = field(default_factory=uuid4)
    registration: Registration = field(init=False)

    def __post_init__(self) -> None:
        proofs = {issue: proof_of(self.keys.proof, self.id, self.code(issue)) for issue in range(1, ISSUES_MAX + 1)}
        self.registration = Registration(id=self.id, names=self.names, proofs=proofs)

    def code(self, issue: int = 1) -> str:
        """The code a mail of this issue has."""
        return derive_code(self.keys.code, self.id, issue)

    def later(self, **span: float) -> "Applicant":
        """Let time pass."""
        self.now += timedelta(**span)
        return self

    def request(self, **fields: Any) -> Decision:
        return self._decide(a_request(self.id, email=self.email, **fields))

    def resend(self) -> Decision:
        return self._decide(VerificationCodeRequested(registration_id=self.id))

    def type(self, letters: str) -> Decision:
        return self._decide(a_verification(self.id, letters, self.keys))

    def choose(self, username: str = "ann", *, letters: str | None = None) -> Decision:
        """Choose a username that nobody outside this batch has claimed; the code is right unless other letters are."""
        for name in (("username", name_key(username)), ("email", email_key(self.email))):
            if name not in self.names.taken:
                self.names.claimed.add(name)
        message = a_user(self.id, username, self.keys, letters=letters or self.code(max(1, self.registration.issue)))
        asked = an_asked(message, at=self.now)
        self.registration.password_hashes = {asked.operation_id: PASSWORD_HASH}
        return decide(asked, self.registration)

    def _decide(self, message: Submission) -> Decision:
        return decide(an_asked(message, at=self.now), self.registration)


def verified(email: str = "ann@example.org", **fields: Any) -> Applicant:
    """Return somebody whose address is verified."""
    applicant = Applicant(email, **fields)
    applicant.request()
    applicant.type(applicant.code())
    return applicant


def code_of(decision: Decision) -> RefusalCode | None:
    """Return why a decision refused, ``None`` where it did not."""
    return decision.refusal.code if decision.refusal else None


def wrong(code: str) -> str:
    """Return letters that are not the code."""
    return "".join("B" if letter == "A" else "A" for letter in code)


def columns(row: Mapping[str, Any], *names: str) -> tuple[Any, ...]:
    """Return some columns of a row."""
    return tuple(row[name] for name in names)
