"""People: a copy of what is held about whoever asks."""

from litestar import get
from litestar.di import NamedDependency

from gateway.auth import ABOUT_IDENTITY
from gateway.errors import NotFound
from gateway.queries.people import PersonalData, find_personal_data
from gateway.requests import JsonRequest
from gateway.routes.answers import JsonAnswer, answer_of, problems
from gateway.services import Services


@get(
    "/auth/data",
    responses={200: answer_of(PersonalData, "What is held about you."), **problems(401, 404, 503)},
    opt=ABOUT_IDENTITY,
    tags=["sessions"],
)
async def get_own_data(request: JsonRequest, services: NamedDependency[Services]) -> JsonAnswer:
    """Read what is held about you besides your ledgers: user, registrations, sessions, mails, invitations, operations.

    Of your password and of tokens there is nothing to read. What is in your ledgers, their own routes list.
    """
    found = await find_personal_data(services.users, services.ledger, request.user.user_id)
    if found is None:
        raise NotFound("There is no such user any more.", "user_id")
    return JsonAnswer(found)
