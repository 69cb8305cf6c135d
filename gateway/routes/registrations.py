"""Registrations: from an e-mail address to a user. A known address is answered like an unknown one."""

from uuid import UUID

import msgspec
from litestar import post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from contracts.registrations import RegistrationRequested, VerificationCodeRequested, VerificationSubmitted
from contracts.text import email_key, name_key
from contracts.users import UserSubmitted
from gateway.auth import OPEN_TO_ALL
from gateway.fields import Body, Code, Email, HomeCurrency, HomeZone, NewPassword, Username
from gateway.passwords import refuse_guessable
from gateway.publishing import Submitted
from gateway.queries.registrations import find_email_key
from gateway.requests import WRITE, Asking, JsonRequest, asking_of, client_of
from gateway.routes.answers import API, Accepted, JsonAnswer, accepted, answer_of, problems, settled
from gateway.services import Services
from gateway.settings import GatewaySettings
from infra.secrets import SecretKey, password_binding, proof_of, registration_id, seal


class NewRegistration(Body):
    """An e-mail address to register, and what the personal ledger is to be kept in."""

    email: Email
    base_currency: HomeCurrency
    time_zone: HomeZone

    def to_event(self, registration_id: UUID) -> RegistrationRequested:
        """Return the message."""
        return RegistrationRequested(
            registration_id=registration_id,
            email=self.email,
            base_currency=self.base_currency,
            time_zone=self.time_zone,
        )


class TypedCode(Body):
    """The code from the mail."""

    code: Code

    def to_event(self, registration_id: UUID, key: SecretKey) -> VerificationSubmitted:
        """Return the message, with a proof in place of the code."""
        return VerificationSubmitted(registration_id=registration_id, proof=proof_of(key, registration_id, self.code))


class NewUser(Body):
    """The name and password somebody chose, and the code again: knowing the registration's id is not enough."""

    code: Code
    username: Username
    password: NewPassword

    def to_event(self, registration_id: UUID, password_hash: str, keys: GatewaySettings) -> UserSubmitted:
        """Return the message, with a proof of the code, and the password's hash sealed for the identity consumer."""
        binding = password_binding(registration_id, name_key(self.username))
        return UserSubmitted(
            registration_id=registration_id,
            proof=proof_of(keys.key_proof, registration_id, self.code),
            username=self.username,
            sealed_password_hash=seal(keys.key_seal, password_hash, bound_to=binding),
        )


class AcceptedRegistration(Accepted):
    """A step of a registration on its way; keep the id for the next steps."""

    registration_id: UUID


class Verified(msgspec.Struct):
    """The address is proven."""

    registration_id: UUID
    status: str


class RegisteredUser(msgspec.Struct):
    """A user, who may sign in now."""

    user_id: UUID
    username: str


_ACCEPTED = answer_of(AcceptedRegistration, "Accepted; ask for the operation at Location.")
_PROBLEMS = (400, 413, 415, 422, 429, 503)


@post(
    "/registrations",
    status_code=202,
    responses={202: _ACCEPTED, **problems(*_PROBLEMS)},
    opt=OPEN_TO_ALL | WRITE,
    tags=["registrations"],
)
async def start_registration(
    request: JsonRequest,
    data: JSONBody[NewRegistration],
    services: NamedDependency[Services],
) -> JsonAnswer:
    """Register an e-mail address; a code is mailed to it.

    The answer does not depend on whether the address is known, and does not wait: what the mail says is for its owner.
    """
    asking = asking_of(request)
    address = email_key(data.email)
    await services.limits.take("register", subject=address, client=client_of(request))
    asking.wait_s = 0
    event = data.to_event(registration_id(services.settings.key_proof, address, asking.key))
    return _accepted(event.registration_id, await services.publisher.submit(event, asking), asking)


@post(
    "/registrations/{registration_id:uuid}/resend",
    status_code=202,
    responses={202: _ACCEPTED, **problems(400, 422, 429, 503)},
    opt=OPEN_TO_ALL | WRITE,
    tags=["registrations"],
)
async def resend_code(
    request: JsonRequest,
    registration_id: FromPath[UUID],
    services: NamedDependency[Services],
) -> JsonAnswer:
    """Ask for another code; the one before no longer works."""
    asking = asking_of(request)
    await services.limits.take("resend", subject=await _subject(services, registration_id), client=client_of(request))
    submitted = await services.publisher.submit(VerificationCodeRequested(registration_id=registration_id), asking)
    return _accepted(registration_id, submitted, asking)


@post(
    "/registrations/{registration_id:uuid}/verify",
    status_code=202,
    responses={202: _ACCEPTED, 200: answer_of(Verified, "Verified (with `Prefer: wait`)."), **problems(*_PROBLEMS)},
    opt=OPEN_TO_ALL | WRITE,
    tags=["registrations"],
)
async def verify_registration(
    request: JsonRequest,
    registration_id: FromPath[UUID],
    data: JSONBody[TypedCode],
    services: NamedDependency[Services],
) -> JsonAnswer:
    """Prove the e-mail address with the mailed code."""
    asking = asking_of(request)
    await services.limits.take("verify", subject=await _subject(services, registration_id), client=client_of(request))
    submitted = await services.publisher.submit(data.to_event(registration_id, services.settings.key_proof), asking)
    if submitted.recorded:
        return settled(Verified(registration_id, "verified"), submitted, asking, status=200)
    return _accepted(registration_id, submitted, asking)


@post(
    "/registrations/{registration_id:uuid}/user",
    status_code=202,
    responses={
        202: _ACCEPTED,
        201: answer_of(RegisteredUser, "Registered (with `Prefer: wait`)."),
        200: answer_of(RegisteredUser, "Registered earlier under the same key (with `Prefer: wait`)."),
        **problems(*_PROBLEMS),
    },
    opt=OPEN_TO_ALL | WRITE,
    tags=["registrations"],
)
async def choose_user(
    request: JsonRequest,
    registration_id: FromPath[UUID],
    data: JSONBody[NewUser],
    services: NamedDependency[Services],
) -> JsonAnswer:
    """Choose username and password of a verified registration, with the mailed code once more."""
    asking = asking_of(request)
    await services.limits.take("user", subject=str(registration_id), client=client_of(request))
    refuse_guessable(data.password, data.username)
    password_hash = await services.passwords.hash(data.password)
    event = data.to_event(registration_id, password_hash, services.settings)
    submitted = await services.publisher.submit(event, asking)
    if submitted.recorded:
        return settled(RegisteredUser(submitted.resource_id, data.username), submitted, asking, status=201)
    return _accepted(registration_id, submitted, asking)


async def _subject(services: Services, registration_id: UUID) -> str:
    """Return whose tries are counted: an address's, however often it was registered; without one, the id's."""
    return await find_email_key(services.users, registration_id) or str(registration_id)


def _accepted(registration_id: UUID, submitted: Submitted, asking: Asking) -> JsonAnswer:
    body = AcceptedRegistration(
        operation_id=submitted.operation_id,
        status=submitted.status,
        idempotency_key=asking.key,
        registration_id=registration_id,
    )
    operations = f"{API}/registrations/{registration_id}/operations"
    return accepted(body, submitted, asking, operations=operations)
