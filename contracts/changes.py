"""Changes: what happened to a ledger, named by the sequence of its last entry, so that it can be undone."""

from typing import ClassVar
from uuid import UUID

from pydantic import Field

from contracts import topics
from contracts.messages import Submission
from contracts.topics import Topic


class UndoSubmitted(Submission):
    """A member asked for a change to be taken back (``cashflow.undo.submitted.v1``).

    Travels on ``ledger.submissions`` keyed by ``ledger_id``. Becomes the entries that restore the state before that
    change, each with ``undoes``, or an operation refused with a code. Only changes of transactions and accounts can be
    taken back so; the others have an opposite of their own. To take back a change that was itself an undo is
    to redo what it took back.
    """

    type: ClassVar[str] = "cashflow.undo.submitted.v1"
    topics: ClassVar[tuple[Topic, ...]] = (topics.LEDGER_SUBMISSIONS,)
    noun: ClassVar[str] = "undo"

    ledger_id: UUID
    change: int = Field(ge=1, le=2**63 - 1, description="The sequence of the change's last journal entry.")

    @property
    def subject_id(self) -> UUID:
        """The ledger."""
        return self.ledger_id

    def resource_id(self, operation_id: UUID) -> UUID:
        """Return the id of the undo, which is its operation's: what it restores is named by the change."""
        return operation_id
