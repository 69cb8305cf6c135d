"""Read how a transaction came to stand as it does: every version of it, who made it, and what was changed."""

from collections.abc import Sequence
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from gateway.queries.filters import MEMBER
from gateway.queries.transactions import COLUMNS_AS_SET, JOINS, Transaction, read_transaction
from gateway.queries.users import find_usernames
from infra.postgres.engine import Database

#: A transaction with more versions shows the newest.
VERSIONS_MAX = 200


class Version(msgspec.Struct, kw_only=True):
    """How a transaction stood from ``at`` on.

    ``type`` is what made it so, ``undoes`` the change that this one took back, ``undone_by`` the one that took this
    back. ``changed`` has what it was and what it became of every field that was changed; the first version has none.
    In ``state`` the status is the one that was set: whether it is reconciled is a matter of now.
    """

    version: int
    type: str
    at: datetime
    user_id: UUID
    username: str | None
    operation_id: UUID
    undoes: int | None
    undone_by: int | None
    changed: dict[str, tuple[Any, Any]]
    state: Transaction


class History(msgspec.Struct):
    """The versions of a transaction, the oldest first; the last is how it stands."""

    items: list[Version]


_STATE = """
ledger_id, id, version, revision, sequence, kind, amount_minor, currency, rate, description, payee, tags, note, status,
external_id, booked_on, booked_at, recorded_at, deleted, user_id, operation_id
"""
_VERSIONS = f"""
SELECT t.user_id, t.operation_id, made.type, made.undoes,
       -- + 0, or it is looked for from the newest change backwards.
       (SELECT max(sequence + 0) FROM changes WHERE ledger_id = $1 AND undoes = t.version) AS undone_by,
       {COLUMNS_AS_SET}
FROM (
  SELECT * FROM (
    SELECT {_STATE} FROM transactions WHERE ledger_id = $1 AND id = $3
    UNION ALL
    SELECT {_STATE} FROM transaction_versions WHERE ledger_id = $1 AND id = $3
  ) either
  WHERE {MEMBER} ORDER BY version DESC LIMIT $4
) t
{JOINS}
LEFT JOIN changes made ON made.ledger_id = $1 AND made.sequence = t.version
ORDER BY t.version, p.position
"""  # noqa: S608  # built from constants
#: What a change of a transaction is not about.
_NOT_COMPARED = frozenset({"id", "version", "revision", "recorded_at", "postings"})


async def find_history(
    ledger: Database, users: Database, ledger_id: UUID, user_id: UUID, transaction_id: UUID
) -> History | None:
    """Find a transaction's versions, for a member of its ledger; at most :data:`VERSIONS_MAX`, the newest."""
    async with ledger.connection("read a transaction's history") as connection:
        # One more says what the first of them changed.
        rows = await connection.fetch(_VERSIONS, ledger_id, user_id, transaction_id, VERSIONS_MAX + 1)
    if not rows:
        return None
    versions = [list(lines) for _, lines in groupby(rows, key=itemgetter("version"))]
    names = await find_usernames(users, (lines[0]["user_id"] for lines in versions))
    items: list[Version] = []
    before: Transaction | None = None
    for lines in versions:
        item = _version(lines, before, names.get(lines[0]["user_id"]))
        before = item.state
        items.append(item)
    return History(items[-VERSIONS_MAX:])


def _version(lines: Sequence[asyncpg.Record], before: Transaction | None, username: str | None) -> Version:
    state, made = read_transaction(lines), lines[0]
    return Version(
        version=state.version,
        # A new transaction stands for itself: no change says so.
        type=made["type"] or "transaction.recorded",
        at=state.recorded_at,
        user_id=made["user_id"],
        username=username,
        operation_id=made["operation_id"],
        undoes=made["undoes"],
        undone_by=made["undone_by"],
        changed={} if before is None else _difference(before, state),
        state=state,
    )


def _difference(before: Transaction, after: Transaction) -> dict[str, tuple[Any, Any]]:
    """Return each field that differs, as it was and as it is; the moment only where the day is the same."""
    differing = {
        name: (was, became)
        for name in Transaction.__struct_fields__
        if name not in _NOT_COMPARED and (was := getattr(before, name)) != (became := getattr(after, name))
    }
    if "date" in differing:
        differing.pop("booked_at", None)
    return differing
