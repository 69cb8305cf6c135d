"""Registrations in the users database, with what they claim, become and send: unique names, users, mails."""

from collections.abc import Collection, Iterable, Sequence
from uuid import UUID

from consumers.domain.decisions import Asked
from consumers.domain.names import Name, Names
from consumers.domain.registrations import Registration, RegistrationState
from consumers.domain.users import UserCreated
from consumers.repositories.mails import insert_registration_mails
from consumers.settings import IdentityKeys
from contracts.messages import Submission
from contracts.registrations import ISSUES_MAX, RegistrationRequested, VerificationSubmitted
from contracts.text import email_key, name_key
from contracts.users import UserSubmitted
from infra.postgres.engine import Connection
from infra.secrets import derive_code, password_binding, proof_of, unseal

# A request that was decided before leaves nothing to be locked, and a refused one's row would stay behind.
_INSERT_TO_LOCK = """
    INSERT INTO registrations (id)
    SELECT wanted.id
    FROM unnest($1::uuid[], $2::uuid[]) AS wanted (id, operation_id)
    WHERE NOT EXISTS (SELECT FROM operations WHERE operations.id = wanted.operation_id)
    ORDER BY wanted.id
    ON CONFLICT (id) DO NOTHING
"""

_LOCK = "SELECT FROM registrations WHERE id = ANY($1::uuid[]) ORDER BY id FOR NO KEY UPDATE"

_LOAD = """
    SELECT id, state, email, email_key, base_currency, time_zone, known, issue, attempts, code_expires_at, created_at,
           expires_at, user_id
    FROM registrations
    WHERE id = ANY($1::uuid[]) AND state IS NOT NULL
"""

_TAKEN = "SELECT key FROM unique_names WHERE kind = 'email' AND key = ANY($1::text[])"

# Sorted, so that two claimers never wait for each other; a name that another database transaction is about to take is
# waited for.
_CLAIM = """
    INSERT INTO unique_names (kind, key, registration_id)
    SELECT kind, key, registration_id
    FROM unnest($1::text[], $2::text[], $3::uuid[]) AS claim (kind, key, registration_id)
    ORDER BY kind, key
    ON CONFLICT (kind, key) DO NOTHING
    RETURNING kind, key
"""

_GIVE = """
    UPDATE unique_names SET registration_id = given.registration_id
    FROM unnest($1::text[], $2::text[], $3::uuid[]) AS given (kind, key, registration_id)
    WHERE unique_names.kind = given.kind AND unique_names.key = given.key
        AND unique_names.registration_id <> given.registration_id
"""

_RELEASE = """
    DELETE FROM unique_names
    USING unnest($1::text[], $2::text[]) AS released (kind, key)
    WHERE unique_names.kind = released.kind AND unique_names.key = released.key
"""

_SAVE = """
    INSERT INTO registrations (id, state, email, email_key, base_currency, time_zone, known, issue, attempts,
                               code_expires_at, created_at, expires_at, user_id)
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bool[], $8::int2[],
                         $9::int2[], $10::timestamptz[], $11::timestamptz[], $12::timestamptz[], $13::uuid[])
    ON CONFLICT (id) DO UPDATE
    SET state = excluded.state, email = excluded.email, email_key = excluded.email_key,
        base_currency = excluded.base_currency, time_zone = excluded.time_zone, known = excluded.known,
        issue = excluded.issue, attempts = excluded.attempts, code_expires_at = excluded.code_expires_at,
        created_at = excluded.created_at, expires_at = excluded.expires_at, user_id = excluded.user_id
"""

_FORGET = "DELETE FROM registrations WHERE id = ANY($1::uuid[]) AND state IS NULL"

_INSERT_USERS = """
    INSERT INTO users (id, registration_id, username, username_key, email, email_key, password_hash, base_currency,
                       time_zone, registered_at)
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
                         $9::text[], $10::timestamptz[])
"""


async def lock_registrations(
    connection: Connection, requested: Iterable[tuple[UUID, UUID]], registration_ids: Iterable[UUID]
) -> None:
    """Insert rows for requested registrations (id and operation id) that are new, then lock all that are named."""
    rows = sorted(requested, key=lambda row: row[0].bytes)
    if rows:
        await connection.execute(_INSERT_TO_LOCK, [row[0] for row in rows], [row[1] for row in rows])
    await connection.execute(_LOCK, list(registration_ids))


