"""A ledger with years of history, written by the server itself: the rows that a consumer would have left.

Nothing is left to chance: the same ledger and size give the same rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from hashlib import md5
from typing import TYPE_CHECKING, TypeAlias
from uuid import UUID

from contracts.accounts import AccountKind
from contracts.text import name_key

if TYPE_CHECKING:
    import asyncpg

    Owner: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

FIRST_MOMENT, YEARS_LAST = datetime(2022, 1, 1, tzinfo=UTC), timedelta(days=1461)
#: A day in the middle of the last year, and the last day.
ON_A_DAY, LAST_DAY = date(2025, 6, 20), date(2025, 12, 31)
CHECKING = "Checking"
#: The first one has a fifth of what is spent, the last one a fiftieth: as often as the square of a chance says.
EXPENSES = tuple(f"Category {number}" for number in range(1, 26))
INCOMES = tuple(f"Income {number}" for number in range(1, 6))
CATEGORY = EXPENSES[12]
#: Stands no more for itself: it was merged into the first category.
MERGED = "Food"
#: One of 300 payees, whose transactions are a third; one of 40 tags, which a tenth has.
PAYEE, TAG = "Payee 150", "Tag 20"
#: In one of a thousand descriptions, and in one of eight.
RARE_WORD, FREQUENT_WORD = "anniversary", "bread"
#: The largest amount is 500.00; a fifth of all are as large as this.
HIGH_AMOUNT = 256

_ACCOUNTS: tuple[tuple[str, AccountKind, str | None], ...] = (
    (CHECKING, AccountKind.ASSET, "EUR"),
    ("Savings", AccountKind.ASSET, "EUR"),
    ("Cash", AccountKind.ASSET, "EUR"),
    ("Credit card", AccountKind.LIABILITY, "EUR"),
    ("Dollars", AccountKind.ASSET, "USD"),
    ("Exchange", AccountKind.EQUITY, None),
    *((name, AccountKind.EXPENSE, None) for name in EXPENSES),
    *((name, AccountKind.INCOME, None) for name in INCOMES),
    (MERGED, AccountKind.EXPENSE, None),
)
ACCOUNTS_LISTED = len(_ACCOUNTS) - 1


@dataclass(frozen=True, slots=True)
class History:
    """A ledger that was written, with what questions about it name.

    ``known_at`` are the moments when a tenth of its postings were known, two tenths, and so on. Each twentieth
    transaction was annotated later, each fiftieth from the seventh on deleted.
    """

    ledger_id: UUID
    user_id: UUID
    transactions: int
    known_at: Sequence[datetime]
    last_sequence: int

    def known_at_part(self, part: float) -> datetime:
        """Return when so large a part of its postings, in tenths, was known."""
        return self.known_at[round(10 * part) - 1]

    def account(self, name: str) -> UUID:
        """Return an account's id."""
        return _id(self.ledger_id, "account", name)

    def transaction(self, number: int) -> UUID:
        """Return the id of a transaction, counted from 1."""
        return _id(self.ledger_id, "transaction", number)

    def operation(self, number: int) -> UUID:
        """Return the id of the operation that recorded a transaction."""
        return _id(self.ledger_id, "recorded", number)

    def change_operation(self, number: int) -> UUID:
        """Return the id of the operation that annotated or deleted a transaction."""
        return _id(self.ledger_id, "change", number)


