"""Who may write: what every decider of the books asks first, and the personal ledger that opens on the way."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeAlias

from consumers.domain.books import Books, Stamps
from consumers.domain.decisions import Asked, Decision
from consumers.domain.ledgers import open_personal_ledger
from contracts.members import Role
from contracts.messages import LedgerEntry
from contracts.refusals import Refusal, RefusalCode

Decided: TypeAlias = tuple[LedgerEntry, ...] | Refusal
Rule: TypeAlias = Callable[[Asked[Any], Books, Stamps], Decided]

#: Said of a ledger that does not exist and of somebody else's alike, so that nobody learns which ids exist.
LEDGER_NOT_FOUND = Refusal(
    RefusalCode.LEDGER_NOT_FOUND,
    "You are a member of no ledger with this id; check the id, or ask its owner to invite you.",
)
OWNER_ONLY = Refusal(RefusalCode.ROLE_INSUFFICIENT, "Only the owner of this ledger may do that; ask them.")


def refuse_writing(role: Role | None) -> Refusal | None:
    """Say why somebody with this role (``None``: not a member) may not change the ledger, ``None`` where they may."""
    if role is None:
        return LEDGER_NOT_FOUND
    if role is Role.VIEWER:
        return Refusal(
            RefusalCode.ROLE_INSUFFICIENT, "A viewer only reads this ledger; ask its owner for the editor role."
        )
    return None


def refuse_owning(role: Role | None) -> Refusal | None:
    """Say why somebody with this role may not do what an owner may, ``None`` where they may."""
    return LEDGER_NOT_FOUND if role is None else None if role is Role.OWNER else OWNER_ONLY


def refuse_belonging(role: Role | None) -> Refusal | None:
    """Say why somebody with this role may not do what every member may, ``None`` where they may."""
    return LEDGER_NOT_FOUND if role is None else None


def anybody(role: Role | None) -> Refusal | None:
    """Let everybody in; the rule itself asks who it is."""
    return None


def deciding(rule: Rule, refuse: Callable[[Role | None], Refusal | None] = refuse_writing) -> Callable[..., Decision]:
    """Return the decider of a rule: the sender's own ledger is opened if need be, and their role in the ledger asked.

    The first reason found to say no is the answer. An opening stands even then: it falls to the same record however a
    history is cut into batches.
    """

    @wraps(rule)
    def decide(asked: Asked[Any], books: Books) -> Decision:
        opening = open_personal_ledger(asked, books)
        if opening:
            books = books.after(opening)
        decided: Decided
        if asked.user_id is None or books.time_zone is None:
            decided = LEDGER_NOT_FOUND
        else:
            decided = refuse(books.roles.get(asked.user_id)) or rule(asked, books, Stamps(asked, books))
        if isinstance(decided, Refusal):
            return Decision(refusal=decided, journal=opening)
        return Decision(journal=(*opening, *decided))

    return decide
