"""From a bearer token to the person who asks, and their role in a ledger: both from here, never from a body."""

from uuid import UUID

from litestar.handlers import BaseRouteHandler

from contracts.members import Role
from gateway.ended_sessions import EndedSessions
from gateway.errors import NotFound, Unauthenticated
from gateway.queries.members import find_standing
from gateway.requests import JsonRequest
from gateway.tokens import Principal, VerifiedTokens
from infra.postgres.engine import Database

_SCHEME = "bearer "

#: Put into a GET route's ``opt`` where its answer must not come from a session that ended meanwhile.
ABOUT_IDENTITY = {"about_identity": True}

#: Put into the ``opt`` of a route below ``/api/v1`` that everybody may ask; without it a route asks who it is.
OPEN_TO_ALL = {"open_to_all": True}


def is_open(handler: BaseRouteHandler) -> bool:
    """Return whether everybody may ask here."""
    return "open_to_all" in handler.opt


async def require_member(ledger: Database, ledger_id: UUID, principal: Principal) -> Role:
    """Return the role in a ledger, or raise ``NotFound`` for a stranger's; one's own may not be open yet."""
    standing = await find_standing(ledger, ledger_id, principal.user_id)
    if standing.role is not None:
        return standing.role
    if ledger_id == principal.ledger_id and not standing.is_open:
        return Role.OWNER
    raise NotFound("There is no such ledger, or you are not a member of it.", "ledger_id")


class Doorman:
    """Lets in who has a good token of a session that has not ended."""

    def __init__(self, tokens: VerifiedTokens, ended: EndedSessions) -> None:
        """Keep what tokens and sessions are checked with."""
        self._tokens = tokens
        self._ended = ended

    def find_principal(self, request: JsonRequest) -> Principal:
        """Return who is asking.

        Raises:
            Unauthenticated: no token, not a good one, or its session has ended.
            Unavailable: whether sessions have ended is not known, and this is a write or about identity.
        """
        header = request.sent(b"authorization")
        if header is None or header[: len(_SCHEME)].lower() != _SCHEME:
            raise Unauthenticated("Sign in and send the access token as: Authorization: Bearer …", token=False)
        principal = self._tokens.verify(header[len(_SCHEME) :].strip())
        if request.method not in ("GET", "HEAD") or "about_identity" in request.route_handler.opt:
            self._ended.require_fresh()
        if principal.session_id in self._ended:
            raise Unauthenticated("This session has ended. Sign in again.")
        return principal
