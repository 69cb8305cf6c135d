"""Passwords: whoever is signed in, and types the current one, chooses another."""

from litestar import put
from litestar.di import NamedDependency
from litestar.params import JSONBody

from contracts.envelope import operation_id
from contracts.messages import OperationState
from contracts.passwords import PasswordChangeSubmitted
from contracts.refusals import RefusalCode
from contracts.text import name_key
from gateway.errors import PasswordWrong, Refused
from gateway.fields import Body, NewPassword, TypedPassword
from gateway.passwords import refuse_guessable, refuse_same
from gateway.queries.users import find_password
from gateway.requests import WRITE, JsonRequest, asking_of, client_of
from gateway.routes.answers import Accepted, JsonAnswer, accepted, answer_of, no_content, problems, settled
from gateway.services import Services
from gateway.settings import GatewaySettings
from gateway.tokens import Principal
from infra.secrets import new_password_binding, seal


class NewPasswords(Body):
    """The current password, and the one to take its place."""

    current_password: TypedPassword
    new_password: NewPassword

    def to_event(
        self, principal: Principal, password_version: int, password_hash: str, keys: GatewaySettings
    ) -> PasswordChangeSubmitted:
        """Return the message, with the new password's hash sealed for the identity consumer."""
        binding = new_password_binding(principal.user_id, password_version)
        return PasswordChangeSubmitted(
            user_id=principal.user_id,
            session_id=principal.session_id,
            password_version=password_version,
            sealed_password_hash=seal(keys.key_seal, password_hash, bound_to=binding),
        )


@put(
    "/auth/password",
    status_code=202,
    responses={
        202: answer_of(Accepted, "Accepted; ask for the operation at Location."),
        204: no_content("Changed (with `Prefer: wait`)."),
        **problems(400, 401, 403, 413, 415, 422, 429, 503),
    },
    opt=WRITE,
    tags=["sessions"],
)
async def change_password(
    request: JsonRequest,
    data: JSONBody[NewPasswords],
    services: NamedDependency[Services],
) -> JsonAnswer:
    """Change your password; every other session of yours ends, and a mail tells you.

    Tries count with those of signing in. Of two changes made on one password only the first is made.
    """
    asking, principal = asking_of(request), request.user
    await services.limits.take("sign-in", subject=name_key(principal.username), client=client_of(request))
    refuse_guessable(data.new_password, principal.username, field="new_password")
    refuse_same(data.current_password, data.new_password)
    stored = await find_password(services.users, principal.user_id)
    if stored is None:
        raise PasswordWrong
    is_current = await services.passwords.matches(data.current_password, stored.hash)
    # Hashed whether it was right or not: both cost the same.
    password_hash = await services.passwords.hash(data.new_password)
    event = data.to_event(principal, stored.version, password_hash, services.settings)
    if not is_current:
        # Right a moment ago, where this is the same request once more because its answer was lost.
        asked_id = operation_id(event, principal.user_id, asking.key)
        earlier = await services.identity_outcomes.find(asked_id) if asking.key_given else None
        is_done = earlier is not None and earlier.state is OperationState.RECORDED
        if not (is_done and await services.passwords.matches(data.new_password, stored.hash)):
            raise PasswordWrong
    submitted = await services.publisher.submit(event, asking, by=principal)
    if is_current and submitted.replayed:
        # The message has nothing of a password that two could be told apart by.
        raise Refused(
            RefusalCode.IDEMPOTENCY_KEY_REUSED,
            "This idempotency key was used for another change of the password. Use a new key.",
            ["new_password"],
        )
    if submitted.recorded:
        return settled(None, submitted, asking, status=204)
    body = Accepted(operation_id=submitted.operation_id, status=submitted.status, idempotency_key=asking.key)
    return accepted(body, submitted, asking)
