"""Claims from the journal: each entry's operation comes back as what was submitted."""

from random import Random
from uuid import UUID, uuid4

import pytest

from consumers.repositories.claims import claimed_by
from contracts.envelope import operation_id
from contracts.ledgers import LedgerOpened, LedgerSubmitted, personal_ledger_id
from contracts.members import MemberChanged, MemberChangeSubmitted, Role
from contracts.messages import JournalEntry, LedgerEntry
from tests.builders.histories import Household
from tests.builders.journal import ANN, LEDGER, stamped
from tests.builders.lived_in import LivedIn


def claims_of(journal: list[JournalEntry]) -> dict[UUID, tuple[str, UUID]]:
    """Return the noun and the resource by operation, of which each has one."""
    claims: dict[UUID, tuple[str, UUID]] = {}
    for entry in journal:
        assert isinstance(entry, LedgerEntry)
        if claim := claimed_by(entry):
            assert claims.setdefault(entry.operation_id, claim) == claim
    return claims


def test_every_kind_of_submission_is_claimed_again_by_its_entries() -> None:
    home = LivedIn()
    submitted = {operation_id(message, who, key): message for message, who, key in home.asked}

    assert claims_of(list(home.journal)) == {
        operation: (message.noun, message.resource_id(operation)) for operation, message in submitted.items()
    }


@pytest.mark.parametrize("seed", range(5))
def test_in_any_history_what_made_entries_is_claimed_again_and_nothing_else(seed: int) -> None:
    household = Household(Random(seed), uuid4(), uuid4(), uuid4())
    acts = household.live(80)

    made = {
        act.operation_id: (act.message.noun, act.message.resource_id(act.operation_id))
        for act, decision in zip(acts, household.decisions, strict=True)
        if decision.journal and decision.refusal is None
    }
    assert claims_of(household.journal) == made


def test_a_further_ledger_is_claimed_and_a_personal_one_opens_in_passing() -> None:
    fields = {"owner_id": ANN, "base_currency": "EUR", "time_zone": "Europe/Berlin", "default_account_id": uuid4()}
    further = LedgerOpened.model_validate({**stamped(1), **fields})
    personal = LedgerOpened.model_validate({**stamped(1, personal_ledger_id(ANN)), **fields})

    assert claimed_by(further) == (LedgerSubmitted.noun, LEDGER)
    assert claimed_by(personal) is None


def test_who_is_handed_a_ledger_is_claimed_and_who_hands_it_over_is_not() -> None:
    other = uuid4()
    new_owner = MemberChanged.model_validate({**stamped(5), "member_id": other, "role": Role.OWNER})
    old_owner = MemberChanged.model_validate({**stamped(6), "member_id": ANN, "role": Role.EDITOR})

    assert claimed_by(new_owner) == (MemberChangeSubmitted.noun, other)
    assert claimed_by(old_owner) is None