async def write_history(connection: "Owner", ledger_id: UUID, user_id: UUID, transactions: int) -> History:
    """Write a ledger with so many transactions of four years, as the role that owns the tables, and take statistics."""
    names = [name for name, _, _ in _ACCOUNTS]
    async with connection.transaction():
        await connection.execute("SET LOCAL work_mem = '128MB'; SET LOCAL maintenance_work_mem = '256MB'")
        # Made anew from all rows at once, indexes cost a fraction.
        indexes = await connection.fetch(_INDEXES)
        await connection.execute(f"DROP INDEX {', '.join(row['indexname'] for row in indexes)}")
        await connection.execute(_TEMPORARY)
        await connection.execute(_OPEN, ledger_id, FIRST_MOMENT, _id(ledger_id, "account", CHECKING))
        await connection.execute(_JOIN, ledger_id, user_id, FIRST_MOMENT)
        await connection.execute(
            _OPEN_ACCOUNTS,
            ledger_id,
            FIRST_MOMENT,
            [_id(ledger_id, "account", name) for name in names],
            [kind for _, kind, _ in _ACCOUNTS],
            names,
            [name_key(name) for name in names],
            [currency for _, _, currency in _ACCOUNTS],
        )
        await connection.execute(_EVENTS, transactions, FIRST_MOMENT, YEARS_LAST, 1 + len(names), timeout=600)
        await connection.execute("CREATE INDEX ON events (what, number); ANALYZE events")
        await connection.execute(
            _MADE,
            ledger_id,
            [_id(ledger_id, "account", name) for name in names[:6]],
            [_id(ledger_id, "account", name) for name in EXPENSES],
            [_id(ledger_id, "account", name) for name in INCOMES],
            _id(ledger_id, "account", MERGED),
            _WORDS,
            timeout=600,
        )
        await connection.execute("ANALYZE made")
        for statement in (_POSTINGS, _REVERSALS, _TRANSACTIONS, _VERSIONS, _CHANGES, _TAGS):
            taken = (ledger_id, user_id) if "$2" in statement else (ledger_id,)
            await connection.execute(statement, *taken, timeout=600)
        for row in indexes:
            await connection.execute(row["indexdef"], timeout=600)
        await connection.execute(_MONTHS, ledger_id, timeout=600)
        await connection.execute(_BALANCES, ledger_id)
        await connection.execute(
            _MERGE, ledger_id, user_id, _id(ledger_id, "account", MERGED), _id(ledger_id, "account", EXPENSES[0])
        )
        await connection.execute(_ASSERT, ledger_id, user_id, _id(ledger_id, "account", CHECKING), timeout=600)
        await connection.execute(_RATES, ledger_id)
        known_at = [row["recorded_at"] for row in await connection.fetch(_KNOWN_AT, ledger_id, timeout=60)]
        last_sequence = await connection.fetchval(_ADVANCE, ledger_id)
    # Autovacuum would do it in the middle of a measurement.
    await connection.execute(f"VACUUM (ANALYZE) {', '.join(_TABLES)}", timeout=600)
    return History(ledger_id, user_id, transactions, known_at, last_sequence)


def _id(ledger_id: UUID, noun: str, name: object) -> UUID:
    return UUID(md5(f"{ledger_id} {noun} {name}".encode(), usedforsecurity=False).hexdigest())


_WORDS = [
    *(FREQUENT_WORD, "milk", "lunch", "tickets", "petrol", "rent", "flowers", "books", "shoes", "dinner", "repair"),
    *("stamps", "coffee", "cinema", "insurance", "paint", "medicine", "toys", "fish", "vegetables", "cheese", "taxi"),
]
_TABLES = (
    "ledgers", "members", "accounts", "account_versions", "transactions", "transaction_versions", "transaction_tags",
    "changes", "postings", "balances", "monthly_balances", "rates", "assertions",
)  # fmt: skip

