"""Letters: whether a user is told by mail what another one asked for."""

from dataclasses import dataclass

from consumers.domain.decisions import Asked, Decision
from consumers.domain.mails import InvitationMail, UserMail
from consumers.domain.sessions import Sessions, UserChange
from contracts.letters import InvitationLetterRequested


@dataclass(frozen=True, slots=True)
class LetterDue(UserChange):
    """A letter is to be written to the user."""

    mail: UserMail

    def apply_to(self, sessions: Sessions) -> None:
        """Put it beside the others."""
        sessions.mails.append(self.mail)


def decide_invitation_letter(asked: Asked[InvitationLetterRequested], sessions: Sessions) -> Decision:
    """Decide whether somebody gets a letter: whoever exists does.

    An id that is nobody's is no refusal: the answer does not say whether the invited address was somebody's. Whether
    there is such an invitation only the ledger knows; the mail job asks it before it writes.
    """
    message = asked.message
    assert asked.user_id is not None  # its message is by a user
    if not sessions.registered:
        return Decision()
    mail = InvitationMail(
        id=message.resource_id(asked.operation_id),
        user_id=message.invited_user_id,
        inviter_id=asked.user_id,
        ledger_id=message.ledger_id,
        invitation_id=message.invitation_id,
        due_at=asked.recorded_at,
        traceparent=asked.traceparent,
    )
    return Decision(changes=(LetterDue(mail),))
