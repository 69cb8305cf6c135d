"""Members: who belongs to a ledger, and what each may do."""

from enum import StrEnum

from contracts.refusals import Refusal, RefusalCode


class Role(StrEnum):
    """What a member may do; a viewer only reads."""

    OWNER = "owner"
    EDITOR = "editor"
    VIEWER = "viewer"


#: Said of a ledger that does not exist and of somebody else's alike, so that nobody learns which ids exist.
LEDGER_NOT_FOUND = Refusal(
    RefusalCode.LEDGER_NOT_FOUND,
    "You are a member of no ledger with this id; check the id, or ask its owner to invite you.",
)


def refuse_writing(role: Role | None) -> Refusal | None:
    """Say why somebody with this role (``None``: not a member) may not change the ledger, ``None`` where they may."""
    if role is None:
        return LEDGER_NOT_FOUND
    if role is Role.VIEWER:
        return Refusal(
            RefusalCode.ROLE_INSUFFICIENT, "A viewer only reads this ledger; ask its owner for the editor role."
        )
    return None
