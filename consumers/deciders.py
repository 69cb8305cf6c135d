"""Which function decides which message: a line each."""

from collections.abc import Mapping
from typing import Any

from consumers.delivery import Decider
from consumers.domain.account_openings import open_account
from consumers.domain.accounts import change_account
from consumers.domain.assertions import assert_balance, lift_assertion
from consumers.domain.books import Books
from consumers.domain.ledgers import change_ledger, decide_ledger
from consumers.domain.letters import decide_invitation_letter
from consumers.domain.members import answer_invitation, change_member, invite
from consumers.domain.passwords import decide_password_change
from consumers.domain.rates import record_rates
from consumers.domain.registrations import decide_registration, decide_verification, decide_verification_code
from consumers.domain.sessions import decide_refresh, decide_session, decide_session_end
from consumers.domain.transactions import change_transaction, record_transaction, reverse_transaction
from consumers.domain.undo import undo
from consumers.domain.users import decide_user
from consumers.domain.writing import anybody, deciding, refuse_belonging, refuse_owning
from contracts.accounts import AccountChangeSubmitted, AccountSubmitted
from contracts.assertions import AssertionLiftSubmitted, AssertionSubmitted
from contracts.changes import UndoSubmitted
from contracts.ledgers import LedgerChangeSubmitted, LedgerSubmitted
from contracts.letters import InvitationLetterRequested
from contracts.members import InvitationAnswerSubmitted, InvitationSubmitted, MemberChangeSubmitted
from contracts.messages import Submission
from contracts.passwords import PasswordChangeSubmitted
from contracts.rates import RatesSubmitted
from contracts.registrations import RegistrationRequested, VerificationCodeRequested, VerificationSubmitted
from contracts.sessions import RefreshSubmitted, SessionEndRequested, SessionRequested
from contracts.transactions import ReversalSubmitted, TransactionChangeSubmitted, TransactionSubmitted
from contracts.users import UserSubmitted

# A decider takes the state of its own kind of subject, which the repository loads for its messages: hence Any.
IDENTITY_DECIDERS: Mapping[type[Submission], Decider[Any]] = {
    RegistrationRequested: decide_registration,
    VerificationCodeRequested: decide_verification_code,
    VerificationSubmitted: decide_verification,
    UserSubmitted: decide_user,
    SessionRequested: decide_session,
    RefreshSubmitted: decide_refresh,
    SessionEndRequested: decide_session_end,
    PasswordChangeSubmitted: decide_password_change,
    InvitationLetterRequested: decide_invitation_letter,
}

#: A rule, and whom it lets write: editors and the owner where nothing is said.
LEDGER_DECIDERS: Mapping[type[Submission], Decider[Books]] = {
    TransactionSubmitted: deciding(record_transaction),
    TransactionChangeSubmitted: deciding(change_transaction),
    ReversalSubmitted: deciding(reverse_transaction),
    UndoSubmitted: deciding(undo),
    AccountSubmitted: deciding(open_account),
    AccountChangeSubmitted: deciding(change_account),
    RatesSubmitted: deciding(record_rates),
    AssertionSubmitted: deciding(assert_balance),
    AssertionLiftSubmitted: deciding(lift_assertion),
    LedgerSubmitted: decide_ledger,
    LedgerChangeSubmitted: deciding(change_ledger, refuse_owning),
    InvitationSubmitted: deciding(invite, refuse_owning),
    InvitationAnswerSubmitted: deciding(answer_invitation, anybody),
    MemberChangeSubmitted: deciding(change_member, refuse_belonging),
}
