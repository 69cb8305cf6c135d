"""A ledger with as many transactions as one likes, written by PostgreSQL itself: for plans and for measuring."""

from dataclasses import dataclass
from uuid import UUID, uuid4, uuid5

from infra.postgres.engine import Connection

CATEGORIES = 30
_OPEN = """
INSERT INTO ledgers (id, sequence, name, base_currency, time_zone, default_account_id, opened_at, recorded_at)
VALUES ($1, $2, 'Personal', 'EUR', 'Europe/Berlin', $3, now(), now())
"""
_JOIN = "INSERT INTO members (ledger_id, user_id, role, joined_at) VALUES ($1, $2, 'owner', now())"
_ACCOUNT = """
INSERT INTO accounts (ledger_id, id, kind, name, name_key, currency, opened_at, root_id, merged_into, version, state_of)
VALUES ($1, $2::uuid, $3, $4::text, lower($4::text), $5, now(), coalesce($6::uuid, $2::uuid), $6::uuid, 1, 1)
"""
#: What is frequent, what is rare, and what lies between: each of the filter's terms finds all three.
_TRANSACTIONS = """
INSERT INTO transactions (ledger_id, id, revision, state_of, sequence, version, kind, booked_on, booked_at,
                          amount_minor, currency, description, payee, payee_key, tags, status, external_id,
                          submitted_at, recorded_at, user_id, operation_id, words)
SELECT $1, gen_random_uuid(), 1, number, number, number,
       CASE WHEN number % 50 = 0 THEN 'income' ELSE 'expense' END, day::date, day,
       1 + number * 7919 % 50000 + CASE WHEN number % 10000 = 0 THEN 900000 ELSE 0 END,
       CASE WHEN number % 100 = 3 THEN 'JPY' ELSE 'EUR' END, 'Receipt ' || number || ' ' || said, paid, lower(paid),
       CASE WHEN number % 20 = 1 THEN ARRAY['Holiday'] WHEN number % 5000 = 11 THEN ARRAY['Rare'] ELSE '{}' END,
       CASE WHEN number > $3::bigint * 0.99 THEN 'pending' ELSE 'cleared' END, 'bank-' || number, day, day, $2,
       gen_random_uuid(), 'receipt ' || number || ' ' || said || ' ' || lower(paid)
FROM generate_series(1, $3::bigint) AS number CROSS JOIN LATERAL (
  SELECT timestamptz '2015-01-01' + interval '3650 days' * (number::float8 / $3::bigint) AS day,
         CASE WHEN number % 3000 = 9 THEN 'Rare payee' ELSE 'Payee ' || number * 31 % 200 END AS paid,
         (ARRAY['milk bread', 'weekly shop', 'noodles', 'petrol', 'concert'])[1 + number % 5]
           || CASE WHEN number % 10000 = 5 THEN ' unicorn' ELSE '' END AS said
) one
"""
_POSTINGS = """
INSERT INTO postings (ledger_id, transaction_id, sequence, position, source_account_id, destination_account_id,
                      amount_minor, currency, booked_on, recorded_at)
SELECT ledger_id, t.id, sequence, 0, CASE kind WHEN 'income' THEN $2 ELSE side.money END,
       CASE kind WHEN 'income' THEN side.money ELSE side.category END, amount_minor, currency, booked_on, recorded_at
FROM transactions t CROSS JOIN LATERAL (
  SELECT CASE WHEN currency = 'JPY' THEN $7::uuid WHEN sequence % 5000 = 13 THEN $5::uuid
              WHEN sequence % 10 < 6 THEN $3::uuid ELSE $4::uuid END AS money,
         CASE WHEN sequence % 4000 = 17 THEN $6::uuid
              ELSE ($8::uuid[])[1 + sequence * 13 % cardinality($8::uuid[])] END AS category
) side
WHERE ledger_id = $1
"""
_TAGS = """
INSERT INTO transaction_tags (ledger_id, tag_key, booked_on, transaction_id)
SELECT ledger_id, lower(tag), booked_on, id FROM transactions, unnest(tags) AS tag WHERE ledger_id = $1
"""
_MONTHS = """
INSERT INTO monthly_balances (ledger_id, account_id, currency, month, incoming_minor, outgoing_minor)
SELECT $1, account_id, currency, date_trunc('month', booked_on)::date, sum(incoming), sum(outgoing)
FROM (
  SELECT destination_account_id AS account_id, currency, booked_on, amount_minor AS incoming, 0 AS outgoing
  FROM postings WHERE ledger_id = $1
  UNION ALL
  SELECT source_account_id, currency, booked_on, 0, amount_minor FROM postings WHERE ledger_id = $1
) moved
GROUP BY account_id, currency, date_trunc('month', booked_on)
"""
_BALANCES = """
INSERT INTO balances (ledger_id, account_id, currency, balance_minor)
SELECT ledger_id, account_id, currency, sum(incoming_minor - outgoing_minor)
FROM monthly_balances WHERE ledger_id = $1 GROUP BY ledger_id, account_id, currency
"""
_TABLES = "transactions, postings, transaction_tags, accounts, members, balances, monthly_balances, assertions"


@dataclass(frozen=True, slots=True)
class LargeLedger:
    """Whose it is, and its accounts by name."""

    ledger_id: UUID
    user_id: UUID
    accounts: dict[str, UUID]


async def fill_ledger(
    connection: Connection, rows: int, *, ledger_id: UUID | None = None, user_id: UUID | None = None
) -> LargeLedger:
    """Write a new ledger with a history of so many transactions over ten years; the role must be the migrator's.

    Its statistics are taken, as autovacuum would do sooner or later.
    """
    ledger = LargeLedger(ledger_id or uuid4(), user_id or uuid4(), {})

    async def account(name: str, kind: str, currency: str | None = None, into: UUID | None = None) -> UUID:
        account_id = ledger.accounts[name] = uuid5(ledger.ledger_id, name)
        await connection.execute(_ACCOUNT, ledger.ledger_id, account_id, kind, name, currency, into)
        return account_id

    async with connection.transaction():
        await connection.execute("SET LOCAL transaction_timeout = 0")
        cash = uuid5(ledger.ledger_id, "Cash")
        await connection.execute(_OPEN, ledger.ledger_id, rows, cash)
        await connection.execute(_JOIN, ledger.ledger_id, ledger.user_id)
        await account("Cash", "asset", "EUR")
        bank, purse = await account("Bank", "asset", "EUR"), await account("Purse", "asset", "EUR")
        yen, salary = await account("Yen", "asset", "JPY"), await account("Salary", "income")
        await account("Exchange", "equity")
        categories = [await account(f"Category {number}", "expense") for number in range(CATEGORIES)]
        categories.append(await account("Merged", "expense", into=categories[0]))
        rare = await account("Rare category", "expense")
        await connection.execute(_TRANSACTIONS, ledger.ledger_id, ledger.user_id, rows, timeout=600)
        await connection.execute(
            _POSTINGS, ledger.ledger_id, salary, cash, bank, purse, rare, yen, categories, timeout=600
        )
        for statement in (_TAGS, _MONTHS, _BALANCES):
            await connection.execute(statement, ledger.ledger_id, timeout=600)
    await connection.execute(f"VACUUM (ANALYZE) {_TABLES}", timeout=600)
    return ledger
