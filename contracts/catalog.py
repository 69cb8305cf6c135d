"""The catalogue: every message type we write or read, one line each."""

from typing import TypeVar

from pydantic import ValidationError

from contracts.accounts import AccountChanged, AccountChangeSubmitted, AccountOpened, AccountSubmitted
from contracts.assertions import AssertionLifted, AssertionLiftSubmitted, AssertionSubmitted, BalanceAsserted
from contracts.changes import UndoSubmitted
from contracts.errors import MalformedMessage
from contracts.ledgers import LedgerChanged, LedgerChangeSubmitted, LedgerOpened, LedgerSubmitted
from contracts.letters import InvitationLetterRequested
from contracts.members import (
    InvitationAnswerSubmitted,
    InvitationEnded,
    InvitationSubmitted,
    MemberChanged,
    MemberChangeSubmitted,
    MemberInvited,
    MemberJoined,
    MemberRemoved,
)
from contracts.messages import JournalEntry, Message, Submission
from contracts.passwords import PasswordChanged, PasswordChangeSubmitted
from contracts.rates import RatesRecorded, RatesSubmitted
from contracts.registrations import (
    RegistrationExpired,
    RegistrationRequested,
    RegistrationVerified,
    VerificationCodeRequested,
    VerificationSubmitted,
)
from contracts.sessions import RefreshSubmitted, SessionEnded, SessionEndRequested, SessionRequested, SessionStarted
from contracts.transactions import (
    ReversalSubmitted,
    TransactionAnnotated,
    TransactionChangeSubmitted,
    TransactionRecorded,
    TransactionReversed,
    TransactionSubmitted,
)
from contracts.users import UserRegistered, UserSubmitted

SUBMISSIONS: tuple[type[Submission], ...] = (
    RegistrationRequested,
    VerificationCodeRequested,
    VerificationSubmitted,
    UserSubmitted,
    SessionRequested,
    RefreshSubmitted,
    SessionEndRequested,
    PasswordChangeSubmitted,
    InvitationLetterRequested,
    TransactionSubmitted,
    TransactionChangeSubmitted,
    ReversalSubmitted,
    UndoSubmitted,
    AccountSubmitted,
    AccountChangeSubmitted,
    RatesSubmitted,
    AssertionSubmitted,
    AssertionLiftSubmitted,
    LedgerSubmitted,
    LedgerChangeSubmitted,
    InvitationSubmitted,
    InvitationAnswerSubmitted,
    MemberChangeSubmitted,
)
JOURNAL_ENTRIES: tuple[type[JournalEntry], ...] = (
    RegistrationVerified,
    RegistrationExpired,
    UserRegistered,
    SessionStarted,
    SessionEnded,
    PasswordChanged,
    LedgerOpened,
    LedgerChanged,
    AccountOpened,
    AccountChanged,
    TransactionRecorded,
    TransactionAnnotated,
    TransactionReversed,
    RatesRecorded,
    BalanceAsserted,
    AssertionLifted,
    MemberInvited,
    InvitationEnded,
    MemberJoined,
    MemberChanged,
    MemberRemoved,
)
MESSAGES: tuple[type[Message], ...] = (*SUBMISSIONS, *JOURNAL_ENTRIES)

_SUBMISSIONS_BY_TYPE = {message.type: message for message in SUBMISSIONS}
_ENTRIES_BY_TYPE = {message.type: message for message in JOURNAL_ENTRIES}

M = TypeVar("M", bound=Message)


def read_submission(type_name: str, value: bytes | None, topic: str) -> Submission:
    """Read the value of a submission record.

    Raises:
        MalformedMessage: a type we do not know or that does not belong on ``topic``, or a value that is not one.
    """
    message_class = _SUBMISSIONS_BY_TYPE.get(type_name)
    if message_class is None:
        raise MalformedMessage(f"{_shown(type_name)} is not a submission this version knows.")
    if topic not in {allowed.name for allowed in message_class.topics}:
        raise MalformedMessage(f"{type_name} does not belong on {topic}.")
    return _read(message_class, value)


def read_journal_entry(type_name: str, value: bytes | None) -> JournalEntry:
    """Read the value of a journal record.

    Raises:
        MalformedMessage: a type we do not know, or a value that is not one.
    """
    message_class = _ENTRIES_BY_TYPE.get(type_name)
    if message_class is None:
        raise MalformedMessage(f"{_shown(type_name)} is not a journal entry this version knows.")
    return _read(message_class, value)


def _read(message_class: type[M], value: bytes | None) -> M:
    if not value:
        raise MalformedMessage("The value is empty (a tombstone).")
    try:
        # Strict: what the JSON Schema says and no more, so no number for a text and no text for a number.
        return message_class.model_validate_json(value, strict=True)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "value"
        raise MalformedMessage(f"{where}: {first['msg']}") from None


def _shown(type_name: str) -> str:
    return ascii(type_name[:100])
