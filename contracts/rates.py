"""Exchange rates: what one unit of a currency is worth in another from a day on. People enter them; none is guessed."""

from typing import ClassVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from contracts import topics
from contracts.messages import LedgerEntry, Submission
from contracts.text import CurrencyCode, Day, RateText
from contracts.topics import Topic

#: How many rates one submission may carry.
RATES_MAX = 500


class Rate(BaseModel):
    """One unit of ``currency`` is ``rate`` units of ``quote`` from ``valid_on`` until a later rate."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    currency: CurrencyCode
    quote: CurrencyCode
    valid_on: Day
    rate: RateText | None = Field(description="Null takes the day's rate away again.")


class RatesSubmitted(Submission):
    """A member entered exchange rates (``cashflow.rates.submitted.v1``).

    Travels on ``ledger.submissions`` keyed by ``ledger_id``. Becomes ``RatesRecorded`` on ``ledger.journal``: all of
    them, or none and the operation is refused with a code.
    """

    type: ClassVar[str] = "cashflow.rates.submitted.v1"
    topics: ClassVar[tuple[Topic, ...]] = (topics.LEDGER_SUBMISSIONS,)
    noun: ClassVar[str] = "rates"

    ledger_id: UUID
    rates: tuple[Rate, ...] = Field(min_length=1, max_length=RATES_MAX)

    @property
    def subject_id(self) -> UUID:
        """The ledger."""
        return self.ledger_id

    def resource_id(self, operation_id: UUID) -> UUID:
        """Return the ledger's id: rates are named by their currencies and day."""
        return self.ledger_id


class RatesRecorded(LedgerEntry):
    """Exchange rates were entered, replacing those of the same days (``cashflow.rates.recorded.v1``).

    Travels on ``ledger.journal`` keyed by ``ledger_id``.
    """

    type: ClassVar[str] = "cashflow.rates.recorded.v1"
    topic: ClassVar[Topic] = topics.LEDGER_JOURNAL

    rates: tuple[Rate, ...] = Field(min_length=1)
