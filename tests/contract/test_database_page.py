"""docs/database.md draws the tables there are: names, keys and types of what it shows, and every table has its row."""

import re
from pathlib import Path

import pytest
from sqlalchemy import Column, MetaData, UniqueConstraint
from sqlalchemy.dialects import postgresql

from infra.postgres import ledger_tables, users_tables

PAGE = (Path(__file__).parents[2] / "docs" / "database.md").read_text(encoding="utf-8")
DATABASES: dict[str, MetaData] = {"users": users_tables.metadata, "ledger": ledger_tables.metadata}
#: What PostgreSQL calls long, psql and people call short.
SHORT = {"timestamp with time zone": "timestamptz", "numeric(38, 0)": "numeric", "numeric(24, 12)": "numeric"}
#: Alembic's own; in no model of ours.
REVISIONS = "alembic_version"


def section(database: str) -> str:
    """What the page says of one database, up to the next heading."""
    return PAGE.partition(f": the database `{database}`\n")[2].partition("\n## ")[0]


def entities(database: str) -> dict[str, list[tuple[str, str, str]]]:
    """The tables of a database's diagram: type, name and keys of each column shown."""
    found = re.findall(r"^    (\w+) \{\n(.*?)^    \}", section(database), re.MULTILINE | re.DOTALL)
    return {name: re.findall(r"^\s+(\w+) (\w+)((?: (?:PK|FK|UK),?)*)", body, re.MULTILINE) for name, body in found}


def relations(database: str) -> set[frozenset[str]]:
    return {
        frozenset(pair)
        for pair in re.findall(r"^    (\w+) [|}o]{2}--[|{o]{2} (\w+) :", section(database), re.MULTILINE)
    }


def type_of(column: Column[object]) -> str:
    written = column.type.compile(dialect=postgresql.dialect()).lower()  # type: ignore[no-untyped-call]
    return SHORT.get(written, written)


def keys_of(column: Column[object]) -> set[str]:
    """Its keys; a name is unique where its folded form (``username_key``) is."""
    alone = {
        next(iter(constraint.columns.keys()))
        for constraint in column.table.constraints
        if isinstance(constraint, UniqueConstraint) and len(constraint.columns) == 1
    }
    keys = {"PK": column.primary_key, "FK": bool(column.foreign_keys), "UK": f"{column.name}_key" in alone}
    return {name for name, has in keys.items() if has}


@pytest.mark.parametrize("database", DATABASES)
def test_the_diagram_has_every_table_and_no_other(database: str) -> None:
    assert set(entities(database)) == set(DATABASES[database].tables)


@pytest.mark.parametrize("database", DATABASES)
def test_the_columns_of_the_diagram_are_those_of_the_tables(database: str) -> None:
    for name, shown in entities(database).items():
        table = DATABASES[database].tables[name]
        assert shown, name
        for type_name, column_name, keys in shown:
            column = table.columns[column_name]
            assert (type_name, set(re.findall(r"\w+", keys))) == (type_of(column), keys_of(column)), column
        assert {column.name for column in table.primary_key.columns} <= {column_name for _, column_name, _ in shown}


@pytest.mark.parametrize("database", DATABASES)
def test_every_foreign_key_is_a_line_of_the_diagram(database: str) -> None:
    tables = DATABASES[database].tables
    drawn = relations(database)

    assert all(pair <= set(tables) for pair in drawn)
    for table in tables.values():
        for key in table.foreign_keys:
            assert frozenset((table.name, key.column.table.name)) in drawn


@pytest.mark.parametrize("database", DATABASES)
def test_every_table_has_a_row_that_says_what_it_holds(database: str) -> None:
    rows = re.findall(r"^\| `(\w+)` \|", section(database), re.MULTILINE)

    assert sorted(rows) == sorted([*DATABASES[database].tables, REVISIONS])
