"""Read registrations from the users database."""

from uuid import UUID

from infra.postgres.engine import Database

_ADDRESS = "SELECT email_key FROM registrations WHERE id = $1"


async def find_email_key(users: Database, registration_id: UUID) -> str | None:
    """Find the address a registration is for; ``None`` where there is none yet, or it was erased."""
    async with users.connection("find a registration's address") as connection:
        address: str | None = await connection.fetchval(_ADDRESS, registration_id)
    return address