async def load_registrations(
    connection: Connection, asked: Sequence[Asked[Submission]], keys: IdentityKeys
) -> dict[UUID, Registration]:
    """Load the registrations that submissions are about, and claim the names they want.

    Raises:
        Sealed: a password's hash cannot be opened. It was sealed by a gateway whose key we lack, so it is a defect of
            ours and not a refusal: that record becomes a dead letter that can be replayed once the key is here, and a
            consumer that was started without the key stops instead of turning everybody away.
    """
    registrations = {each.message.subject_id: Registration(id=each.message.subject_id) for each in asked}
    for row in await connection.fetch(_LOAD, list(registrations)):
        registrations[row["id"]] = Registration(**{**row, "state": RegistrationState(row["state"])})
    for each in asked:
        message = each.message
        registration = registrations[message.subject_id]
        if isinstance(message, VerificationSubmitted | UserSubmitted):
            registration.proofs = _proofs(registration.id, keys)
        if isinstance(message, UserSubmitted):
            binding = password_binding(registration.id, name_key(message.username))
            hash_ = unseal(keys.seal, message.sealed_password_hash, bound_to=binding)
            registration.password_hashes = {**registration.password_hashes, each.operation_id: hash_}
    names = await _claim_names(connection, asked, registrations)
    for registration in registrations.values():
        registration.names = names
    return registrations


async def save_registrations(connection: Connection, registrations: Collection[Registration]) -> None:
    """Write what was decided: registrations, users, the names they got, and the mails that are due."""
    changed = sorted((each for each in registrations if each.changes), key=lambda each: each.id.bytes)
    if changed:
        await connection.execute(
            _SAVE,
            *_columns(
                (
                    each.id, each.state, each.email, each.email_key, each.base_currency, each.time_zone, each.known,
                    each.issue, each.attempts, each.code_expires_at, each.created_at, each.expires_at, each.user_id,
                )
                for each in changed
            ),
        )  # fmt: skip
    if refused := [each.id for each in registrations if each.state is None]:
        await connection.execute(_FORGET, refused)
    if users := [change for each in changed for change in each.changes if isinstance(change, UserCreated)]:
        await connection.execute(
            _INSERT_USERS,
            *_columns(
                (
                    user.user_id, user.registration_id, user.username, user.username_key, user.email, user.email_key,
                    user.password_hash, user.base_currency, user.time_zone, user.registered_at,
                )
                for user in users
            ),
        )  # fmt: skip
    if mails := [mail for each in changed for mail in each.mails]:
        await insert_registration_mails(connection, mails)
    for names in {id(each.names): each.names for each in registrations}.values():
        if names.owners:
            await connection.execute(_GIVE, *_columns((*name, owner) for name, owner in names.owners.items()))
        if names.released:
            await connection.execute(_RELEASE, *_columns(names.released))


async def _claim_names(
    connection: Connection, asked: Sequence[Asked[Submission]], registrations: dict[UUID, Registration]
) -> Names:
    """Look up whose addresses are known, and claim every name that a user of this batch wants."""
    addresses = {
        each.message.registration_id: email_key(each.message.email)
        for each in asked
        if isinstance(each.message, RegistrationRequested)
    }
    taken = await connection.fetch(_TAKEN, list(set(addresses.values()))) if addresses else []
    wanted: dict[Name, UUID] = {}
    for each in asked:
        message = each.message
        if not isinstance(message, UserSubmitted):
            continue
        address = registrations[message.registration_id].email_key or addresses.get(message.registration_id)
        wanted.setdefault(("username", name_key(message.username)), message.registration_id)
        if address:
            wanted.setdefault(("email", address), message.registration_id)
    names = Names(taken={("email", row["key"]) for row in taken})
    if wanted:
        rows = await connection.fetch(_CLAIM, *_columns((*name, wanted[name]) for name in sorted(wanted)))
        names.claimed = {(row["kind"], row["key"]) for row in rows}
    return names


def _proofs(registration_id: UUID, keys: IdentityKeys) -> dict[int, str]:
    """Return what the right code of each issue proves; all of them, since the issue may rise within the batch."""
    return {
        issue: proof_of(keys.proof, registration_id, derive_code(keys.code, registration_id, issue))
        for issue in range(1, ISSUES_MAX + 1)
    }


def _columns(rows: Iterable[Sequence[object]]) -> list[list[object]]:
    """Turn rows into the columns that ``unnest`` takes."""
    return [list(column) for column in zip(*rows, strict=True)]
