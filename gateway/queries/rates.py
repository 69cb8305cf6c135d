"""Read exchange rates from the ledger database."""

from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal
from typing import Annotated, NamedTuple
from uuid import UUID

import asyncpg
import msgspec

from gateway.queries.paging import cursor_text, read_cursor
from infra.postgres.engine import Database


class RateLine(msgspec.Struct, frozen=True):
    """One unit of ``currency`` is ``rate`` units of ``quote`` from ``date`` on, until a later rate."""

    currency: str
    quote: str
    date: date
    rate: str


class RatePage(msgspec.Struct):
    """Rates, the newest day first, and the cursor of the next page; ``null`` on the last one."""

    items: list[RateLine]
    next_cursor: str | None


class UsableRate(NamedTuple):
    """A rate as it was entered; ``inverted`` where it is one of the currency asked about, from the other side."""

    currency: str
    quote: str
    valid_on: date
    rate: Decimal
    inverted: bool

    @property
    def text(self) -> str:
        """The rate as decimal text."""
        return _plain(self.rate)


_Code = Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{3}\Z")]


class _Keys(NamedTuple):
    """What rates are ordered by."""

    valid_on: date
    currency: _Code
    quote: _Code


_MEMBER = "EXISTS (SELECT FROM members WHERE ledger_id = $1 AND user_id = $2)"
_COLUMNS = "currency, quote, valid_on, rate"
# The newest day first, within a day by name; `$3` is a day after all others for the first page.
_WANTED = f"""
ledger_id = $1 AND {_MEMBER} AND valid_on <= $3 AND (valid_on < $3 OR (currency, quote) > ($4::text, $5::text))
"""
_ORDER = "ORDER BY valid_on DESC, currency, quote LIMIT $6"
_LIST = f"SELECT {_COLUMNS} FROM rates WHERE {_WANTED} {_ORDER}"  # noqa: S608  # constants, here and below
_LIST_OF_ONE = f"""
SELECT {_COLUMNS} FROM rates
WHERE {_WANTED} AND ($7::text IS NULL OR currency = $7) AND ($8::text IS NULL OR quote = $8)
{_ORDER}
"""  # noqa: S608
_LIST_OF_PAIR = f"SELECT {_COLUMNS} FROM rates WHERE {_WANTED} AND currency = $7 AND quote = $8 {_ORDER}"  # noqa: S608
_THESE = f"""
SELECT {_COLUMNS}
FROM unnest($3::text[], $4::text[], $5::date[]) AS asked (currency, quote, valid_on)
JOIN rates USING (currency, quote, valid_on)
WHERE ledger_id = $1 AND {_MEMBER}
ORDER BY valid_on DESC, currency, quote
"""  # noqa: S608
# The entered rate of a currency in $4 if there is one until day $5, or else that of $4 in it: never by way of a third.
_USABLE = f"""
SELECT wanted.currency AS converted, found.*
FROM unnest($3::text[]) AS wanted (currency)
CROSS JOIN LATERAL (
  (SELECT {_COLUMNS}, false AS inverted FROM rates
   WHERE ledger_id = $1 AND currency = wanted.currency AND quote = $4 AND valid_on <= $5
   ORDER BY valid_on DESC LIMIT 1)
  UNION ALL
  (SELECT {_COLUMNS}, true FROM rates
   WHERE ledger_id = $1 AND currency = $4 AND quote = wanted.currency AND valid_on <= $5
   ORDER BY valid_on DESC LIMIT 1)
  ORDER BY inverted LIMIT 1
) found
WHERE {_MEMBER}
"""  # noqa: S608


async def list_rates(
    ledger: Database,
    ledger_id: UUID,
    user_id: UUID,
    *,
    limit: int,
    cursor: str | None = None,
    currency: str | None = None,
    quote: str | None = None,
) -> RatePage:
    """List a page of a ledger's rates for one of its members, the newest day first; empty for anybody else.

    Raises:
        CursorError: ``cursor`` is none of ours.
    """
    of = f"rates {currency} {quote}"
    after = read_cursor(cursor, _Keys, of) if cursor is not None else (date.max, "", "")
    # One more than asked for says whether there is a next page.
    arguments = (ledger_id, user_id, *after, limit + 1)
    async with ledger.connection("list rates") as connection:
        if currency and quote:
            rows = await connection.fetch(_LIST_OF_PAIR, *arguments, currency, quote)
        elif currency or quote:
            rows = await connection.fetch(_LIST_OF_ONE, *arguments, currency, quote)
        else:
            rows = await connection.fetch(_LIST, *arguments)
    items = _lines(rows)
    if len(items) <= limit:
        return RatePage(items, None)
    last = items[limit - 1]
    return RatePage(items[:limit], cursor_text(_Keys(last.date, last.currency, last.quote), of))


async def find_rates(
    ledger: Database, ledger_id: UUID, user_id: UUID, wanted: Sequence[tuple[str, str, date]]
) -> list[RateLine]:
    """Find the rates of these currencies, quotes and days, for a member; those there are not are missing."""
    async with ledger.connection("find rates") as connection:
        rows = await connection.fetch(
            _THESE, ledger_id, user_id, *(list(column) for column in zip(*wanted, strict=True))
        )
    return _lines(rows)


async def find_usable_rates(
    ledger: Database, ledger_id: UUID, user_id: UUID, currencies: Sequence[str], target: str, on: date
) -> dict[str, UsableRate]:
    """Find the rate by which each currency is converted into ``target`` on a day; those without one are missing.

    That is the latest one entered for them until that day, or, if there is none, the latest one the other way round.
    """
    async with ledger.connection("find usable rates") as connection:
        rows = await connection.fetch(_USABLE, ledger_id, user_id, currencies, target, on)
    return {
        row["converted"]: UsableRate(row["currency"], row["quote"], row["valid_on"], row["rate"], row["inverted"])
        for row in rows
    }


def _lines(rows: Iterable[asyncpg.Record]) -> list[RateLine]:
    return [RateLine(row["currency"], row["quote"], row["valid_on"], _plain(row["rate"])) for row in rows]


def _plain(rate: Decimal) -> str:
    """Return a rate without the zeros its column adds."""
    text = f"{rate:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
