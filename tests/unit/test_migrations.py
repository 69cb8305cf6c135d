"""No migration breaks the version that still runs, and each is the next number."""

import ast
from pathlib import Path

import pytest

from infra.postgres.compatibility import breaking_steps, contract_since
from infra.postgres.revisions import MIGRATIONS, is_newer, newest_revision
from infra.version import own_version
from tests.upgrade.next_version import next_version

#: What made the first tables had nobody to break.
FIRST = "0001"


def revisions_of(database: str, folder: Path = MIGRATIONS) -> list[Path]:
    return sorted((folder / database / "versions").glob("[0-9]*.py"))


def value_of(source: str, name: str) -> object:
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and any(
            isinstance(each, ast.Name) and each.id == name for each in node.targets
        ):
            return ast.literal_eval(node.value)
    raise AssertionError(f"{name} is not said")


def version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


@pytest.mark.parametrize("database", ["users", "ledger"])
def test_each_revision_is_the_number_after_the_one_before(database: str) -> None:
    before = None
    for path in revisions_of(database):
        source = path.read_text()
        number = path.name.partition("_")[0]
        assert (value_of(source, "revision"), value_of(source, "down_revision")) == (number, before)
        assert before is None or is_newer(number, before)
        before = number
    assert newest_revision(database) == before


@pytest.mark.parametrize("path", [*revisions_of("users"), *revisions_of("ledger")], ids=lambda path: path.name)
def test_a_revision_only_adds_or_says_since_when_nobody_uses_what_it_takes_away(path: Path) -> None:
    source = path.read_text()
    if path.name.startswith(FIRST) or not (found := breaking_steps(source)):
        return
    since = contract_since(source)
    assert since is not None, (
        f"{path.name} breaks the version before it: {'; '.join(found)}."
        ' Only add (docs/upgrading.md), or say contract_since = "<the version since which nobody uses it>".'
    )
    assert version(since) < version(own_version()), "the version before this one still uses it"


BROKEN = {
    'op.drop_column("t", "c")': "drops a column",
    'op.drop_table("t")': "drops a table",
    'op.rename_table("t", "u")': "renames a table",
    'op.alter_column("t", "c", nullable=False)': "makes a column required",
    'op.alter_column("t", "c", new_column_name="d")': "renames a column",
    'op.alter_column("t", "c", type_=sa.Text())': "changes a column's type",
    'op.alter_column("t", "c", server_default=None)': "takes away a default",
    'op.add_column("t", sa.Column("c", sa.Text(), nullable=False))': "adds a column that the version before",
    'op.create_check_constraint("k", "t", "c > 0")': "narrows what may be written",
    'op.create_index("i", "t", ["c"], unique=True, postgresql_concurrently=True)': "narrows what may be written",
    'op.create_index("i", "t", ["c"])': "holds up every write",
    'op.execute("ALTER TABLE t ALTER c SET NOT NULL")': "makes a column required",
    'op.execute("ALTER TABLE t ALTER COLUMN c TYPE bigint")': "changes a column's type",
    'op.execute("alter table t drop column c")': "drops something",
    'op.execute("ALTER TABLE t RENAME c TO d")': "renames something",
    'op.execute(sa.text("ALTER TABLE t ADD CONSTRAINT k CHECK (c > 0)"))': "narrows what may be written",
    'op.execute("ALTER TABLE t ADD c int NOT NULL")': "adds a required column",
    'op.execute("REVOKE SELECT ON t FROM ledger_gateway")': "takes a right away",
    'op.execute(f"ALTER TABLE {table} ADD c int")': "cannot be read here",
    "op.some_new_thing()": "is not known here",
}
SAFE = [
    'op.add_column("t", sa.Column("c", sa.Text()))',
    'op.add_column("t", sa.Column("c", sa.Text(), nullable=False, server_default=sa.text("\'\'")))',
    'op.create_table("u", sa.Column("c", sa.Text()))\n    op.create_index("i", "u", ["c"], unique=True)',
    'op.create_index("i", "t", ["c"], postgresql_concurrently=True)',
    'op.drop_index("i", table_name="t")',
    'op.alter_column("t", "c", nullable=True)',
    'op.execute("ALTER TABLE t ADD c int NOT NULL DEFAULT 0")',
    'op.execute("GRANT SELECT ON u TO ledger_gateway")',
    "op.execute(\"UPDATE t SET c = '' WHERE c IS NULL\")",
]


@pytest.mark.parametrize(("step", "why"), BROKEN.items(), ids=BROKEN)
def test_a_step_that_breaks_the_version_before_is_found(step: str, why: str) -> None:
    (found,) = breaking_steps(f"def upgrade():\n    {step}\n")

    assert found.startswith("line 2: ")
    assert why in found


@pytest.mark.parametrize("step", SAFE)
def test_a_step_that_only_adds_is_let_through(step: str) -> None:
    assert breaking_steps(f"def upgrade():\n    {step}\n") == []


def test_the_next_version_of_the_tests_is_such_a_one(tmp_path: Path) -> None:
    next_version(tmp_path, contracted=True)
    *_, expands, contracts = revisions_of("ledger", tmp_path / "infra/postgres/migrations")

    assert breaking_steps(expands.read_text()) == []
    assert [why.partition(": ")[2] for why in breaking_steps(contracts.read_text())] == ["makes a column required"]
