"""How PostgreSQL answers each of the gateway's questions about a ledger of years: by indexes, as docs/plans.md says."""

import importlib
import pkgutil
from collections.abc import AsyncIterator, Iterator, Sequence

import pytest
import pytest_asyncio

import gateway.queries
from infra.local.stack import LocalStack
from infra.postgres.engine import Database
from infra.postgres.ledger_checks import CHECKS, run_check
from infra.settings import LedgerDatabaseSettings
from tests.bench.plans import PAGE, TRANSACTIONS, Answered, Scan, add_others, answer_all, databases, page_of
from tests.bench.questions import Asking
from tests.builders.settings import settings_from

pytestmark = pytest.mark.stack


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def asking(stack: LocalStack) -> AsyncIterator[Asking]:
    """Databases that these plans are made on, filled."""
    async with databases(stack, TRANSACTIONS) as asking:
        yield asking


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def alone(asking: Asking) -> Sequence[Answered]:
    """Every question with the plans of its statements, while the ledger is the only one."""
    return await answer_all(asking)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def answered(stack: LocalStack, asking: Asking, alone: Sequence[Answered]) -> Sequence[Answered]:
    """The same beside many small ledgers."""
    await add_others(stack)
    return await answer_all(asking)


def scans_of(answered: Sequence[Answered]) -> Iterator[tuple[str, Scan]]:
    for each in answered:
        for planned in each.planned:
            for plan in (planned.generic, planned.custom, planned.small):
                for scan in plan.scans:
                    yield f"{planned.statement.name} ({each.question.words})", scan


async def test_the_page_says_how_each_question_is_answered(answered: Sequence[Answered]) -> None:
    assert page_of(answered) == PAGE.read_text("utf-8"), (
        "docs/plans.md is not true any more; look at what differs after `.venv/bin/python -m tests.bench.plans`"
    )


async def test_no_question_reads_a_whole_table(alone: Sequence[Answered], answered: Sequence[Answered]) -> None:
    whole = [(name, scan) for name, scan in scans_of([*alone, *answered]) if scan.index is None]

    assert whole == []


async def test_no_question_reads_a_whole_index(answered: Sequence[Answered]) -> None:
    """An index without its first column is read from end to end, or jumped through: rows of all ledgers."""
    whole = [(name, scan) for name, scan in scans_of(answered) if scan.index and scan.first_column not in scan.columns]

    assert whole == []


async def test_where_a_ledger_is_the_only_one_no_more_than_its_row_and_its_members_are_read_whole(
    alone: Sequence[Answered],
) -> None:
    """Else a join may begin with all accounts, a page for each: they look few beside a page of unknown length."""
    whole = [
        (name, scan)
        for name, scan in scans_of(alone)
        if scan.index and scan.first_column not in scan.columns and scan.table not in ("ledgers", "members")
    ]

    assert whole == []


async def test_every_statement_of_the_read_side_is_shown(answered: Sequence[Answered]) -> None:
    asked = {planned.statement.text for each in answered for planned in each.planned}
    missing = []
    for found in pkgutil.iter_modules(gateway.queries.__path__, "gateway.queries."):
        for name, value in vars(importlib.import_module(found.name)).items():
            is_statement = type(value) is str and value.lstrip().startswith(("SELECT", "WITH"))
            if is_statement and not any(value.strip() in text for text in asked):
                missing.append(f"{found.name}.{name}")

    assert missing == [], "add a question to tests/bench/questions.py that asks it"


async def test_the_ledger_that_is_asked_about_is_one_that_a_consumer_could_have_left(
    stack: LocalStack, asking: Asking
) -> None:
    settings = settings_from(stack.environment("ledger-consumer"), LedgerDatabaseSettings)
    database = Database(settings.model_copy(update={"name": asking.ledger.name}), application="tests")
    await database.start()
    try:
        findings = [each for check in CHECKS for each in await run_check(database, check, [asking.of.ledger_id])]
    finally:
        await database.stop()

    assert findings == []
