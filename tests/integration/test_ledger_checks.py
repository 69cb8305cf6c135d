"""The checks of the ledger database: silent on right books, and each finds the damage it is there for."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from consumers.jobs import checks
from consumers.jobs.checks import FINDINGS, SKIPPED, Place, check_some
from infra.local.stack import LocalStack
from infra.postgres.ledger_checks import CHECKS, Finding, check_in_slices, check_ledgers, find_strays, run_check
from tests.builders.ledger_database import LedgerDatabase, a_ledger_database
from tests.builders.lived_in import LivedIn

pytestmark = pytest.mark.stack


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def ledger(stack: LocalStack) -> AsyncIterator[LedgerDatabase]:
    async with a_ledger_database(stack) as database:
        yield database


@pytest_asyncio.fixture(loop_scope="session")
async def lived_in(ledger: LedgerDatabase) -> AsyncIterator[LivedIn]:
    """A ledger in the database; whatever was done to it, it is gone afterwards."""
    home = LivedIn()
    await ledger.take([home.journal])
    yield home
    await ledger.forget(home.ledger_id)


async def damage(ledger: LedgerDatabase, lived_in: LivedIn, statement: str) -> None:
    async with ledger.migrator.connection("do damage") as connection:
        assert not (await connection.execute(statement, lived_in.ledger_id)).endswith(" 0")


async def findings_of(ledger: LedgerDatabase, ledger_ids: Sequence[UUID]) -> list[Finding]:
    return [finding async for checked in check_in_slices(ledger.consumer, ledger_ids) for finding in checked.findings]


#: By check, what it must find. $1 is the ledger; names and sequences are those of :class:`LivedIn`.
DAMAGES = [
    ("monthly totals", "UPDATE monthly_balances SET incoming_minor = incoming_minor + 1 WHERE ledger_id = $1"),
    ("monthly totals", "DELETE FROM monthly_balances WHERE ledger_id = $1"),
    ("monthly totals", "UPDATE monthly_balances SET month = month + interval '10 years' WHERE ledger_id = $1"),
    ("monthly totals", "UPDATE postings SET amount_minor = amount_minor + 1 WHERE ledger_id = $1"),
    ("balances", "UPDATE balances SET balance_minor = balance_minor + 1 WHERE ledger_id = $1"),
    ("balances", "DELETE FROM balances WHERE ledger_id = $1"),
    ("zero sum", "UPDATE balances SET balance_minor = balance_minor + 1 WHERE ledger_id = $1 AND currency = 'USD'"),
    ("gaps", "DELETE FROM changes WHERE ledger_id = $1 AND type = 'rates.recorded'"),
    ("gaps", "UPDATE ledgers SET sequence = sequence + 1 WHERE id = $1"),
    ("gaps", "UPDATE ledgers SET sequence = 5 WHERE id = $1"),
    ("duplicates", "UPDATE changes SET sequence = 3 WHERE ledger_id = $1 AND type = 'ledger.changed'"),
    ("duplicates", "UPDATE postings SET transaction_id = gen_random_uuid() WHERE ledger_id = $1 AND position = 1"),
    ("clock", "UPDATE postings SET recorded_at = recorded_at - interval '1 day' WHERE ledger_id = $1 AND sequence > 9"),
    ("clock", "UPDATE changes SET recorded_at = recorded_at + interval '1 day' WHERE ledger_id = $1 AND sequence = 1"),
    ("clock", "UPDATE ledgers SET recorded_at = recorded_at + interval '1 second' WHERE id = $1"),
    ("orphans", "DELETE FROM transactions WHERE ledger_id = $1 AND kind = 'income'"),
    ("orphans", "DELETE FROM accounts WHERE ledger_id = $1 AND name = 'Salary'"),
    ("heads", "DELETE FROM postings WHERE ledger_id = $1 AND sequence = 4"),
    (
        "heads",
        "DELETE FROM postings WHERE ledger_id = $1"
        " AND sequence = (SELECT max(sequence) FROM transactions WHERE ledger_id = $1)",
    ),
    ("money", "UPDATE transactions SET amount_minor = amount_minor + 1 WHERE ledger_id = $1 AND kind = 'exchange'"),
    ("money", "UPDATE transactions SET currency = 'CHF' WHERE ledger_id = $1 AND kind = 'income'"),
    ("money", "UPDATE transactions SET booked_on = booked_on + 1 WHERE ledger_id = $1 AND kind = 'income'"),
    (
        "reversals",
        "UPDATE postings SET amount_minor = amount_minor + 1 WHERE ledger_id = $1"
        " AND sequence = (SELECT max(version) FROM transactions WHERE ledger_id = $1 AND deleted)",
    ),
    (
        "reversals",
        "UPDATE postings SET booked_on = booked_on + 1 WHERE ledger_id = $1"
        " AND sequence = (SELECT max(version) FROM transactions WHERE ledger_id = $1 AND deleted)",
    ),
    ("currencies", "UPDATE accounts SET currency = 'CHF' WHERE ledger_id = $1 AND name = 'Savings'"),
    ("currency codes", "UPDATE rates SET quote = 'XXX' WHERE ledger_id = $1"),
    ("currency codes", "UPDATE ledgers SET base_currency = 'EURO' WHERE id = $1"),
    ("versions", "DELETE FROM transaction_versions WHERE ledger_id = $1 AND revision = 1"),
    ("versions", "UPDATE transactions SET revision = revision + 1 WHERE ledger_id = $1"),
    ("versions", "UPDATE transactions SET state_of = 2 WHERE ledger_id = $1 AND deleted"),
    ("versions", "UPDATE transactions SET deleted = true WHERE ledger_id = $1 AND kind = 'income'"),
    ("versions", "UPDATE transaction_versions SET version = version + 1000 WHERE ledger_id = $1"),
    (
        "versions",
        "UPDATE changes SET subject_id = gen_random_uuid() WHERE ledger_id = $1 AND type LIKE 'transaction.%'",
    ),
    ("gaps", "DELETE FROM account_versions WHERE ledger_id = $1 AND name = 'Food'"),
    ("changes", "DELETE FROM account_versions WHERE ledger_id = $1 AND name = 'Eating'"),
    ("changes", "DELETE FROM transaction_versions WHERE ledger_id = $1 AND deleted"),
    ("account versions", "UPDATE accounts SET version = 2 WHERE ledger_id = $1 AND name = 'Eating'"),
    ("account versions", "UPDATE accounts SET state_of = 2 WHERE ledger_id = $1 AND name = 'Eating'"),
    ("roots", "UPDATE accounts SET root_id = id WHERE ledger_id = $1 AND merged_into IS NOT NULL"),
    ("roots", "UPDATE accounts SET merged_into = NULL WHERE ledger_id = $1 AND merged_into IS NOT NULL"),
    ("roots", "UPDATE accounts SET merged_into = gen_random_uuid() WHERE ledger_id = $1 AND name = 'Eating'"),
    (
        "roots",
        "UPDATE accounts SET merged_into = (SELECT id FROM accounts WHERE ledger_id = $1 AND name = 'Eating')"
        " WHERE ledger_id = $1 AND name = 'Groceries'",
    ),
    (
        "roots",
        "UPDATE accounts SET merged_into = (SELECT id FROM accounts WHERE ledger_id = $1 AND name = 'Savings'),"
        " root_id = (SELECT id FROM accounts WHERE ledger_id = $1 AND name = 'Savings')"
        " WHERE ledger_id = $1 AND name = 'Salary'",
    ),
    ("changes", "UPDATE changes SET subject_id = gen_random_uuid() WHERE ledger_id = $1 AND type = 'account.changed'"),
    ("changes", "UPDATE changes SET undoes = 9999 WHERE ledger_id = $1 AND undoes IS NOT NULL"),
    ("changes", "DELETE FROM assertions WHERE ledger_id = $1"),
    ("changes", "DELETE FROM invitations WHERE ledger_id = $1"),
    ("tags", "DELETE FROM transaction_tags WHERE ledger_id = $1 AND tag_key = 'strasse'"),
    ("tags", "UPDATE transaction_tags SET tag_key = 'beach' WHERE ledger_id = $1 AND tag_key = 'holiday'"),
    ("tags", "UPDATE transaction_tags SET booked_on = booked_on + 1 WHERE ledger_id = $1"),
    ("tags", "UPDATE transaction_tags SET transaction_id = gen_random_uuid() WHERE ledger_id = $1"),
    (
        "tags",
        "INSERT INTO transaction_tags SELECT ledger_id, 'sea', booked_on, id FROM transactions"
        " WHERE ledger_id = $1 AND deleted",
    ),
    ("names", "UPDATE accounts SET name_key = 'food' WHERE ledger_id = $1 AND name = 'Salary'"),
    ("names", "UPDATE transactions SET payee_key = 'other' WHERE ledger_id = $1 AND payee IS NOT NULL"),
    ("names", "UPDATE transactions SET payee_key = NULL WHERE ledger_id = $1 AND payee IS NOT NULL"),
    ("assertions", "UPDATE assertions SET computed_minor = computed_minor + 1 WHERE ledger_id = $1"),
    ("assertions", "UPDATE assertions SET account_id = gen_random_uuid() WHERE ledger_id = $1"),
    ("assertions", "UPDATE assertions SET currency = 'CHF' WHERE ledger_id = $1"),
    ("assertions", "UPDATE assertions SET lifted_at = NULL WHERE ledger_id = $1"),
    ("assertions", "UPDATE assertions SET sequence = sequence + 1 WHERE ledger_id = $1"),
    ("rates", "UPDATE rates SET rate = 0 WHERE ledger_id = $1"),
    ("rates", "UPDATE rates SET quote = currency WHERE ledger_id = $1"),
    ("members", "DELETE FROM members WHERE ledger_id = $1 AND role = 'owner'"),
    ("members", "UPDATE members SET role = 'owner' WHERE ledger_id = $1"),
    ("opening", "UPDATE ledgers SET base_currency = NULL WHERE id = $1"),
    ("opening", "UPDATE ledgers SET default_account_id = gen_random_uuid() WHERE id = $1"),
]


async def test_right_books_have_no_finding(ledger: LedgerDatabase, lived_in: LivedIn) -> None:
    assert await findings_of(ledger, [lived_in.ledger_id]) == []
    assert await check_ledgers(ledger.consumer) == []


@pytest.mark.parametrize(("check", "statement"), DAMAGES)
async def test_the_check_finds_the_damage(
    ledger: LedgerDatabase, lived_in: LivedIn, check: str, statement: str
) -> None:
    await damage(ledger, lived_in, statement)

    findings = await findings_of(ledger, [lived_in.ledger_id])

    assert check in {finding.check for finding in findings}, findings
    for finding in findings:
        assert finding.ledger_id == lived_in.ledger_id
        assert finding.sentence.startswith(f"Ledger {lived_in.ledger_id}: ")
        assert finding.sentence.endswith(".")


def test_each_check_has_its_damage() -> None:
    assert {check for check, _ in DAMAGES} == set(CHECKS)


async def test_damage_in_one_ledger_is_found_among_others_and_told_of_it_alone(ledger: LedgerDatabase) -> None:
    homes = [LivedIn() for _ in range(3)]
    await ledger.take([[entry for home in homes for entry in home.journal]])
    try:
        await damage(ledger, homes[1], "UPDATE balances SET balance_minor = balance_minor + 1 WHERE ledger_id = $1")

        findings = [f for checked in [c async for c in check_in_slices(ledger.consumer)] for f in checked.findings]
        assert {finding.ledger_id for finding in findings} == {homes[1].ledger_id}
        assert await findings_of(ledger, [homes[0].ledger_id, homes[2].ledger_id]) == []
    finally:
        for home in homes:
            await ledger.forget(home.ledger_id)


async def test_rows_of_a_ledger_that_does_not_exist_are_found(ledger: LedgerDatabase, lived_in: LivedIn) -> None:
    nobodys = uuid4()
    async with ledger.migrator.connection("do damage") as connection:
        for table in ("postings", "changes", "balances", "transaction_tags"):
            await connection.execute(
                f"UPDATE {table} SET ledger_id = $2 WHERE ledger_id = $1", lived_in.ledger_id, nobodys
            )
    try:
        strays = await find_strays(ledger.consumer)
        assert {finding.ledger_id for finding in strays} == {nobodys}
        assert len(strays) == 4
        assert any("rows of postings" in sentence for sentence in await check_ledgers(ledger.consumer))
    finally:
        await ledger.forget(nobodys)


async def test_what_is_recorded_while_a_check_runs_is_no_finding(ledger: LedgerDatabase) -> None:
    homes = [LivedIn() for _ in range(30)]

    async def record() -> None:
        for home in homes:
            await ledger.take([home.journal[at : at + 4] for at in range(0, len(home.journal), 4)])

    recording = asyncio.create_task(record())
    rounds = 0
    while not recording.done():
        assert await check_ledgers(ledger.consumer) == []
        rounds += 1
    await recording
    assert rounds > 1
    for home in homes:
        await ledger.forget(home.ledger_id)


async def test_the_job_goes_on_where_it_stopped_and_counts_what_it_finds(
    ledger: LedgerDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    homes = sorted([LivedIn() for _ in range(3)], key=lambda home: home.ledger_id)
    await ledger.take([home.journal for home in homes])
    await damage(ledger, homes[2], "UPDATE ledgers SET sequence = sequence + 1 WHERE id = $1")
    asked: list[tuple[str, UUID]] = []

    async def noting(database: object, check: str, ledger_ids: Sequence[UUID], **limits: float) -> list[Finding]:
        asked.extend((check, ledger_id) for ledger_id in ledger_ids)
        return await run_check(ledger.consumer, check, ledger_ids, **limits)

    monkeypatch.setattr(checks, "run_check", noting)
    before = FINDINGS.labels("gaps")._value.get()
    try:
        place, runs = Place(), 0
        while runs == 0 or place != Place():
            place = await check_some(ledger.consumer, place, budget_s=0.01, entries_max=1)
            runs += 1
    finally:
        for home in homes:
            await ledger.forget(home.ledger_id)

    assert runs > 2
    assert sorted(asked) == sorted((check, home.ledger_id) for check in CHECKS for home in homes)
    assert FINDINGS.labels("gaps")._value.get() == before + 1


async def test_the_job_leaves_out_what_takes_too_long(
    ledger: LedgerDatabase, lived_in: LivedIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "CHECK_WITHIN_S", 0.1)
    monkeypatch.setattr(checks, "CHECKS", {"balances": _slow})
    monkeypatch.setattr(checks, "find_strays", _nothing)
    monkeypatch.setitem(cast(Any, CHECKS), "balances", _slow)
    before = SKIPPED.labels("balances")._value.get()

    assert await check_some(ledger.consumer, Place()) == Place()

    assert SKIPPED.labels("balances")._value.get() == before + 1


async def _slow(connection: object, ledger_ids: object) -> list[object]:
    return list(await connection.fetch("SELECT $1::uuid[], pg_sleep(1)", ledger_ids))  # type: ignore[attr-defined]


async def _nothing(*_: object, **__: object) -> list[Finding]:
    return []
