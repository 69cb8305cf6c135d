"""Users: a verified registration chooses its username and password."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from consumers.domain.decisions import Asked, Decision
from consumers.domain.registrations import (
    Registration,
    RegistrationChange,
    RegistrationState,
    refuse_ended,
    refuse_wrong_code,
)
from contracts.refusals import Refusal, RefusalCode
from contracts.text import name_key
from contracts.users import UserRegistered, UserSubmitted


@dataclass(frozen=True, slots=True)
class UserCreated(RegistrationChange):
    """A registration became a user."""

    user_id: UUID
    registration_id: UUID
    username: str
    username_key: str
    email: str
    email_key: str
    password_hash: str
    base_currency: str
    time_zone: str
    registered_at: datetime

    def __repr__(self) -> str:
        """Show which user it is, and nothing of what is theirs."""
        return f"UserCreated(user_id={self.user_id})"

    def apply_to(self, registration: Registration) -> None:
        """Complete the registration and give it its names."""
        registration.state = RegistrationState.COMPLETED
        registration.user_id = self.user_id
        registration.names.give("username", self.username_key, registration.id)
        registration.names.give("email", self.email_key, registration.id)


def decide_user(asked: Asked[UserSubmitted], registration: Registration) -> Decision:
    """Decide whether a verified registration becomes a user of this name.

    A taken address is told apart here only: whoever comes this far has proven that it is theirs. The code counts for as
    long as the registration does: it was typed in time once.
    """
    message = asked.message
    if refusal := refuse_ended(registration, asked.recorded_at):
        return Decision(refusal=refusal)
    if registration.state is not RegistrationState.VERIFIED:
        return _refuse(RefusalCode.REGISTRATION_NOT_VERIFIED, "Type the mailed code first.")
    if wrong := refuse_wrong_code(registration, message.proof, after_the_last="start a new registration"):
        return wrong
    if not registration.names.is_free("email", registration.email_key):
        return _refuse(RefusalCode.EMAIL_TAKEN, "This address has a user already; sign in.")
    username_key = name_key(message.username)
    if not registration.names.is_free("username", username_key):
        return _refuse(RefusalCode.USERNAME_TAKEN, "Somebody has this username; choose another one.", "username")
    user = UserCreated(
        user_id=message.resource_id(asked.operation_id),
        registration_id=registration.id,
        username=message.username,
        username_key=username_key,
        email=registration.email,
        email_key=registration.email_key,
        password_hash=registration.password_hashes[asked.operation_id],
        base_currency=registration.base_currency,
        time_zone=registration.time_zone,
        registered_at=asked.recorded_at,
    )
    return Decision(changes=(user,), journal=(UserRegistered(user_id=user.user_id, registration_id=registration.id),))


def _refuse(code: RefusalCode, detail: str, field: str | None = None) -> Decision:
    return Decision(refusal=Refusal(code, detail, field))
