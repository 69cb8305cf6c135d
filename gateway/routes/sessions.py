"""Sessions: signing in, staying in and leaving; who a bearer is; the keys tokens are verified with."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

import msgspec
from litestar import delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from contracts.ledgers import personal_ledger_id
from contracts.sessions import ACCESS_TOKEN_LIFETIME_S, RefreshSubmitted, SessionEndRequested, SessionRequested
from contracts.text import name_key
from gateway.auth import ABOUT_IDENTITY, OPEN_TO_ALL
from gateway.errors import Refused, SignInRefused, show_as_unauthenticated
from gateway.fields import Body, ClientName, RefreshToken, TypedPassword, TypedUsername
from gateway.queries.sessions import Session, find_person_of, list_sessions
from gateway.queries.users import Person, find_by_username
from gateway.requests import WAIT_S_MAX, WRITE, Asking, JsonRequest, asking_of, client_of
from gateway.routes.answers import Accepted, JsonAnswer, accepted, answer_of, no_content, problems, settled
from gateway.services import Services
from gateway.tokens import Principal, Tokens
from infra.secrets import first_refresh_token, next_refresh_token, session_of, token_hash

#: Less than half of ``REFRESH_GRACE_S``: who hears 503 and presents the token again is decided within the grace, even
#: where the first one was recorded after all.
REFRESH_WAIT_S = 4


class Credentials(Body):
    """A username and its password."""

    username: TypedUsername
    password: TypedPassword
    client: ClientName = ""

    def to_event(
        self, user_id: UUID, session_id: UUID, refresh_token: str, *, password_version: int
    ) -> SessionRequested:
        """Return the message, with the hash of the first refresh token, and which password was checked."""
        return SessionRequested(
            user_id=user_id,
            session_id=session_id,
            refresh_hash=token_hash(refresh_token).hex(),
            client=self.client,
            password_version=password_version,
        )


class PresentedToken(Body):
    """A refresh token, which works once."""

    refresh_token: RefreshToken


class SignedInUser(msgspec.Struct):
    """Who is signed in."""

    id: UUID
    username: str
    ledger_id: UUID
    base_currency: str
    time_zone: str


class SignedIn(msgspec.Struct, kw_only=True):
    """Tokens of a session: the access token for `Authorization: Bearer`, the refresh token for the next one."""

    access_token: str
    token_type: str
    expires_in: int
    refresh_token: str
    session_id: UUID
    user: SignedInUser


class SessionList(msgspec.Struct):
    """Your open sessions, the last used first."""

    items: list[Session]


class Bearer(msgspec.Struct, kw_only=True):
    """Who the bearer of a token is."""

    user_id: UUID
    username: str
    session_id: UUID
    ledger_id: UUID
    base_currency: str
    time_zone: str
    expires_at: datetime


class KeySet(msgspec.Struct):
    """Public keys (RFC 7517)."""

    keys: list[dict[str, str]]


@post(
    "/sessions",
    status_code=201,
    responses={201: answer_of(SignedIn, "Signed in."), **problems(400, 401, 413, 415, 422, 429, 503)},
    opt=OPEN_TO_ALL,
    tags=["sessions"],
)
async def sign_in(
    request: JsonRequest,
    data: JSONBody[Credentials],
    services: NamedDependency[Services],
) -> JsonAnswer:
    """Sign in: check the password, record a session, hand out its tokens."""
    await services.limits.take("sign-in", subject=name_key(data.username), client=client_of(request))
    found = await find_by_username(services.users, data.username)
    person, password = found or (None, None)
    # A stranger costs as much time as somebody with a wrong password.
    matches = await services.passwords.matches(data.password, password.hash if password else None)
    if person is None or password is None or not matches:
        raise SignInRefused("credentials_wrong", "Username or password is wrong; try again.", "password")
    session_id = uuid4()
    refresh_token = first_refresh_token(services.settings.key_refresh, session_id)
    event = data.to_event(person.id, session_id, refresh_token, password_version=password.version)
    await services.publisher.submit_and_know(event, Asking(wait_s=WAIT_S_MAX), by=_about_to_sign_in(person, session_id))
    return _signed_in(person, session_id, refresh_token, services.tokens, status=201)


@post(
    "/sessions/refresh",
    status_code=200,
    exception_handlers={Refused: show_as_unauthenticated},
    responses={200: answer_of(SignedIn, "Signed in for longer."), **problems(400, 401, 413, 415, 503)},
    opt=OPEN_TO_ALL,
    tags=["sessions"],
)
async def refresh_session(
    data: JSONBody[PresentedToken],
    services: NamedDependency[Services],
) -> JsonAnswer:
    """Exchange a refresh token for its successor and a new access token."""
    session_id = session_of(services.settings.key_refresh, data.refresh_token)
    person = await find_person_of(services.users, session_id) if session_id else None
    if session_id is None or person is None:
        raise SignInRefused("session_ended", "This refresh token is not good any more; sign in.", "refresh_token")
    successor = next_refresh_token(services.settings.key_refresh, data.refresh_token)
    event = RefreshSubmitted(
        user_id=person.id,
        session_id=session_id,
        presented_hash=token_hash(data.refresh_token).hex(),
        successor_hash=token_hash(successor).hex(),
    )
    # A key of its own each time: presenting a token again must be decided again, or its reuse would never be seen.
    asking = Asking(wait_s=REFRESH_WAIT_S)
    await services.publisher.submit_and_know(event, asking, by=_about_to_sign_in(person, session_id))
    return _signed_in(person, session_id, successor, services.tokens, status=200)


@get("/sessions", responses=problems(401, 503), opt=ABOUT_IDENTITY, tags=["sessions"])
async def list_own_sessions(request: JsonRequest, services: NamedDependency[Services]) -> SessionList:
    """List your open sessions."""
    return SessionList(await list_sessions(services.users, request.user.user_id, current=request.user.session_id))


@delete(
    "/sessions/{session_id:uuid}",
    status_code=202,
    responses={
        202: answer_of(Accepted, "Accepted; ask for the operation at Location."),
        204: no_content("Ended (with `Prefer: wait`)."),
        **problems(400, 401, 422, 503),
    },
    opt=WRITE,
    tags=["sessions"],
)
async def end_session(
    request: JsonRequest,
    session_id: FromPath[UUID],
    services: NamedDependency[Services],
) -> JsonAnswer:
    """End a session of yours; its tokens are refused within five seconds."""
    asking = asking_of(request)
    event = SessionEndRequested(user_id=request.user.user_id, session_id=session_id)
    submitted = await services.publisher.submit(event, asking, by=request.user)
    if submitted.recorded:
        return settled(None, submitted, asking, status=204)
    body = Accepted(operation_id=submitted.operation_id, status=submitted.status, idempotency_key=asking.key)
    return accepted(body, submitted, asking)


@get("/auth/authorize", responses=problems(401, 503), opt=ABOUT_IDENTITY, tags=["sessions"])
async def authorize(request: JsonRequest) -> Bearer:
    """Say who the bearer of this token is, for other services."""
    principal = request.user
    return Bearer(
        user_id=principal.user_id,
        username=principal.username,
        session_id=principal.session_id,
        ledger_id=principal.ledger_id,
        base_currency=principal.base_currency,
        time_zone=principal.time_zone,
        expires_at=datetime.fromtimestamp(principal.expires_at, UTC),
    )


@get("/.well-known/jwks.json", tags=["sessions"])
async def list_keys(services: NamedDependency[Services]) -> KeySet:
    """List the public keys access tokens and bulk grants are verified with."""
    return KeySet(services.tokens.key_set())


def _about_to_sign_in(person: Person, session_id: UUID) -> Principal:
    return Principal(
        user_id=person.id,
        session_id=session_id,
        username=person.username,
        ledger_id=personal_ledger_id(person.id),
        base_currency=person.base_currency,
        time_zone=person.time_zone,
        expires_at=0,
    )


def _signed_in(person: Person, session_id: UUID, refresh_token: str, tokens: Tokens, *, status: int) -> JsonAnswer:
    access_token = tokens.access_token(
        user_id=person.id,
        session_id=session_id,
        username=person.username,
        currency=person.base_currency,
        zone=person.time_zone,
    )
    signed_in = SignedIn(
        access_token=access_token,
        token_type="Bearer",  # noqa: S106  # RFC 6750's word, not a secret
        expires_in=ACCESS_TOKEN_LIFETIME_S,
        refresh_token=refresh_token,
        session_id=session_id,
        user=SignedInUser(
            person.id, person.username, personal_ledger_id(person.id), person.base_currency, person.time_zone
        ),
    )
    return JsonAnswer(signed_in, status=status)
