"""What was sent, held against what is read back: each way it can differ is found, and nothing else is."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias
from uuid import uuid4

import pytest

from cli.development.household import Entry
from cli.simulation.people import people
from cli.simulation.tally import Outcome
from cli.simulation.verdict import Fault, Findings, Sent, examine
from tests.builders.simulated_gateway import accounts_of, as_answered

(PERSON,) = people("20261128-7c1f", 1)
#: A salary, a ticket, a rent, a transfer, …; the twelfth has two categories.
ENTRIES = PERSON.first_entries(18)
Listed: TypeAlias = list[dict[str, Any]]


def answered(entry: Entry) -> dict[str, Any]:
    return as_answered(entry.body(), entry.currency)


def held_against(
    listed: Listed, sent: list[Sent], *, earlier: list[Entry] | None = None, accounts: Listed | None = None
) -> Findings:
    known = {entry.key: entry for entry in earlier or ()}
    return examine("ann", sent, known, listed, accounts_of(listed) if accounts is None else accounts)


def recorded(entries: list[Entry] = ENTRIES) -> tuple[Listed, list[Sent]]:
    listed = [answered(entry) for entry in entries]
    sent = [Sent(entry, Outcome.NEW, each["id"]) for entry, each in zip(entries, listed, strict=True)]
    return listed, sent


def faults(findings: Findings) -> set[Fault]:
    return {difference.fault for difference in findings.differences}


def test_what_is_there_as_it_was_sent_is_accounted_for() -> None:
    listed, sent = recorded()
    findings = held_against(listed, sent)

    assert findings.differences == []
    assert (findings.people, findings.transactions) == (1, 18)
    assert findings.balances == len({name for entry in ENTRIES for name, _ in entry.parts()}) + 1


def test_all_kinds_and_splits_are_among_what_is_compared() -> None:
    assert {entry.kind.value for entry in ENTRIES} == {"income", "expense", "transfer", "refund"}
    assert any(entry.part for entry in ENTRIES)


def take_away(listed: Listed) -> None:
    del listed[3]


def double(listed: Listed) -> None:
    listed.append({**listed[3], "id": str(uuid4())})


def add_foreign(listed: Listed) -> None:
    listed.append({**listed[4], "id": str(uuid4()), "external_id": None})


def add_of_another_seed(listed: Listed) -> None:
    listed.append({**listed[4], "id": str(uuid4()), "external_id": "sim-other-5"})


def add_of_a_larger_run(listed: Listed) -> None:
    listed.append(answered(PERSON.first_entries(30)[29]))


@pytest.mark.parametrize(
    ("happen", "fault"),
    [
        (take_away, Fault.MISSING),
        (double, Fault.DOUBLED),
        (add_foreign, Fault.FOREIGN),
        (add_of_another_seed, Fault.FOREIGN),
        (add_of_a_larger_run, Fault.FOREIGN),
    ],
)
def test_what_is_missing_doubled_or_foreign_is_found(happen: Callable[[Listed], None], fault: Fault) -> None:
    listed, sent = recorded()
    accounts = accounts_of(listed)
    happen(listed)

    # As if only the list were wrong: then nothing else is.
    assert faults(held_against(listed, sent, accounts=accounts)) == (
        {fault, Fault.BALANCE} if fault is Fault.MISSING else {fault}
    )
    # As if the books were: then the sums tell it too, except where it is missing from both.
    assert faults(held_against(listed, sent)) == ({fault} if fault is Fault.MISSING else {fault, Fault.BALANCE})


CASH, RENT = {"name": "Cash"}, {"name": "Rent"}


@pytest.mark.parametrize(
    ("at", "change", "said"),
    [
        (0, {"amount": "372827"}, "amount is 372827, not 372826"),
        (0, {"currency": "EUR"}, "currency is EUR, not JPY"),
        (0, {"kind": "refund"}, "kind is refund, not income"),
        (0, {"date": "2026-10-04"}, "day is 2026-10-04, not 2026-10-03"),
        (0, {"description": ""}, "description is nothing, not Salary"),
        (0, {"payee": None}, "payee is nothing, not "),
        (0, {"category": RENT}, "category is Rent, not Salary"),
        (0, {"account": RENT}, "account is Rent, not Cash"),
        (0, {"id": "another"}, "id is another, not "),
        (0, {"tags": ["late"]}, r"tags is \['late'\], not nothing"),
        (3, {"to_account": CASH}, "to account is Cash, not Savings"),
        (11, {"splits": []}, r"splits is nothing, not \["),
        (17, {"tags": []}, r"tags is nothing, not \['trip'\]"),
        (0, {"postings": []}, r"postings is nothing, not \["),
        (
            0,
            {"postings": [{"source": CASH, "destination": {"name": "Salary"}, "amount": "372826", "currency": "JPY"}]},
            "postings is",
        ),
    ],
)
def test_whatever_stands_otherwise_is_named(at: int, change: dict[str, Any], said: str) -> None:
    listed, sent = recorded()
    accounts = accounts_of(listed)
    listed[at] |= change
    findings = held_against(listed, sent, accounts=accounts)

    assert faults(findings) == {Fault.CHANGED}
    named = [difference for difference in findings.differences if re.search(said, difference.what)]
    assert [str(each).startswith(f"ann: changed: {ENTRIES[at].key} (") for each in named] == [True], findings


@pytest.mark.parametrize(
    ("balances", "said"),
    [
        ([{"amount": "1", "currency": "JPY"}], "Rent holds 1 JPY, not 123140 JPY"),
        ([], "Rent holds 0 JPY, not 123140 JPY"),
        (
            [{"amount": "123140", "currency": "JPY"}, {"amount": "0.01", "currency": "EUR"}],
            "Rent holds 0.01 EUR, not 0 EUR",
        ),
    ],
)
def test_an_account_that_holds_something_else_is_named(balances: Listed, said: str) -> None:
    listed, sent = recorded()
    accounts = [
        {**account, "balances": balances} if account["name"] == "Rent" else account for account in accounts_of(listed)
    ]
    findings = held_against(listed, sent, accounts=accounts)

    assert [(each.fault, each.what) for each in findings.differences] == [(Fault.BALANCE, said)]


def test_an_account_that_nobody_used_may_hold_nothing() -> None:
    listed, sent = recorded()
    empty: Listed = [
        {"name": "Gifts", "balances": []},
        {"name": "Visa", "balances": [{"amount": "0.00", "currency": "JPY"}]},
    ]

    assert held_against(listed, sent, accounts=[*accounts_of(listed), *empty]).differences == []


def test_what_nobody_answered_for_may_be_there_or_not_but_once() -> None:
    listed, sent = recorded()
    for one in sent[5:9]:
        one.outcome, one.id = Outcome.UNKNOWN, None
    there = [*listed[:7], *listed[9:]]

    findings = held_against(there, sent)
    assert findings.differences == []
    assert (findings.unknown_recorded, findings.unknown_absent) == (2, 2)
    assert Fault.DOUBLED in faults(held_against([*listed, {**listed[5], "id": "another"}], sent))


@pytest.mark.parametrize("outcome", [Outcome.REFUSED, Outcome.UNSENT])
def test_what_was_refused_or_never_sent_must_not_be_there(outcome: Outcome) -> None:
    listed, sent = recorded()
    sent[5] = replace(sent[5], outcome=outcome, id=None)

    findings = held_against(listed, sent)
    assert faults(findings) == {Fault.FOREIGN}
    assert f"was {outcome}, and is there" in findings.differences[0].what
    del listed[5]
    assert held_against(listed, sent).differences == []


def test_an_earlier_run_of_the_seed_may_have_recorded_what_this_one_did_not_send() -> None:
    listed, sent = recorded(PERSON.first_entries(30))
    for one in sent[10:20]:
        one.outcome, one.id = Outcome.UNSENT, None
    earlier = [one.entry for one in sent]

    assert held_against(listed, sent[:20], earlier=earlier).differences == []
    assert held_against(listed[:15], sent[:20], earlier=earlier).differences == []
    listed[25]["amount"] = "1"
    assert Fault.CHANGED in faults(held_against(listed, sent[:20], earlier=earlier))
    listed.append({**listed[27], "id": "another"})
    assert Fault.DOUBLED in faults(held_against(listed, sent[:20], earlier=earlier))
