"""Read what happened to a ledger, newest first: its audit log, for its members.

New transactions are by far the most of it and stand for themselves: no row of ``changes`` repeats them. They are found
by the postings' primary key, which counts as the journal does, and merged with the others by their sequence.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from contracts.money import format_minor
from gateway.queries.users import find_usernames
from infra.postgres.engine import Database

SEQUENCE_MAX = 2**63 - 1
#: On how many journal entries a page looks back, and one of a single person's changes; the cursor goes on from there.
#: So a page costs the same however large the ledger is, and however seldom somebody writes in it.
REACH = 500
PERSONS_REACH = 2000


class Change(msgspec.Struct, kw_only=True):
    """A change of a ledger, named by its ``sequence``: who did what, when, to which transaction, account, member ….

    ``detail`` says how the transaction stood after it; of anything else what the journal says, which leaves out what is
    usual. Amounts are decimal text. ``undone_by`` is the newest change that took it back; ``undoable`` says that the
    thing stands as this change left it, so that it can be taken back now.
    """

    sequence: int
    type: str
    at: datetime
    user_id: UUID
    username: str | None
    subject_id: UUID
    detail: dict[str, Any]
    undoes: int | None
    undone_by: int | None
    undoable: bool


class ChangePage(msgspec.Struct):
    """Changes, the newest first, and the cursor of the next page; ``null`` on the last one.

    A page can be short, or empty where only one person's are asked for, and yet have a next one.
    """

    items: list[Change]
    next_cursor: str | None


_MEMBER = "EXISTS (SELECT FROM members WHERE ledger_id = $1 AND user_id = $2)"
_RECORDED = "sequence, type, recorded_at, user_id, subject_id, undoes, detail"
_DETAIL = (
    "kind", "revision", "deleted", "booked_on", "booked_at", "amount_minor", "currency", "rate", "description",
    "payee", "tags", "note", "status", "external_id",
)  # fmt: skip


def _made(where: str) -> str:
    """Return the rows, of heads or of earlier versions, that are how a transaction was when it was new."""
    new = f"{where} AND revision = 1 AND state_of = version AND sequence = version"
    return f"""
    SELECT id, version, user_id, recorded_at FROM transactions WHERE {new}
    UNION ALL
    SELECT id, version, user_id, recorded_at FROM transaction_versions WHERE {new}
    """  # noqa: S608  # built from constants of this module


def _state(alias: str) -> str:
    """Return a version of a transaction as JSON."""
    return f"jsonb_build_object({', '.join(f'{name!r}, {alias}.{name}' for name in _DETAIL)})"


def _shown(page: str) -> str:
    """Return the statement that shows the changes of ``page``: what took each back, and whether it can be taken back.

    A change left its thing as the version by its number is; the thing stands so now where both have one ``state_of``.
    """
    return f"""
    {page}
    SELECT page.sequence, page.type, page.recorded_at, page.user_id, page.subject_id, page.undoes,
           CASE page.sequence WHEN t.version THEN {_state("t")} WHEN tv.version THEN {_state("tv")}
                ELSE page.detail END AS detail,
           -- + 0, or it is looked for from the newest change backwards, through all of them where there is none.
           (SELECT max(sequence + 0) FROM changes WHERE ledger_id = $1 AND undoes = page.sequence) AS undone_by,
           coalesce(t.state_of = CASE t.version WHEN page.sequence THEN t.state_of ELSE tv.state_of END,
                    a.state_of = CASE a.version WHEN page.sequence THEN a.state_of ELSE av.state_of END,
                    false) AS undoable
    FROM page
    -- Row by row (LIMIT 1 keeps it so): a step in an index each, however large the tables were when this was planned.
    LEFT JOIN LATERAL (
        SELECT * FROM transactions
        WHERE page.type LIKE 'transaction.%' AND ledger_id = $1 AND id = page.subject_id LIMIT 1
    ) t ON true
    LEFT JOIN LATERAL (
        SELECT * FROM transaction_versions
        WHERE page.type LIKE 'transaction.%' AND ledger_id = $1 AND id = page.subject_id AND version = page.sequence
        LIMIT 1
    ) tv ON true
    LEFT JOIN LATERAL (
        SELECT version, state_of FROM accounts
        WHERE page.type LIKE 'account.%' AND ledger_id = $1 AND id = page.subject_id LIMIT 1
    ) a ON true
    LEFT JOIN LATERAL (
        SELECT version, state_of FROM account_versions
        WHERE page.type LIKE 'account.%' AND ledger_id = $1 AND id = page.subject_id AND version = page.sequence
        LIMIT 1
    ) av ON true
    ORDER BY page.sequence DESC
    """  # noqa: S608


_PAGE = _shown(f"""
WITH recorded AS (
    SELECT {_RECORDED} FROM changes
    WHERE ledger_id = $1 AND sequence < $3 AND sequence > $5 AND ($6::uuid IS NULL OR user_id = $6) AND {_MEMBER}
    ORDER BY sequence DESC LIMIT $4
),
made AS (
    SELECT p.sequence, 'transaction.recorded' AS type, one.recorded_at, one.user_id, p.transaction_id AS subject_id,
           NULL::bigint AS undoes, NULL::jsonb AS detail
    FROM postings p
    JOIN LATERAL (
        SELECT * FROM ({_made("ledger_id = $1 AND id = p.transaction_id AND version = p.sequence")}) either LIMIT 1
    ) one ON true
    WHERE p.ledger_id = $1 AND p.position = 0 AND p.sequence < $3 AND p.sequence > $5
      AND ($6::uuid IS NULL OR one.user_id = $6) AND {_MEMBER}
    ORDER BY p.sequence DESC LIMIT $4
),
page AS (SELECT * FROM recorded UNION ALL SELECT * FROM made ORDER BY sequence DESC LIMIT $4)
""")  # noqa: S608
_NEWEST = f"SELECT sequence FROM ledgers WHERE id = $1 AND {_MEMBER}"  # noqa: S608
_OF_SUBJECT = _shown(f"""
WITH recorded AS (
    SELECT {_RECORDED} FROM changes
    WHERE ledger_id = $1 AND subject_id = $5 AND sequence < $3 AND ($6::uuid IS NULL OR user_id = $6) AND {_MEMBER}
    ORDER BY sequence DESC LIMIT $4
),
made AS (
    SELECT version AS sequence, 'transaction.recorded' AS type, recorded_at, user_id, id AS subject_id,
           NULL::bigint AS undoes, NULL::jsonb AS detail
    FROM ({_made("ledger_id = $1 AND id = $5")}) one
    WHERE version < $3 AND ($6::uuid IS NULL OR user_id = $6) AND {_MEMBER}
),
page AS (SELECT * FROM recorded UNION ALL SELECT * FROM made ORDER BY sequence DESC LIMIT $4)
""")  # noqa: S608
_UNDO = _shown(f"""
WITH page AS (
    SELECT {_RECORDED} FROM changes
    WHERE ledger_id = $1 AND undoes = $3 AND operation_id = $4 AND {_MEMBER} ORDER BY sequence DESC LIMIT 1
)
""")  # noqa: S608


def read_cursor(text: str) -> int:
    """Read the cursor of a page: the sequence before which it begins; ``ValueError`` for what is none of ours."""
    sequence = int(text) if text.isascii() and text.isdigit() and len(text) < len(str(SEQUENCE_MAX)) else 0
    if sequence < 1 or str(sequence) != text:
        raise ValueError("not a cursor")
    return sequence


async def list_changes(
    ledger: Database,
    users: Database,
    ledger_id: UUID,
    user_id: UUID,
    *,
    subject_id: UUID | None = None,
    by: UUID | None = None,
    before: int | None = None,
    limit: int,
) -> ChangePage:
    """List a page of a ledger's changes for one of its members, the newest first; empty for anybody else.

    ``subject_id`` keeps those of one transaction, account, member …; ``by`` those of one person; ``before`` is the
    sequence that the page before ended at.
    """
    async with ledger.connection("list changes") as connection:
        if before is None:
            newest: int | None = await connection.fetchval(_NEWEST, ledger_id, user_id)
            before = (newest or 0) + 1
        # One more than asked for says whether there is a next page.
        asked = (ledger_id, user_id, before, limit + 1)
        if subject_id is not None:
            floor = 0
            rows = await connection.fetch(_OF_SUBJECT, *asked, subject_id, by)
        else:
            floor = max(0, before - 1 - (REACH if by is None else PERSONS_REACH))
            rows = await connection.fetch(_PAGE, *asked, floor, by)
    items = await _changes(users, rows[:limit])
    if len(rows) > limit:
        return ChangePage(items, str(items[-1].sequence))
    return ChangePage(items, str(floor + 1) if floor else None)


async def find_undo(
    ledger: Database, users: Database, ledger_id: UUID, user_id: UUID, *, undone: int, operation_id: UUID
) -> Change | None:
    """Find the change by which an operation took back another one, for a member of the ledger."""
    async with ledger.connection("find an undo") as connection:
        rows = await connection.fetch(_UNDO, ledger_id, user_id, undone, operation_id)
    return next(iter(await _changes(users, rows)), None)


async def _changes(users: Database, rows: Sequence[asyncpg.Record]) -> list[Change]:
    names = await find_usernames(users, (row["user_id"] for row in rows))
    return [
        Change(
            sequence=row["sequence"],
            type=row["type"],
            at=row["recorded_at"],
            user_id=row["user_id"],
            username=names.get(row["user_id"]),
            subject_id=row["subject_id"],
            detail=_detail(row),
            undoes=row["undoes"],
            undone_by=row["undone_by"],
            undoable=row["undoable"],
        )
        for row in rows
    ]


#: What the change itself says, what is ours alone, and whom an address belongs to that somebody invited.
_NOT_SHOWN = frozenset({"invited_user_id", "state_of", "undoes"})


def _detail(row: asyncpg.Record) -> dict[str, Any]:
    detail: dict[str, Any] = {
        name: value for name, value in msgspec.json.decode(row["detail"]).items() if name not in _NOT_SHOWN
    }
    for name in [name for name in detail if name.endswith("_minor")]:
        detail[name.removesuffix("_minor")] = format_minor(int(detail.pop(name)), detail["currency"])
    return detail
