"""Members: who belongs to a ledger, what each may do, how they come and go."""

from datetime import timedelta

from consumers.domain.books import Books, Stamps
from consumers.domain.decisions import Asked
from contracts.ledgers import personal_ledger_id
from contracts.members import (
    INVITATION_DAYS,
    MEMBERS_MAX,
    InvitationAnswerSubmitted,
    InvitationEnded,
    InvitationEnding,
    InvitationSubmitted,
    MemberChanged,
    MemberChangeSubmitted,
    MemberInvited,
    MemberJoined,
    MemberRemoved,
    Role,
)
from contracts.messages import LedgerEntry
from contracts.refusals import Refusal, RefusalCode


def invite(asked: Asked[InvitationSubmitted], books: Books, stamps: Stamps) -> tuple[LedgerEntry, ...] | Refusal:
    """Decide whether an owner may invite somebody. Whether that is anybody, or a member already, changes nothing."""
    message = asked.message
    if message.role is Role.OWNER:
        return Refusal(
            RefusalCode.OWNER_NEEDED, "Invite as editor or viewer; hand the ledger over when they have joined.", "role"
        )
    open_ones = sum(each.open and each.expires_at > stamps.recorded_at for each in books.invitations.values())
    if len(books.roles) + open_ones >= MEMBERS_MAX:
        return Refusal(
            RefusalCode.MEMBERS_TOO_MANY,
            f"A ledger has at most {MEMBERS_MAX} members and open invitations; withdraw an invitation first.",
        )
    return (
        MemberInvited(
            **stamps.next(),
            invitation_id=message.resource_id(asked.operation_id),
            invited_user_id=message.invited_user_id,
            role=message.role,
            expires_at=stamps.recorded_at + timedelta(days=INVITATION_DAYS),
        ),
    )


def answer_invitation(
    asked: Asked[InvitationAnswerSubmitted], books: Books, stamps: Stamps
) -> tuple[LedgerEntry, ...] | Refusal:
    """Decide whether an invitation ends as asked: the invited accepts or declines, the owner withdraws."""
    message = asked.message
    assert asked.user_id is not None
    invitation = books.invitations.get(message.invitation_id)
    withdrawing = message.answer is InvitationEnding.WITHDRAWN
    may = (
        books.roles.get(asked.user_id) is Role.OWNER
        if withdrawing
        else invitation is not None and invitation.invited_user_id == asked.user_id
    )
    if invitation is None or not may:
        return Refusal(
            RefusalCode.INVITATION_NOT_FOUND, "There is no such invitation for you; ask the ledger's owner for one."
        )
    if not invitation.open or invitation.expires_at <= stamps.recorded_at:
        return Refusal(RefusalCode.INVITATION_OVER, "This invitation is over; ask the ledger's owner for a new one.")
    if message.answer is InvitationEnding.ACCEPTED and invitation.invited_user_id in books.roles:
        return Refusal(RefusalCode.MEMBER_ALREADY, "You are a member of this ledger already; decline the invitation.")
    ended = InvitationEnded(**stamps.next(), invitation_id=invitation.id, ending=message.answer)
    if message.answer is not InvitationEnding.ACCEPTED:
        return (ended,)
    return ended, MemberJoined(**stamps.next(), member_id=invitation.invited_user_id, role=invitation.role)


def change_member(
    asked: Asked[MemberChangeSubmitted], books: Books, stamps: Stamps
) -> tuple[LedgerEntry, ...] | Refusal:
    """Decide whether a member gets another role, hands over, is removed, or leaves. There is always one owner."""
    message = asked.message
    assert asked.user_id is not None
    is_owner, is_self = books.roles[asked.user_id] is Role.OWNER, message.member_id == asked.user_id
    leaving = is_self and message.role is None
    if not is_owner and not leaving:
        return Refusal(RefusalCode.ROLE_INSUFFICIENT, "Only the owner changes members; everybody may leave.")
    role = books.roles.get(message.member_id)
    if role is None:
        return Refusal(RefusalCode.MEMBER_NOT_FOUND, "That is no member of this ledger; list its members.", "member_id")
    if role is message.role:
        return ()
    if is_owner and is_self:
        return Refusal(
            RefusalCode.OWNER_NEEDED, "A ledger has one owner: hand it over to another member first, then leave."
        )
    if message.role is None:
        return (MemberRemoved(**stamps.next(), member_id=message.member_id),)
    changed = MemberChanged(**stamps.next(), member_id=message.member_id, role=message.role)
    if message.role is not Role.OWNER:
        return (changed,)
    if books.ledger_id == personal_ledger_id(asked.user_id):
        return Refusal(
            RefusalCode.OWNER_NEEDED, "Your personal ledger stays yours; open another one to hand over.", "role"
        )
    return changed, MemberChanged(**stamps.next(), member_id=asked.user_id, role=Role.EDITOR)
