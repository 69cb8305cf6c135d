"""Which function decides which message: a line each."""

from collections.abc import Mapping
from typing import Any

from consumers.delivery import Decider
from consumers.domain.books import Books
from consumers.domain.registrations import decide_registration, decide_verification, decide_verification_code
from consumers.domain.sessions import decide_refresh, decide_session, decide_session_end
from consumers.domain.transactions import decide_transaction
from consumers.domain.users import decide_user
from contracts.messages import Submission
from contracts.registrations import RegistrationRequested, VerificationCodeRequested, VerificationSubmitted
from contracts.sessions import RefreshSubmitted, SessionEndRequested, SessionRequested
from contracts.transactions import TransactionSubmitted
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
}

LEDGER_DECIDERS: Mapping[type[Submission], Decider[Books]] = {
    TransactionSubmitted: decide_transaction,
}
