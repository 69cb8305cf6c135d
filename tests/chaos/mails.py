"""Registrations submitted as the gateway would, and what the local mailbox caught for each address."""

from typing import Any
from uuid import UUID, uuid4

from contracts import topics
from contracts.registrations import RegistrationRequested
from tests.builders.submissions import a_record
from tests.chaos.line import Line, until


async def register(line: Line, count: int = 1) -> dict[str, UUID]:
    """Submit registrations of new addresses; return the registration id of each address."""
    people = {f"{uuid4().hex}@example.org": uuid4() for _ in range(count)}
    await line.producer.send_all(
        [
            a_record(
                RegistrationRequested(
                    registration_id=registration_id, email=email, base_currency="EUR", time_zone="Europe/Berlin"
                ),
                None,
                topic=topics.IDENTITY_SUBMISSIONS,
            )
            for email, registration_id in people.items()
        ]
    )
    return people


async def mails_to(line: Line, email: str) -> list[dict[str, Any]]:
    """Return what was mailed to an address, newest first."""
    api = f"http://127.0.0.1:{line.stack.ports['mailbox']}/api/v1"
    found = (await line.http.get(f"{api}/search", params={"query": f"to:{email}"})).json()["messages"]
    return [(await line.http.get(f"{api}/message/{mail['ID']}")).json() for mail in found]


async def until_mailed(line: Line, email: str, count: int = 1, within_s: float = 15) -> list[dict[str, Any]]:
    """Wait until an address has had so many mails, and return them."""

    async def enough() -> list[dict[str, Any]]:
        mails = await mails_to(line, email)
        return mails if len(mails) >= count else []

    return await until(enough, f"{count} mails to {email}", within_s)


async def until_leased(line: Line, registration_id: UUID) -> None:
    """Wait until a worker has leased a registration's mail, to hand it over now."""

    async def leased() -> bool:
        async with line.users.connection("look for a lease") as connection:
            return bool(
                await connection.fetchval(
                    "SELECT leased_until > now() FROM mails WHERE registration_id = $1", registration_id
                )
            )

    await until(leased, "the mail is leased")


async def until_all_marked(line: Line, within_s: float = 30) -> None:
    """Wait until no mail is due any more: whatever was to be sent, was, and will not be sent again."""

    async def none_due() -> bool:
        async with line.users.connection("count due mails") as connection:
            return bool(await connection.fetchval("SELECT count(*) = 0 FROM mails WHERE state = 'due'"))

    await until(none_due, "no mail is due", within_s)
