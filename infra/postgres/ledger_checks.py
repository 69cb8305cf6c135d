"""What must always be true of the ledger database: totals are the sums of the postings, and no money is made or lost.

Every check reads only, in one snapshot, and returns a sentence per finding, a hundred at most: with so many, the first
say enough. No finding means that the books are right.
"""

from collections.abc import Sequence
from uuid import UUID

from infra.postgres.engine import Database, reading_whole_tables

_MONTHS = """
    WITH moved AS (
        SELECT ledger_id, destination_account_id AS account_id, currency, booked_on, amount_minor AS incoming,
               0 AS outgoing
        FROM postings WHERE ($1::uuid[] IS NULL OR ledger_id = ANY ($1))
        UNION ALL
        SELECT ledger_id, source_account_id, currency, booked_on, 0, amount_minor
        FROM postings WHERE ($1::uuid[] IS NULL OR ledger_id = ANY ($1))
    ),
    summed AS (
        SELECT ledger_id, account_id, currency, date_trunc('month', booked_on)::date AS month,
               sum(incoming) AS incoming_minor, sum(outgoing) AS outgoing_minor
        FROM moved GROUP BY 1, 2, 3, 4
    )
    SELECT format('Ledger %s, account %s, %s in %s: %s came in and %s went out by postings, %s and %s by the total.',
                  ledger_id, account_id, currency, to_char(month, 'YYYY-MM'),
                  coalesce(summed.incoming_minor, 0), coalesce(summed.outgoing_minor, 0),
                  coalesce(kept.incoming_minor, 0), coalesce(kept.outgoing_minor, 0))
    FROM summed
    FULL JOIN (SELECT * FROM monthly_balances WHERE ($1::uuid[] IS NULL OR ledger_id = ANY ($1))) AS kept
      USING (ledger_id, account_id, currency, month)
    WHERE (coalesce(summed.incoming_minor, 0), coalesce(summed.outgoing_minor, 0))
       <> (coalesce(kept.incoming_minor, 0), coalesce(kept.outgoing_minor, 0))
    LIMIT 100
"""
_BALANCES = """
    WITH summed AS (
        SELECT ledger_id, account_id, currency, sum(incoming_minor - outgoing_minor) AS balance_minor
        FROM monthly_balances WHERE ($1::uuid[] IS NULL OR ledger_id = ANY ($1))
        GROUP BY 1, 2, 3
    )
    SELECT format('Ledger %s, account %s: the balance is %s %s, its months add up to %s.',
                  ledger_id, account_id, coalesce(kept.balance_minor, 0), currency, coalesce(summed.balance_minor, 0))
    FROM summed
    FULL JOIN (SELECT * FROM balances WHERE ($1::uuid[] IS NULL OR ledger_id = ANY ($1))) AS kept
      USING (ledger_id, account_id, currency)
    WHERE coalesce(summed.balance_minor, 0) <> coalesce(kept.balance_minor, 0)
    LIMIT 100
"""
_ZERO = """
    SELECT format('Ledger %s: its balances in %s add up to %s, not to zero.', ledger_id, currency, sum(balance_minor))
    FROM balances WHERE ($1::uuid[] IS NULL OR ledger_id = ANY ($1))
    GROUP BY ledger_id, currency HAVING sum(balance_minor) <> 0
    LIMIT 100
"""
_HEADS = """
    SELECT format('Ledger %s, transaction %s: no posting belongs to its revision %s.', ledger_id, id, revision)
    FROM transactions AS head
    WHERE ($1::uuid[] IS NULL OR ledger_id = ANY ($1)) AND NOT EXISTS (
        SELECT FROM postings
        WHERE postings.ledger_id = head.ledger_id AND postings.sequence = head.sequence
          AND postings.transaction_id = head.id
    )
    LIMIT 100
"""
_ORPHANS = """
    SELECT format('Ledger %s, posting of transaction %s: an account or the transaction is missing.',
                  ledger_id, transaction_id)
    FROM postings AS posting
    WHERE ($1::uuid[] IS NULL OR ledger_id = ANY ($1)) AND NOT (
        EXISTS (SELECT FROM transactions AS head WHERE head.ledger_id = posting.ledger_id AND head.id = transaction_id)
        AND EXISTS (SELECT FROM accounts WHERE accounts.ledger_id = posting.ledger_id AND id = source_account_id)
        AND EXISTS (SELECT FROM accounts WHERE accounts.ledger_id = posting.ledger_id AND id = destination_account_id)
    )
    LIMIT 100
"""
_SEQUENCES = """
    SELECT format('Ledger %s: entry %s is in the tables, its sequence stands at %s.', ledger_id, max(head.sequence),
                  ledgers.sequence)
    FROM transactions AS head JOIN ledgers ON ledgers.id = ledger_id
    WHERE ($1::uuid[] IS NULL OR ledger_id = ANY ($1)) GROUP BY ledger_id, ledgers.sequence
    HAVING max(head.sequence) > ledgers.sequence OR count(DISTINCT head.sequence) < count(*)
    LIMIT 100
"""
CHECKS = (_MONTHS, _BALANCES, _ZERO, _HEADS, _ORPHANS, _SEQUENCES)


async def check_ledgers(database: Database, ledger_ids: Sequence[UUID] | None = None) -> list[str]:
    """Check some ledgers, or all; return a sentence for each thing that is wrong, none when all is right.

    Raises:
        Unavailable: the database does not answer.
    """
    async with (
        database.connection("check the ledger") as connection,
        # One snapshot: what is recorded meanwhile must not look like a difference.
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        await reading_whole_tables(connection)
        return [row[0] for check in CHECKS for row in await connection.fetch(check, ledger_ids)]