_INDEXES = """
SELECT indexname, indexdef FROM pg_indexes
WHERE schemaname = 'public' AND tablename IN ('transactions', 'postings') AND indexname NOT LIKE '%\\_pkey'
ORDER BY indexname
"""
# `roll` throws a die for a number: from 0 to less than 1, another one for each salt, the same each time.
_TEMPORARY = """
CREATE OR REPLACE FUNCTION pg_temp.roll(number bigint, salt bigint) RETURNS float8 IMMUTABLE LANGUAGE sql
AS 'SELECT (hashint8extended(number, salt) & 4294967295)::float8 / 4294967296';
CREATE TEMP TABLE events (
  number bigint, what text, sequence bigint, recorded_at timestamptz
) ON COMMIT DROP;
CREATE TEMP TABLE made (
  number bigint, id uuid, kind text, sequence bigint, recorded_at timestamptz, booked_on date, booked_at timestamptz,
  account_id uuid, other_id uuid, second_id uuid, currency text, other_currency text, amount_minor bigint,
  second_minor bigint, description text, payee text, tags text[], status text, external_id text
) ON COMMIT DROP;
"""
_OPEN = """
INSERT INTO ledgers (id, sequence, name, base_currency, time_zone, default_account_id, opened_at, recorded_at)
VALUES ($1, 1, 'Personal', 'EUR', 'Europe/Berlin', $3, $2, $2)
"""
_JOIN = """
WITH joined AS (INSERT INTO members (ledger_id, user_id, role, joined_at) VALUES ($1, $2, 'owner', $3))
INSERT INTO changes (ledger_id, sequence, operation_id, user_id, recorded_at, type, subject_id, detail)
VALUES ($1, 1, md5($1::uuid::text || ' opened')::uuid, $2, $3, 'ledger.opened', $1, '{}')
"""
_OPEN_ACCOUNTS = """
INSERT INTO accounts (ledger_id, id, kind, name, name_key, currency, opened_at, root_id, version, state_of)
SELECT $1::uuid, id, kind, name, name_key, currency, $2, id, 1 + number, 1 + number
FROM unnest($3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[]) WITH ORDINALITY
  AS opened (id, kind, name, name_key, currency, number)
"""
# What was recorded is annotated or deleted some hundred transactions later.
_EVENTS = """
INSERT INTO events
SELECT number, what, $4::bigint + row_number() OVER (ORDER BY at),
       $2::timestamptz + $3::interval * (at / ($1::bigint + 301))
FROM (
  SELECT number, 'recorded' AS what, number::float8 AS at FROM generate_series(1, $1::bigint) AS number
  UNION ALL SELECT number, 'annotated', number + 300.5 FROM generate_series(20, $1::bigint, 20) AS number
  UNION ALL SELECT number, 'deleted', number + 100.25 FROM generate_series(7, $1::bigint, 50) AS number
) AS happened
"""
# Of a hundred, 5 are income, 7 transfers, 2 exchanges, the others expenses, each tenth of them in two categories.
_MADE = """
INSERT INTO made
SELECT number, md5($1::uuid::text || ' transaction ' || number)::uuid, kind, sequence, recorded_at,
       booked_at::date, booked_at, account_id,
       CASE kind WHEN 'expense' THEN CASE WHEN was_merged THEN $5 ELSE ($3::uuid[])[1 + category] END
                 WHEN 'income' THEN ($4::uuid[])[1 + category % 5]
                 WHEN 'transfer' THEN ($2::uuid[])[2]
                 ELSE ($2::uuid[])[5] END,
       CASE kind WHEN 'exchange' THEN ($2::uuid[])[6]
                 WHEN 'expense' THEN CASE WHEN pg_temp.roll(number, 10) < 0.1
                                          THEN ($3::uuid[])[1 + (category + 7) % 25] END
       END,
       CASE WHEN account_id = ($2::uuid[])[5] THEN 'USD' ELSE 'EUR' END,
       CASE kind WHEN 'exchange' THEN 'USD' END,
       amount_minor, CASE kind WHEN 'exchange' THEN amount_minor * 11 / 10 + 1 ELSE amount_minor / 3 + 1 END,
       CASE WHEN pg_temp.roll(number, 11) < 0.001 THEN 'Anniversary'
            WHEN pg_temp.roll(number, 12) < 0.125 THEN 'Bread'
            ELSE initcap(($6::text[])[2 + floor(21 * pg_temp.roll(number, 13))::int]) END
         || ' ' || ($6::text[])[2 + floor(21 * pg_temp.roll(number, 14))::int] || ' ' || number,
       CASE WHEN pg_temp.roll(number, 15) < 1 / 3.0 THEN 'Payee ' || 1 + floor(300 * pg_temp.roll(number, 16)) END,
       CASE WHEN pg_temp.roll(number, 17) < 0.1
            THEN ARRAY['Tag ' || 1 + floor(40 * pg_temp.roll(number, 18))] ELSE '{}' END,
       CASE WHEN pg_temp.roll(number, 19) < 0.9 THEN 'cleared' ELSE 'pending' END,
       CASE WHEN number % 3 = 0 THEN 'bank-' || number END
FROM (
  SELECT number, sequence, recorded_at,
         recorded_at - interval '1 hour' * floor(72 * pg_temp.roll(number, 1)) AS booked_at,
         CASE WHEN pg_temp.roll(number, 2) < 0.86 THEN 'expense' WHEN pg_temp.roll(number, 2) < 0.91 THEN 'income'
              WHEN pg_temp.roll(number, 2) < 0.98 THEN 'transfer' ELSE 'exchange' END AS kind,
         ($2::uuid[])[CASE WHEN pg_temp.roll(number, 2) >= 0.91 OR pg_temp.roll(number, 3) < 0.6 THEN 1
                           WHEN pg_temp.roll(number, 3) < 0.8 THEN 4
                           WHEN pg_temp.roll(number, 3) < 0.95 THEN 3 ELSE 5 END] AS account_id,
         floor(25 * pg_temp.roll(number, 4) ^ 2)::int AS category,
         pg_temp.roll(number, 4) < 0.02 AND number < 1000 AS was_merged,
         3 + floor(49997 * pg_temp.roll(number, 5) ^ 3)::bigint AS amount_minor
  FROM events WHERE what = 'recorded'
) AS drawn
"""
_POSTED = """
INSERT INTO postings (ledger_id, transaction_id, sequence, position, source_account_id, destination_account_id,
                      amount_minor, currency, booked_on, recorded_at)
"""
# A second posting is another category's part of an expense, or what arrives of an exchange.
_POSTINGS = f"""
{_POSTED}
SELECT $1::uuid, id, sequence, 0, CASE kind WHEN 'income' THEN other_id ELSE account_id END,
       CASE kind WHEN 'income' THEN account_id WHEN 'exchange' THEN second_id ELSE other_id END,
       CASE WHEN kind = 'expense' AND second_id IS NOT NULL THEN amount_minor - second_minor ELSE amount_minor END,
       currency, booked_on, recorded_at
FROM made
UNION ALL
SELECT $1::uuid, id, sequence, 1, CASE kind WHEN 'exchange' THEN second_id ELSE account_id END,
       CASE kind WHEN 'exchange' THEN other_id ELSE second_id END, second_minor, coalesce(other_currency, currency),
       booked_on, recorded_at
FROM made WHERE second_id IS NOT NULL
ORDER BY 3, 4
"""
_REVERSALS = f"""
{_POSTED}
SELECT $1::uuid, transaction_id, gone.sequence, position, destination_account_id, source_account_id, p.amount_minor,
       p.currency, p.booked_on, gone.recorded_at
FROM events gone JOIN made USING (number)
JOIN postings p ON p.ledger_id = $1 AND p.sequence = made.sequence
WHERE gone.what = 'deleted'
"""
_COLUMNS = """
ledger_id, id, revision, state_of, sequence, deleted, kind, booked_on, booked_at, amount_minor, currency, rate,
description, payee, tags, note, status, external_id, submitted_at, recorded_at, user_id, operation_id, version
"""
_STATE = """
kind, booked_on, booked_at, amount_minor, currency, CASE kind WHEN 'exchange' THEN '1.1' END, description, payee, tags
"""
_LAST = """
FROM made
LEFT JOIN events annotated ON annotated.what = 'annotated' AND annotated.number = made.number
LEFT JOIN events gone ON gone.what = 'deleted' AND gone.number = made.number
CROSS JOIN LATERAL (SELECT coalesce(gone.sequence, annotated.sequence, made.sequence) AS version,
                           coalesce(gone.recorded_at, annotated.recorded_at, made.recorded_at) AS at) AS last
"""
_TRANSACTIONS = f"""
INSERT INTO transactions ({_COLUMNS}, payee_key, words)
SELECT $1::uuid, id, 1, version, made.sequence, gone.sequence IS NOT NULL, {_STATE},
       CASE WHEN annotated.sequence IS NOT NULL THEN 'found later' END, status, external_id, made.recorded_at, last.at,
       $2, CASE WHEN version = made.sequence THEN md5($1::uuid::text || ' recorded ' || made.number)::uuid
                ELSE md5($1::uuid::text || ' change ' || made.number)::uuid END,
       version, lower(payee),
       lower(concat_ws(' ', description, payee, CASE WHEN annotated.sequence IS NOT NULL THEN 'found later' END))
{_LAST} ORDER BY made.number
"""
_VERSIONS = f"""
INSERT INTO transaction_versions ({_COLUMNS})
SELECT $1::uuid, id, 1, sequence, sequence, false, {_STATE}, NULL, status, external_id, recorded_at, recorded_at,
       $2, md5($1::uuid::text || ' recorded ' || number)::uuid, sequence
FROM made WHERE number IN (SELECT number FROM events WHERE what <> 'recorded') ORDER BY number
"""
_CHANGES = """
INSERT INTO changes (ledger_id, sequence, operation_id, user_id, recorded_at, type, subject_id, detail)
SELECT $1::uuid, events.sequence, md5($1::uuid::text || ' change ' || number)::uuid, $2, events.recorded_at,
       CASE what WHEN 'deleted' THEN 'transaction.reversed' ELSE 'transaction.annotated' END, id,
       CASE what WHEN 'deleted' THEN '{"deleted": true}'::jsonb ELSE '{"note": "found later"}' END
FROM events JOIN made USING (number) WHERE what <> 'recorded'
ORDER BY events.sequence
"""
_TAGS = """
INSERT INTO transaction_tags (ledger_id, tag_key, booked_on, transaction_id)
SELECT $1::uuid, lower(tags[1]), booked_on, id FROM made
WHERE tags <> '{}' AND number NOT IN (SELECT number FROM events WHERE what = 'deleted')
"""
_MONTHS = """
INSERT INTO monthly_balances (ledger_id, account_id, currency, month, incoming_minor, outgoing_minor)
SELECT $1::uuid, account_id, currency, month, sum(incoming), sum(outgoing)
FROM (
  SELECT destination_account_id AS account_id, currency, date_trunc('month', booked_on::timestamp)::date AS month,
         sum(amount_minor) AS incoming, 0 AS outgoing
  FROM postings WHERE ledger_id = $1 GROUP BY 1, 2, 3
  UNION ALL
  SELECT source_account_id, currency, date_trunc('month', booked_on::timestamp)::date, 0, sum(amount_minor)
  FROM postings WHERE ledger_id = $1 GROUP BY 1, 2, 3
) AS moved
GROUP BY account_id, currency, month ORDER BY account_id, currency, month
"""
_BALANCES = """
INSERT INTO balances (ledger_id, account_id, currency, balance_minor)
SELECT $1::uuid, account_id, currency, sum(incoming_minor - outgoing_minor) FROM monthly_balances WHERE ledger_id = $1
GROUP BY account_id, currency
"""
_AFTER = """
last (sequence, recorded_at) AS (
  SELECT greatest((SELECT max(sequence) FROM postings WHERE ledger_id = $1),
                  (SELECT max(sequence) FROM changes WHERE ledger_id = $1)),
         greatest((SELECT max(recorded_at) FROM postings WHERE ledger_id = $1),
                  (SELECT max(recorded_at) FROM changes WHERE ledger_id = $1))
)
"""
_MERGE = f"""
WITH {_AFTER},
before AS (
  INSERT INTO account_versions (ledger_id, id, version, state_of, name, closed)
  SELECT ledger_id, id, version, state_of, name, closed FROM accounts WHERE ledger_id = $1 AND id = $3
),
told AS (
  INSERT INTO changes (ledger_id, sequence, operation_id, user_id, recorded_at, type, subject_id, detail)
  SELECT $1::uuid, sequence + 1, md5($1::uuid::text || ' merge')::uuid, $2, recorded_at, 'account.changed', $3, '{{}}'
  FROM last
)
UPDATE accounts SET merged_into = $4, root_id = $4, version = last.sequence + 1, state_of = last.sequence + 1
FROM last WHERE ledger_id = $1 AND id = $3
"""
# Statements that agreed with the books, one a month, the last half year not yet.
_ASSERT = f"""
WITH {_AFTER},
made AS (
  INSERT INTO assertions (ledger_id, id, account_id, asserted_on, currency, stated_minor, computed_minor, sequence,
                          user_id, recorded_at)
  SELECT $1::uuid, md5($1::uuid::text || ' assertion ' || number)::uuid, $3, month_end, 'EUR', held, held,
         last.sequence + number, $2, last.recorded_at
  FROM last
  CROSS JOIN generate_series(1, 42) AS number
  CROSS JOIN LATERAL (SELECT (date '2022-01-01' + number * interval '1 month')::date - 1 AS month_end) AS day
  CROSS JOIN LATERAL (
    SELECT coalesce(sum(incoming_minor - outgoing_minor), 0) AS held FROM monthly_balances
    WHERE ledger_id = $1 AND account_id = $3 AND month <= month_end
  ) AS books
  RETURNING id, sequence, recorded_at
)
INSERT INTO changes (ledger_id, sequence, operation_id, user_id, recorded_at, type, subject_id, detail)
SELECT $1::uuid, sequence, md5($1::uuid::text || ' assert ' || id)::uuid, $2, recorded_at, 'balance.asserted',
       id, '{{}}'
FROM made
"""
_RATES = """
INSERT INTO rates (ledger_id, currency, quote, valid_on, rate)
SELECT $1::uuid, 'USD', 'EUR', (date '2022-01-01' + number * interval '1 month')::date, 0.9 + number / 1000.0
FROM generate_series(0, 47) AS number
"""
_KNOWN_AT = """
SELECT max(recorded_at) AS recorded_at
FROM (SELECT recorded_at, ntile(10) OVER (ORDER BY sequence) AS tenth FROM postings WHERE ledger_id = $1) AS known
GROUP BY tenth ORDER BY tenth
"""
_ADVANCE = """
UPDATE ledgers SET (sequence, recorded_at) = (
  SELECT sequence, recorded_at FROM changes WHERE ledger_id = $1 ORDER BY sequence DESC LIMIT 1
)
WHERE id = $1 RETURNING sequence
"""
