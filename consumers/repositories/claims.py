"""Claims that come back from the journal: what was recorded once is not recorded again, in a rebuilt database too."""

from collections.abc import Sequence
from uuid import UUID

from contracts.accounts import AccountChanged, AccountChangeSubmitted, AccountOpened, AccountSubmitted
from contracts.assertions import AssertionLifted, AssertionLiftSubmitted, AssertionSubmitted, BalanceAsserted
from contracts.changes import UndoSubmitted
from contracts.ledgers import LedgerChanged, LedgerChangeSubmitted, LedgerOpened, LedgerSubmitted, personal_ledger_id
from contracts.members import (
    InvitationAnswerSubmitted,
    InvitationEnded,
    InvitationSubmitted,
    MemberChanged,
    MemberChangeSubmitted,
    MemberInvited,
    MemberRemoved,
)
from contracts.messages import LedgerEntry
from contracts.rates import RatesRecorded, RatesSubmitted
from contracts.transactions import (
    ReversalSubmitted,
    TransactionAnnotated,
    TransactionChangeSubmitted,
    TransactionKind,
    TransactionRecorded,
    TransactionReversed,
    TransactionSubmitted,
)
from infra.postgres.engine import Connection

_RESTORE = """
    INSERT INTO operations (id, subject_id, user_id, noun, state, resource_id, request_hash, recorded_at, source_topic,
                            source_partition, source_offset)
    SELECT id, subject_id, user_id, noun, 'recorded', resource_id, request_hash, recorded_at, topic, part, off
    FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::uuid[], $6::bytea[], $7::timestamptz[], $8::text[],
                $9::int[], $10::bigint[])
      AS claim (id, subject_id, user_id, noun, resource_id, request_hash, recorded_at, topic, part, off)
    ORDER BY id
    ON CONFLICT (id) DO NOTHING
"""

# An operation that only opened its sender's personal ledger was refused: it has no claim, and its change tells.
_STRANGERS = """
    SELECT ledger_id, sequence
    FROM unnest($1::uuid[], $2::bigint[], $3::uuid[]) AS entry (ledger_id, sequence, operation_id)
    WHERE NOT EXISTS (SELECT FROM operations WHERE id = operation_id)
      AND NOT EXISTS (
        SELECT FROM changes
        WHERE changes.ledger_id = entry.ledger_id AND changes.sequence BETWEEN entry.sequence - 1 AND entry.sequence
          AND changes.operation_id = entry.operation_id
      )
    LIMIT 1
"""


def claimed_by(entry: LedgerEntry) -> tuple[str, UUID] | None:
    """Return the noun and the resource of the submission that an entry answers.

    ``None`` for an entry that only goes with another one of the same operation, which says it, and for the opening of
    a personal ledger: whatever its owner sends first opens it, be it refused.
    """
    # The nouns and resources are those of the submissions (``Submission.noun`` and ``resource_id``).
    match entry:
        case TransactionRecorded(undoes=int()) | TransactionAnnotated(undoes=int()) | AccountChanged(undoes=int()):
            return UndoSubmitted.noun, entry.operation_id
        case TransactionReversed(undoes=int()):
            return UndoSubmitted.noun, entry.operation_id
        case TransactionRecorded(revision=1):
            # An opening balance goes with its account.
            is_asked = entry.kind is not TransactionKind.OPENING
            return (TransactionSubmitted.noun, entry.transaction_id) if is_asked else None
        case TransactionRecorded() | TransactionAnnotated():
            return TransactionChangeSubmitted.noun, entry.transaction_id
        case TransactionReversed():
            return (ReversalSubmitted.noun, entry.transaction_id) if entry.deleted else None
        case AccountOpened():
            return (AccountSubmitted.noun, entry.account_id) if entry.asked else None
        case AccountChanged():
            return AccountChangeSubmitted.noun, entry.account_id
        case RatesRecorded():
            return RatesSubmitted.noun, entry.ledger_id
        case BalanceAsserted():
            return AssertionSubmitted.noun, entry.assertion_id
        case AssertionLifted():
            return AssertionLiftSubmitted.noun, entry.assertion_id
        case LedgerOpened():
            is_personal = entry.ledger_id == personal_ledger_id(entry.owner_id)
            return None if is_personal else (LedgerSubmitted.noun, entry.ledger_id)
        case LedgerChanged():
            return LedgerChangeSubmitted.noun, entry.ledger_id
        case MemberInvited():
            return InvitationSubmitted.noun, entry.invitation_id
        case InvitationEnded():
            return InvitationAnswerSubmitted.noun, entry.invitation_id
        case MemberChanged():
            # Who hands a ledger over gets another role in passing.
            is_passing = entry.member_id == entry.user_id
            return None if is_passing else (MemberChangeSubmitted.noun, entry.member_id)
        case MemberRemoved():
            return MemberChangeSubmitted.noun, entry.member_id
        case _:
            return None


async def restore(connection: Connection, entries: Sequence[LedgerEntry]) -> None:
    """Insert the operations that these entries came of, as recorded; key and request are in no journal."""
    claims: dict[UUID, tuple[LedgerEntry, str, UUID]] = {}
    for entry in entries:
        if claim := claimed_by(entry):
            claims.setdefault(entry.operation_id, (entry, *claim))
    if not claims:
        return
    rows = list(claims.values())
    await connection.execute(
        _RESTORE,
        list(claims),
        [entry.ledger_id for entry, _, _ in rows],
        [entry.user_id for entry, _, _ in rows],
        [noun for _, noun, _ in rows],
        [resource_id for _, _, resource_id in rows],
        [bytes.fromhex(entry.request_hash) for entry, _, _ in rows],
        [entry.recorded_at for entry, _, _ in rows],
        [entry.source.topic for entry, _, _ in rows],
        [entry.source.partition for entry, _, _ in rows],
        [entry.source.offset for entry, _, _ in rows],
    )


async def find_stranger(connection: Connection, repeats: Sequence[LedgerEntry]) -> tuple[UUID, int] | None:
    """Find one among entries that came before, by ledger and sequence, whose operation is not the one that came then.

    A repeat says the same again. Two that do not are two histories under one ledger's numbers.
    """
    row = await connection.fetchrow(
        _STRANGERS,
        [entry.ledger_id for entry in repeats],
        [entry.sequence for entry in repeats],
        [entry.operation_id for entry in repeats],
    )
    return (row["ledger_id"], row["sequence"]) if row else None
