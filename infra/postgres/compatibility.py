"""Which steps of a migration break the version that still runs: all but those that only add (docs/upgrading.md).

While a new version is rolled out, and after it was rolled back, the one before works on the new tables. So a revision
may add what that one need not know. What takes away or narrows is the other half of a change, for a later version; such
a revision says since which version nobody uses what it takes away: ``contract_since = "0.2.0"``.

What is read is the source of the revision, not what it would do: plain calls of ``op`` and literal SQL. What cannot be
read is refused too.
"""

import ast
import re
from collections.abc import Iterator

MARK = "contract_since"

_REFUSED = {
    "drop_table": "drops a table",
    "drop_column": "drops a column",
    "rename_table": "renames a table",
    "create_check_constraint": "narrows what may be written",
    "create_unique_constraint": "narrows what may be written",
    "create_foreign_key": "narrows what may be written",
    "create_exclude_constraint": "narrows what may be written",
    "create_primary_key": "narrows what may be written",
    "batch_alter_table": "changes a table in a way that cannot be read here",
    "run_async": "does something that cannot be read here",
}
_HARMLESS = {
    "f",
    "get_context",
    "get_bind",
    "create_table",
    "create_table_comment",
    "drop_table_comment",
    # Without an index, a constraint or a trigger everything is still there and may still be written.
    "drop_index",
    "drop_constraint",
    "bulk_insert",
}
_SQL = (
    (re.compile(r"\bDROP\s+(TABLE|COLUMN|SCHEMA|TYPE|FUNCTION|VIEW)\b"), "drops something"),
    (re.compile(r"\bRENAME\b"), "renames something"),
    (re.compile(r"\bSET\s+NOT\s+NULL\b"), "makes a column required"),
    (re.compile(r"\bALTER\s+(COLUMN\s+)?\S+\s+(SET\s+DATA\s+)?TYPE\b"), "changes a column's type"),
    (re.compile(r"\bADD\s+(CONSTRAINT|CHECK|UNIQUE|FOREIGN|PRIMARY|EXCLUDE)\b"), "narrows what may be written"),
    (re.compile(r"\bREVOKE\b"), "takes a right away"),
    (re.compile(r"\bTRUNCATE\b"), "deletes rows"),
    (re.compile(r"\bDELETE\s+FROM\b"), "deletes rows"),
    (
        re.compile(r"\bALTER\s+TABLE\b.*\bADD\s+(COLUMN\s+)?\S+.*\bNOT\s+NULL\b(?!.*\bDEFAULT\b)"),
        "adds a required column",
    ),
)


def breaking_steps(source: str) -> list[str]:
    """Return what in a revision's ``upgrade`` breaks the version before it, a sentence each with its line."""
    module = ast.parse(source)
    upgrade = next(node for node in module.body if isinstance(node, ast.FunctionDef) and node.name == "upgrade")
    made = {_text(_argument(call, 0, "table_name")) for call in _calls(upgrade, "create_table")}
    return [f"line {call.lineno}: {why}" for call in _calls(upgrade) for why in _judged(call, made)]


def contract_since(source: str) -> str | None:
    """Return since which version nobody uses what a revision takes away; ``None`` where it does not say."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == MARK for t in node.targets):
            return _text(node.value)
    return None


def _calls(function: ast.FunctionDef, name: str | None = None) -> Iterator[ast.Call]:
    """Yield the calls of ``op``, of one name or all."""
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            of = node.func.value
            if isinstance(of, ast.Name) and of.id == "op" and name in (None, node.func.attr):
                yield node


def _judged(call: ast.Call, made: set[str | None]) -> Iterator[str]:
    assert isinstance(call.func, ast.Attribute)
    name = call.func.attr
    if name == "execute":
        yield from _judged_sql(call)
    elif name == "add_column":
        if not _may_be_left_out(_argument(call, 1, "column")):
            yield "adds a column that the version before does not fill: make it nullable, or give it a server_default"
    elif name == "alter_column":
        yield from _judged_alteration(call)
    elif name == "create_index":
        is_unique = _constant(_argument(call, None, "unique")) is True
        is_new = _text(_argument(call, 1, "table_name")) in made
        if is_unique and not is_new:
            yield "narrows what may be written (a unique index)"
        if not is_new and _constant(_argument(call, None, "postgresql_concurrently")) is not True:
            yield "holds up every write while it indexes (postgresql_concurrently=True, in an autocommit_block)"
    elif name in _REFUSED:
        yield _REFUSED[name]
    elif name not in _HARMLESS:
        yield f"calls op.{name}, which is not known here"


def _judged_alteration(call: ast.Call) -> Iterator[str]:
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    if "new_column_name" in given:
        yield "renames a column"
    if "type_" in given:
        yield "changes a column's type"
    if "nullable" in given and _constant(given["nullable"]) is not True:
        yield "makes a column required"
    if "server_default" in given and _constant(given["server_default"]) in (None, False):
        yield "takes away a default"


def _judged_sql(call: ast.Call) -> Iterator[str]:
    statement = _argument(call, 0, "sqltext")
    if isinstance(statement, ast.Call) and statement.args:  # sa.text("…")
        statement = statement.args[0]
    text = _text(statement)
    if text is None:
        yield "executes SQL that cannot be read here"
        return
    upper = " ".join(text.upper().split())
    yield from (why for pattern, why in _SQL if pattern.search(upper))


def _may_be_left_out(column: ast.expr | None) -> bool:
    """Return whether a row may be written by somebody who does not know a column."""
    if not isinstance(column, ast.Call):
        return False
    given = {keyword.arg: keyword.value for keyword in column.keywords}
    if "server_default" in given:
        return True
    return _constant(given.get("nullable")) is not False and "primary_key" not in given


def _argument(call: ast.Call, position: int | None, name: str) -> ast.expr | None:
    if position is not None and len(call.args) > position:
        return call.args[position]
    return next((keyword.value for keyword in call.keywords if keyword.arg == name), None)


def _text(node: ast.expr | None) -> str | None:
    value = _constant(node)
    return value if isinstance(value, str) else None


def _constant(node: ast.expr | None) -> object:
    return node.value if isinstance(node, ast.Constant) else None
