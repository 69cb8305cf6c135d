"""A next version of the system, made from this one: it has one optional field more, from the form to a column.

It is this source with a few lines changed, in a folder of its own, so it is always next to what is here. A place that
is not found any more says so: the change has then to be told anew.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.local.processes import PROJECT
from infra.postgres.revisions import newest_revision

ROOMS = ("contracts", "infra", "gateway", "consumers")
BEFORE = newest_revision("ledger")
EXPANDED, CONTRACTED = f"{int(BEFORE) + 1:04}", f"{int(BEFORE) + 2:04}"

#: What stands somewhere, and what stands there in the next version.
_CHANGES: Mapping[str, Sequence[tuple[str, str]]] = {
    # An optional field of the message that a request becomes, and of the entry that tells what was recorded.
    "contracts/transactions.py": [
        (
            "    payee: Line | None = Field(None, ",
            "    place: Line | None = None\n    payee: Line | None = Field(None, ",
        ),
        (
            '    rate: RateText | None = Field(None, description="Of an exchange',
            '    place: str | None = None\n    rate: RateText | None = Field(None, description="Of an exchange',
        ),
    ],
    "gateway/routes/transactions.py": [
        (
            "    id: UUID | None = Field(None, ",
            "    place: Payee | None = None\n    id: UUID | None = Field(None, ",
        )
    ],
    "consumers/domain/transactions.py": [
        ("external_id=message.external_id,", "external_id=message.external_id, place=message.place,")
    ],
    "consumers/repositories/book_rows.py": [
        (
            "_words(entry.description, entry.payee, entry.note),",
            "_words(entry.description, entry.payee, entry.note), entry.place or '',",
        )
    ],
    "consumers/repositories/books.py": [
        (
            "records=rows.transactions, columns=TRANSACTION_COLUMNS",
            'records=rows.transactions, columns=(*TRANSACTION_COLUMNS, "place")',
        )
    ],
}

#: A column that the version before may leave out: it is null then.
_EXPAND = f'''"""A transaction has a place."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "{EXPANDED}", "{BEFORE}"


def upgrade() -> None:
    op.add_column("transactions", sa.Column("place", sa.Text()))
    with op.get_context().autocommit_block():
        op.create_index("transactions_place", "transactions", ["ledger_id", "place"], postgresql_concurrently=True)
'''
#: What the version before left out is filled in, and nobody may leave it out any more.
_CONTRACT = f'''"""Every transaction has a place: nobody runs the version before any more."""

from alembic import op

revision, down_revision = "{CONTRACTED}", "{EXPANDED}"
contract_since = "the next version"


def upgrade() -> None:
    op.execute("UPDATE transactions SET place = '' WHERE place IS NULL")
    op.alter_column("transactions", "place", nullable=False)
'''


@dataclass(frozen=True)
class Version:
    """A version of the system, as a folder from which its processes are run."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """What makes Python take its modules, wherever else they are installed."""
        return {"PYTHONPATH": str(self.folder)}


def next_version(folder: Path, *, contracted: bool = False) -> Version:
    """Make the next version there; ``contracted`` is the one after it, which finishes what that one began."""
    for room in ROOMS:
        shutil.copytree(PROJECT / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))
    for name, changes in _CHANGES.items():
        for before, after in changes:
            _change(folder / name, before, after)
    versions = folder / "infra/postgres/migrations/ledger/versions"
    (versions / f"{EXPANDED}_place.py").write_text(_EXPAND)
    if contracted:
        (versions / f"{CONTRACTED}_place_for_all.py").write_text(_CONTRACT)
    return Version(folder)


def _change(path: Path, before: str, after: str) -> None:
    text = path.read_text()
    assert text.count(before) == 1, f"{path.name} has changed: {before!r} stands there {text.count(before)} times"
    path.write_text(text.replace(before, after))
