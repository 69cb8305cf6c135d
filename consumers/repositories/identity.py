"""The identity consumer's repository: registrations and users, always locked in that order."""

from collections.abc import Collection, Sequence
from typing import TypeAlias
from uuid import UUID

from consumers.domain.decisions import Asked, Decision
from consumers.domain.registrations import Registration
from consumers.domain.sessions import Sessions
from consumers.records import Received
from consumers.repositories.registrations import load_registrations, lock_registrations, save_registrations
from consumers.repositories.sessions import load_sessions, lock_users, save_sessions
from consumers.settings import IdentityKeys
from contracts.letters import InvitationLetterRequested
from contracts.messages import Submission
from contracts.passwords import PasswordChangeSubmitted
from contracts.registrations import RegistrationRequested
from contracts.sessions import RefreshSubmitted, SessionEndRequested, SessionRequested
from infra.postgres.engine import Connection

IdentityState: TypeAlias = Registration | Sessions


class IdentityRepository:
    """Locks, loads and saves what identity's submissions are about."""

    def __init__(self, keys: IdentityKeys) -> None:
        """Keep the keys with which codes are derived and password hashes opened."""
        self._keys = keys

    async def lock(self, connection: Connection, received: Sequence[Received]) -> None:
        """Insert the registrations that may begin, then lock registrations by id, then users by id.

        The expiry job takes the same locks in the same order.
        """
        requested = {
            each.message.registration_id: operation_id
            for each in received
            if isinstance(each.message, RegistrationRequested) and (operation_id := each.envelope.operation_id)
        }
        users = {each.message.subject_id for each in received if _is_of_user(each.message)}
        registrations = {each.message.subject_id for each in received if not _is_of_user(each.message)}
        if registrations:
            await lock_registrations(connection, requested.items(), registrations)
        if users:
            await lock_users(connection, users)

    async def load(self, connection: Connection, asked: Sequence[Asked[Submission]]) -> dict[UUID, IdentityState]:
        """Load registrations by their ids and what is users' by users' ids.

        Raises:
            Sealed: see :func:`load_registrations`; the same goes for a changed password.
        """
        of_users = [each for each in asked if _is_of_user(each.message)]
        of_registrations = [each for each in asked if not _is_of_user(each.message)]
        states: dict[UUID, IdentityState] = {}
        if of_registrations:
            states.update(await load_registrations(connection, of_registrations, self._keys))
        if of_users:
            states.update(await load_sessions(connection, of_users, self._keys))
        return states

    async def save(
        self,
        connection: Connection,
        states: Collection[IdentityState],
        decided: Sequence[tuple[Asked[Submission], Decision]],
    ) -> None:
        """Write what was decided; each state has gathered what concerns it."""
        if registrations := [state for state in states if isinstance(state, Registration)]:
            await save_registrations(connection, registrations)
        if users := [state for state in states if isinstance(state, Sessions)]:
            await save_sessions(connection, users)


def _is_of_user(message: Submission) -> bool:
    return isinstance(
        message,
        SessionRequested | RefreshSubmitted | SessionEndRequested | PasswordChangeSubmitted | InvitationLetterRequested,
    )
