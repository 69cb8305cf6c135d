"""How PostgreSQL means to find what a filter means: by which index, whatever the parameters are."""

import re
from collections.abc import Sequence

import pytest
import pytest_asyncio

from contracts.filters import parse_filter
from gateway.queries import filters
from gateway.queries.filters import Selection, Sort, find_names
from gateway.queries.totals import By, totals_statement
from gateway.queries.transactions import shown
from infra.local.stack import LocalStack
from infra.postgres.engine import Database
from infra.settings import LedgerDatabaseSettings
from tests.builders.large_ledger import LargeLedger, fill_ledger
from tests.builders.plans import plan_of
from tests.builders.settings import settings_from

pytestmark = pytest.mark.stack


async def planned(database: Database, ledger: LargeLedger, text: str | None, sort: Sort) -> list[str]:
    """Return the plans of what is asked for one page, the first and the next, of a filtered list."""
    what = parse_filter(text) if text else None
    ledger_id, user_id = ledger.ledger_id, ledger.user_id
    async with database.connection("choose a way") as connection:
        names = None if what is None else await find_names(connection, ledger_id, user_id, what)
        selection = Selection(what, names)
        plan = await selection.choose(connection, ledger_id, sort)
    statements = [shown(selection.page(plan, sort, 51, after), sort).numbered(3)[0] for after in (None, (1, 2, 3))]
    if selection.counts().values:
        statements.append(selection.counts().numbered(2)[0])
    return [await plan_of(database, statement) for statement in statements]


def indexes_of(plans: Sequence[str]) -> set[str]:
    return {
        name for plan in plans for name in re.findall(r"Index (?:Only )?Scan (?:Backward )?(?:using|on) (\w+)", plan)
    }


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def ledger(stack: LocalStack) -> LargeLedger:
    """A ledger large enough that PostgreSQL's own ideas would be other ones."""
    database = Database(settings_from(stack.environment("migrate"), LedgerDatabaseSettings), application="tests")
    await database.start()
    async with database.connection("fill a ledger") as connection:
        filled = await fill_ledger(connection, 20_000)
    await database.stop()
    return filled


@pytest.mark.parametrize("many", [0, 10**6], ids=["many", "few"])
@pytest.mark.parametrize("sort", Sort)
@pytest.mark.parametrize(
    ("text", "indexes"),
    [
        (None, set()),
        ("account:Cash", {"postings_source", "postings_destination"}),
        ("category:Merged", {"postings_source", "postings_destination"}),
        ("tag:holiday", {"transaction_tags_pkey"}),
        ('payee:"Payee 7"', {"transactions_payee"}),
        ("milk", {"transactions_words"}),
        ("external:x", {"transactions_external"}),
        ("amount:>10", {"transactions_amount"}),
        ("currency:EUR", {"transactions_amount"}),
        ("date:2026-01", {"transactions_newest"}),
        ("kind:exchange", {"postings_source", "postings_destination"}),
        ("status:reconciled", {"postings_source", "postings_destination"}),
        ("tag:holiday OR payee:x", {"transaction_tags_pkey", "transactions_payee"}),
        ("status:pending -tag:work", set()),
        ("account:Cash category:Salary milk amount:10..20 -(tag:x OR payee:y) date:2026-01", set()),
    ],
)
async def test_a_filtered_list_reads_no_table_whole(
    ledger_reading: Database,
    ledger: LargeLedger,
    monkeypatch: pytest.MonkeyPatch,
    text: str | None,
    indexes: set[str],
    sort: Sort,
    many: int,
) -> None:
    monkeypatch.setattr(filters, "MANY", many)

    plans = await planned(ledger_reading, ledger, text, sort)

    for plan in plans:
        for never in ("Seq Scan", "Hash Join", "Merge Join", "hashed SubPlan"):
            assert never not in plan, plan
    used = indexes_of(plans)
    # Where there are many rows, a list by amount walks along it and asks the rest of each row.
    walks = many == 0 and sort in (Sort.LARGEST, Sort.SMALLEST)
    assert indexes <= used or (walks and "transactions_amount" in used), (used, plans)
    if text is None or not indexes:
        assert used & {"transactions_newest", "transactions_amount", "postings_source"}, plans


@pytest.mark.parametrize("by", By)
@pytest.mark.parametrize("text", ["account:Cash", "milk", "tag:work -payee:Rossi", "date:2026-01 amount:>10"])
async def test_totals_of_a_filter_read_no_table_whole(
    ledger_reading: Database, ledger: LargeLedger, by: By, text: str
) -> None:
    async with ledger_reading.connection("choose a way") as connection:
        names = await find_names(connection, ledger.ledger_id, ledger.user_id, parse_filter(text))
        selection = Selection(parse_filter(text), names)
        way = await selection.choose_whole(connection, ledger.ledger_id)
    of_accounts = by in (By.CATEGORY, By.ACCOUNT)

    plan = await plan_of(ledger_reading, totals_statement(by, selection, way).numbered(5 if of_accounts else 4)[0])

    for never in ("Seq Scan", "Hash Join", "Merge Join", "hashed SubPlan"):
        assert never not in plan, plan
