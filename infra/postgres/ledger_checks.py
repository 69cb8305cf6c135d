"""What must always be true of the ledger database, in checks that read only; no finding means that the books are right.

Every rule holds within one ledger, so ledgers are checked some at a time, each check at one snapshot. A check returns a
sentence per finding, a hundred at most for one slice of ledgers: with so many, the first say enough.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from contracts.money import UnknownCurrency, exponent_of
from contracts.text import name_key
from infra.postgres.engine import Connection, Database, reading_whole_tables

#: A slice is as many ledgers as have so many entries together, one at least.
SLICE_ENTRIES = 20_000
_PAGE = 1_000


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it must be: which check found it, in which ledger, and what, in a sentence."""

    check: str
    ledger_id: UUID
    sentence: str


@dataclass(frozen=True, slots=True)
class Slice:
    """Ledgers that are checked together, by ascending id, and how many entries their journals have."""

    ledger_ids: Sequence[UUID]
    entries: int


@dataclass(frozen=True, slots=True)
class Checked:
    """How far a check has come, and what it found since the last time it said so."""

    ledgers: int
    entries: int
    findings: Sequence[Finding] = field(default=())


# Each statement answers with the ledger and a sentence; $1 are the ledgers' ids. They are said of each table, those
# joined and looked up too: else PostgreSQL may read all ledgers' rows of that one.

_MONTHS = """
    WITH moved AS (
        SELECT ledger_id, destination_account_id AS account_id, currency, booked_on, amount_minor AS incoming,
               0 AS outgoing
        FROM postings WHERE ledger_id = ANY ($1::uuid[])
        UNION ALL
        SELECT ledger_id, source_account_id, currency, booked_on, 0, amount_minor
        FROM postings WHERE ledger_id = ANY ($1::uuid[])
    ),
    summed AS (
        SELECT ledger_id, account_id, currency, date_trunc('month', booked_on)::date AS month,
               sum(incoming) AS incoming_minor, sum(outgoing) AS outgoing_minor
        FROM moved GROUP BY 1, 2, 3, 4
    )
    SELECT ledger_id,
           format('account %s, %s in %s: %s came in and %s went out by postings, %s and %s by the total.',
                  account_id, currency, to_char(month, 'YYYY-MM'),
                  coalesce(summed.incoming_minor, 0), coalesce(summed.outgoing_minor, 0),
                  coalesce(kept.incoming_minor, 0), coalesce(kept.outgoing_minor, 0))
    FROM summed
    FULL JOIN (SELECT * FROM monthly_balances WHERE ledger_id = ANY ($1::uuid[])) AS kept
      USING (ledger_id, account_id, currency, month)
    WHERE (coalesce(summed.incoming_minor, 0), coalesce(summed.outgoing_minor, 0))
       <> (coalesce(kept.incoming_minor, 0), coalesce(kept.outgoing_minor, 0))
"""
_BALANCES = """
    WITH summed AS (
        SELECT ledger_id, account_id, currency, sum(incoming_minor - outgoing_minor) AS balance_minor
        FROM monthly_balances WHERE ledger_id = ANY ($1::uuid[])
        GROUP BY 1, 2, 3
    )
    SELECT ledger_id,
           format('account %s: the balance is %s %s, its months add up to %s.',
                  account_id, coalesce(kept.balance_minor, 0), currency, coalesce(summed.balance_minor, 0))
    FROM summed
    FULL JOIN (SELECT * FROM balances WHERE ledger_id = ANY ($1::uuid[])) AS kept
      USING (ledger_id, account_id, currency)
    WHERE coalesce(summed.balance_minor, 0) <> coalesce(kept.balance_minor, 0)
"""
_ZERO = """
    SELECT ledger_id, format('its balances in %s add up to %s, not to zero.', currency, sum(balance_minor))
    FROM balances WHERE ledger_id = ANY ($1::uuid[])
    GROUP BY ledger_id, currency HAVING sum(balance_minor) <> 0
"""

#: Every entry of a journal leaves a trace: postings, a change, or an account's first version.
_ENTRIES = """
    WITH entries (ledger_id, sequence, subject_id) AS (
        SELECT ledger_id, sequence, transaction_id FROM postings WHERE ledger_id = ANY ($1::uuid[])
        UNION
        SELECT ledger_id, sequence, subject_id FROM changes WHERE ledger_id = ANY ($1::uuid[])
        UNION
        SELECT ledger_id, min(version), id
        FROM (
            SELECT ledger_id, id, version FROM accounts WHERE ledger_id = ANY ($1::uuid[])
            UNION ALL
            SELECT ledger_id, id, version FROM account_versions WHERE ledger_id = ANY ($1::uuid[])
        ) AS versions
        GROUP BY ledger_id, id
    )
"""
_GAPS = f"""
    {_ENTRIES},
    numbered AS (
        SELECT DISTINCT ledger_id, sequence FROM entries
    ),
    followed AS (
        SELECT ledger_id, sequence, lag(sequence, 1, 0::bigint) OVER ledger AS before
        FROM numbered WINDOW ledger AS (PARTITION BY ledger_id ORDER BY sequence)
    )
    SELECT ledger_id, format('entries %s to %s are in no table.', before + 1, sequence - 1)
    FROM followed WHERE sequence <> before + 1
    UNION ALL
    SELECT id, format('its sequence stands at %s, the last entry in the tables is %s.', ledgers.sequence,
                      coalesce(max(numbered.sequence), 0))
    FROM ledgers LEFT JOIN numbered ON ledger_id = id
    WHERE id = ANY ($1::uuid[])
    GROUP BY id, ledgers.sequence HAVING coalesce(max(numbered.sequence), 0) <> ledgers.sequence
"""  # noqa: S608 - constants of this module, here and below
_DUPLICATES = f"""
    {_ENTRIES}
    SELECT ledger_id, format('entry %s is of %s things at once, such as %s and %s.', sequence, count(*),
                             min(subject_id::text), max(subject_id::text))
    FROM entries GROUP BY ledger_id, sequence HAVING count(*) > 1
"""  # noqa: S608
_CLOCK = """
    WITH known AS (
        SELECT ledger_id, sequence, recorded_at FROM postings WHERE ledger_id = ANY ($1::uuid[])
        UNION ALL
        SELECT ledger_id, sequence, recorded_at FROM changes WHERE ledger_id = ANY ($1::uuid[])
    ),
    followed AS (
        SELECT ledger_id, sequence, recorded_at,
               lag(recorded_at) OVER (PARTITION BY ledger_id ORDER BY sequence, recorded_at) AS before,
               lag(sequence) OVER (PARTITION BY ledger_id ORDER BY sequence, recorded_at) AS sequence_before
        FROM known
    )
    SELECT ledger_id,
           format('entry %s was recorded at %s, before %s of entry %s.', sequence, recorded_at, before, sequence_before)
    FROM followed WHERE recorded_at < before OR (sequence = sequence_before AND recorded_at <> before)
    UNION ALL
    SELECT id, format('it says that its last entry was recorded at %s, its tables say %s.', ledgers.recorded_at,
                      max(known.recorded_at))
    FROM ledgers JOIN known ON ledger_id = id
    GROUP BY id, ledgers.recorded_at HAVING ledgers.recorded_at IS DISTINCT FROM max(known.recorded_at)
"""

_ORPHANS = """
    SELECT ledger_id, format('posting of transaction %s (entry %s): the transaction is missing.', transaction_id,
                             sequence)
    FROM postings
    WHERE ledger_id = ANY ($1::uuid[]) AND NOT EXISTS (
        SELECT FROM transactions AS head
        WHERE head.ledger_id = ANY ($1::uuid[])
          AND head.ledger_id = postings.ledger_id AND head.id = transaction_id
    )
    UNION ALL
    SELECT ledger_id, format('account %s is missing, and entry %s moves money in it.', account_id, min(sequence))
    FROM (
        SELECT ledger_id, source_account_id AS account_id, sequence FROM postings WHERE ledger_id = ANY ($1::uuid[])
        UNION ALL
        SELECT ledger_id, destination_account_id, sequence FROM postings WHERE ledger_id = ANY ($1::uuid[])
    ) AS moved
    WHERE NOT EXISTS (
        SELECT FROM accounts
        WHERE accounts.ledger_id = ANY ($1::uuid[])
          AND accounts.ledger_id = moved.ledger_id AND accounts.id = account_id
    )
    GROUP BY ledger_id, account_id
"""
_HEADS = """
    WITH stated AS (
        SELECT ledger_id, id, version, sequence FROM transactions WHERE ledger_id = ANY ($1::uuid[])
        UNION ALL
        SELECT ledger_id, id, version, sequence FROM transaction_versions WHERE ledger_id = ANY ($1::uuid[])
    )
    SELECT ledger_id, format('transaction %s: no posting belongs to its version %s.', id, version)
    FROM stated
    WHERE NOT EXISTS (
        SELECT FROM postings
        WHERE postings.ledger_id = ANY ($1::uuid[])
          AND postings.ledger_id = stated.ledger_id AND postings.sequence = stated.sequence
          AND postings.transaction_id = stated.id
    )
"""
_MONEY = """
    WITH standing AS (
        SELECT ledger_id, sequence, transaction_id, sum(amount_minor) AS all_minor,
               min(amount_minor) FILTER (WHERE position = 0) AS first_minor,
               min(currency) FILTER (WHERE position = 0) AS currency,
               min(booked_on) AS booked_on, max(booked_on) AS booked_until
        FROM postings WHERE ledger_id = ANY ($1::uuid[])
        GROUP BY 1, 2, 3
    )
    SELECT ledger_id,
           format('transaction %s says %s %s on %s, its postings say %s %s on %s.', head.id, head.amount_minor,
                  head.currency, head.booked_on, standing.all_minor, standing.currency, standing.booked_on)
    FROM transactions AS head JOIN standing USING (ledger_id, sequence)
    WHERE head.ledger_id = ANY ($1::uuid[]) AND standing.transaction_id = head.id
      AND (
        head.amount_minor <> CASE head.kind WHEN 'exchange' THEN first_minor ELSE all_minor END
        OR head.currency IS DISTINCT FROM standing.currency
        OR standing.booked_on <> head.booked_on OR standing.booked_until <> head.booked_on
      )
"""
_REVERSED = """
    SELECT posting.ledger_id,
           format('transaction %s: what was taken back leaves %s %s in account %s on %s.', posting.transaction_id,
                  sum(side.minor), posting.currency, side.account_id, posting.booked_on)
    FROM postings AS posting
    JOIN transactions AS head
      ON head.ledger_id = ANY ($1::uuid[])
      AND head.ledger_id = posting.ledger_id AND head.id = posting.transaction_id
    CROSS JOIN LATERAL (
        VALUES (source_account_id, -posting.amount_minor), (destination_account_id, posting.amount_minor)
    ) AS side (account_id, minor)
    WHERE posting.ledger_id = ANY ($1::uuid[]) AND (head.deleted OR posting.sequence <> head.sequence)
    GROUP BY posting.ledger_id, posting.transaction_id, posting.currency, side.account_id, posting.booked_on
    HAVING sum(side.minor) <> 0
"""
_CURRENCIES = """
    SELECT posting.ledger_id,
           format('transaction %s moves %s in account %s, which is in %s.', transaction_id, posting.currency,
                  account.id, account.currency)
    FROM postings AS posting
    JOIN accounts AS account
      ON account.ledger_id = ANY ($1::uuid[])
        AND account.ledger_id = posting.ledger_id AND account.id IN (source_account_id, destination_account_id)
    WHERE posting.ledger_id = ANY ($1::uuid[]) AND account.currency <> posting.currency
"""

_VERSIONS = """
    WITH stated AS (
        SELECT ledger_id, id, version, revision, state_of, sequence, deleted, true AS is_head
        FROM transactions WHERE ledger_id = ANY ($1::uuid[])
        UNION ALL
        SELECT ledger_id, id, version, revision, state_of, sequence, deleted, false
        FROM transaction_versions WHERE ledger_id = ANY ($1::uuid[])
    ),
    followed AS (
        SELECT *, lag(version) OVER chain AS version_before, lag(revision) OVER chain AS revision_before,
               lag(sequence) OVER chain AS sequence_before, lead(version) OVER chain AS version_after
        FROM stated WINDOW chain AS (PARTITION BY ledger_id, id ORDER BY version, is_head)
    )
    SELECT ledger_id, format('transaction %s, version %s: %s.', id, version, wrong)
    FROM followed
    CROSS JOIN LATERAL (
        SELECT CASE
            WHEN is_head <> (version_after IS NULL) THEN 'it should not be the last one, or be it'
            WHEN version_before IS NULL AND (revision, state_of, sequence, deleted) <> (1, version, version, false)
                THEN 'a first version has revision 1, a state and postings of its own'
            WHEN version = version_before THEN 'there are two of it'
            WHEN version_before IS NOT NULL
             AND (revision, sequence) NOT IN ((revision_before, sequence_before), (revision_before + 1, version))
                THEN 'it has neither the postings of the one before nor the next revision''s'
            WHEN version_before IS NOT NULL AND NOT EXISTS (
                SELECT FROM changes
                WHERE changes.ledger_id = ANY ($1::uuid[])
                  AND changes.ledger_id = followed.ledger_id AND changes.sequence = version AND subject_id = id
            ) THEN 'no change tells of it'
            WHEN state_of NOT IN (0, version) AND NOT EXISTS (
                SELECT FROM transaction_versions AS earlier
                WHERE earlier.ledger_id = ANY ($1::uuid[])
                  AND earlier.ledger_id = followed.ledger_id AND earlier.id = followed.id
                  AND earlier.version = followed.state_of
            ) THEN format('it has the state of version %s, which there is not', state_of)
        END AS wrong
    ) AS judged
    WHERE wrong IS NOT NULL
"""
_ACCOUNT_VERSIONS = """
    WITH stated AS (
        SELECT ledger_id, id, version, state_of, true AS is_head FROM accounts WHERE ledger_id = ANY ($1::uuid[])
        UNION ALL
        SELECT ledger_id, id, version, state_of, false FROM account_versions WHERE ledger_id = ANY ($1::uuid[])
    ),
    followed AS (
        SELECT *, lag(version) OVER chain AS version_before, lead(version) OVER chain AS version_after
        FROM stated WINDOW chain AS (PARTITION BY ledger_id, id ORDER BY version, is_head)
    )
    SELECT ledger_id, format('account %s, version %s: %s.', id, version, wrong)
    FROM followed
    CROSS JOIN LATERAL (
        SELECT CASE
            WHEN is_head <> (version_after IS NULL) THEN 'it should not be the last one, or be it'
            WHEN version_before IS NULL AND state_of <> version THEN 'a first version has a state of its own'
            WHEN version = version_before THEN 'there are two of it'
            WHEN version_before IS NOT NULL AND NOT EXISTS (
                SELECT FROM changes
                WHERE changes.ledger_id = ANY ($1::uuid[])
                  AND changes.ledger_id = followed.ledger_id AND changes.sequence = version AND subject_id = id
            ) THEN 'no change tells of it'
            WHEN state_of <> version AND NOT EXISTS (
                SELECT FROM account_versions AS earlier
                WHERE earlier.ledger_id = ANY ($1::uuid[])
                  AND earlier.ledger_id = followed.ledger_id AND earlier.id = followed.id
                  AND earlier.version = followed.state_of
            ) THEN format('it has the state of version %s, which there is not', state_of)
        END AS wrong
    ) AS judged
    WHERE wrong IS NOT NULL
"""
_ROOTS = """
    WITH RECURSIVE led AS (
        SELECT ledger_id, id, id AS root_id, merged_into FROM accounts WHERE ledger_id = ANY ($1::uuid[])
        UNION ALL
        SELECT led.ledger_id, led.id, target.id, target.merged_into
        FROM led JOIN accounts AS target
          ON target.ledger_id = ANY ($1::uuid[])
          AND target.ledger_id = led.ledger_id AND target.id = led.merged_into
    ) CYCLE root_id SET is_circle USING path
    SELECT ledger_id, format('account %s is merged in a circle.', id) FROM led WHERE is_circle
    UNION ALL
    SELECT ledger_id, format('account %s is merged into %s, which there is not.', id, merged_into)
    FROM led WHERE NOT is_circle AND merged_into IS NOT NULL AND NOT EXISTS (
        SELECT FROM accounts
        WHERE accounts.ledger_id = ANY ($1::uuid[])
          AND accounts.ledger_id = led.ledger_id AND accounts.id = led.merged_into
    )
    UNION ALL
    SELECT ledger_id, format('account %s: %s stands for it by its merges, %s by its row.', id, led.root_id,
                             account.root_id)
    FROM led JOIN accounts AS account USING (ledger_id, id)
    WHERE account.ledger_id = ANY ($1::uuid[])
      AND NOT is_circle AND led.merged_into IS NULL AND account.root_id <> led.root_id
    UNION ALL
    SELECT account.ledger_id, format('account %s is merged into %s, which is of another kind or no category.',
                                     account.id, target.id)
    FROM accounts AS account
    JOIN accounts AS target
      ON target.ledger_id = ANY ($1::uuid[])
      AND target.ledger_id = account.ledger_id AND target.id = account.merged_into
    WHERE account.ledger_id = ANY ($1::uuid[])
      AND (target.kind <> account.kind OR account.kind NOT IN ('income', 'expense'))
"""
_CHANGES = """
    SELECT ledger_id, format('change %s (%s): %s is missing.', sequence, type, missing)
    FROM changes AS change
    CROSS JOIN LATERAL (
        SELECT 'its transaction' AS missing
        WHERE type LIKE 'transaction.%' AND NOT EXISTS (
            SELECT FROM transactions AS head
            WHERE head.ledger_id = ANY ($1::uuid[])
              AND head.ledger_id = change.ledger_id AND head.id = subject_id
        )
        UNION ALL
        SELECT 'its account'
        WHERE type LIKE 'account.%' AND NOT EXISTS (
            SELECT FROM accounts
            WHERE accounts.ledger_id = ANY ($1::uuid[])
              AND accounts.ledger_id = change.ledger_id AND accounts.id = subject_id
        )
        UNION ALL
        SELECT 'the version it made'
        WHERE type LIKE 'transaction.%' AND NOT EXISTS (
            SELECT FROM transactions AS head
            WHERE head.ledger_id = ANY ($1::uuid[])
              AND head.ledger_id = change.ledger_id AND head.id = subject_id AND head.version = change.sequence
        ) AND NOT EXISTS (
            SELECT FROM transaction_versions AS earlier
            WHERE earlier.ledger_id = ANY ($1::uuid[])
              AND earlier.ledger_id = change.ledger_id AND earlier.id = subject_id AND earlier.version = change.sequence
        )
        UNION ALL
        SELECT 'the version it made'
        WHERE type LIKE 'account.%' AND NOT EXISTS (
            SELECT FROM accounts AS head
            WHERE head.ledger_id = ANY ($1::uuid[])
              AND head.ledger_id = change.ledger_id AND head.id = subject_id AND head.version = change.sequence
        ) AND NOT EXISTS (
            SELECT FROM account_versions AS earlier
            WHERE earlier.ledger_id = ANY ($1::uuid[])
              AND earlier.ledger_id = change.ledger_id AND earlier.id = subject_id AND earlier.version = change.sequence
        )
        UNION ALL
        SELECT 'its assertion'
        WHERE type IN ('balance.asserted', 'assertion.lifted') AND NOT EXISTS (
            SELECT FROM assertions
            WHERE assertions.ledger_id = ANY ($1::uuid[])
              AND assertions.ledger_id = change.ledger_id AND assertions.id = subject_id
        )
        UNION ALL
        SELECT 'its invitation'
        WHERE type IN ('member.invited', 'invitation.ended') AND NOT EXISTS (
            SELECT FROM invitations
            WHERE invitations.ledger_id = ANY ($1::uuid[])
              AND invitations.ledger_id = change.ledger_id AND invitations.id = subject_id
        )
        UNION ALL
        SELECT 'what it undoes'
        WHERE undoes IS NOT NULL
          AND NOT EXISTS (
            SELECT FROM changes AS earlier
            WHERE earlier.ledger_id = ANY ($1::uuid[])
              AND earlier.ledger_id = change.ledger_id AND earlier.sequence = change.undoes
          )
          AND NOT EXISTS (
            SELECT FROM postings
            WHERE postings.ledger_id = ANY ($1::uuid[])
              AND postings.ledger_id = change.ledger_id AND postings.sequence = change.undoes
          )
    ) AS found
    WHERE ledger_id = ANY ($1::uuid[])
"""

_ASSERTIONS = """
    SELECT ledger_id, format('assertion %s: %s.', id, wrong)
    FROM assertions AS asserted
    CROSS JOIN LATERAL (
        SELECT kind, currency FROM accounts
        WHERE accounts.ledger_id = ANY ($1::uuid[])
          AND accounts.ledger_id = asserted.ledger_id AND accounts.id = account_id
        UNION ALL
        SELECT NULL, NULL WHERE NOT EXISTS (
            SELECT FROM accounts
            WHERE accounts.ledger_id = ANY ($1::uuid[])
              AND accounts.ledger_id = asserted.ledger_id AND accounts.id = account_id
        )
    ) AS account
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(amount_minor) FILTER (WHERE destination_account_id = account_id), 0)
             - coalesce(sum(amount_minor) FILTER (WHERE source_account_id = account_id), 0) AS minor
        FROM postings
        WHERE postings.ledger_id = ANY ($1::uuid[])
          AND postings.ledger_id = asserted.ledger_id AND postings.currency = asserted.currency
          AND (source_account_id = account_id OR destination_account_id = account_id)
          AND booked_on <= asserted_on AND postings.sequence < asserted.sequence
    ) AS computed
    CROSS JOIN LATERAL (
        SELECT CASE
            WHEN account.kind IS NULL THEN 'its account is missing'
            WHEN account.currency IS DISTINCT FROM asserted.currency
                THEN format('it is in %s, its account is not', asserted.currency)
            WHEN computed.minor <> computed_minor
                THEN format('the books are said to have held %s, by postings it was %s', computed_minor, computed.minor)
            WHEN NOT EXISTS (
                SELECT FROM changes
                WHERE changes.ledger_id = ANY ($1::uuid[])
                  AND changes.ledger_id = asserted.ledger_id AND changes.sequence = asserted.sequence
                  AND type = 'balance.asserted' AND subject_id = asserted.id
            ) THEN 'no change tells of it'
            WHEN (lifted_at IS NOT NULL) <> EXISTS (
                SELECT FROM changes
                WHERE changes.ledger_id = ANY ($1::uuid[])
                  AND changes.ledger_id = asserted.ledger_id AND subject_id = asserted.id AND type = 'assertion.lifted'
            ) THEN 'it is lifted and no change tells of it, or it is not and one does'
        END AS wrong
    ) AS judged
    WHERE ledger_id = ANY ($1::uuid[]) AND wrong IS NOT NULL
"""
_RATES = """
    SELECT ledger_id, format('rate of %s in %s on %s: %s is none.', currency, quote, valid_on, rate)
    FROM rates WHERE ledger_id = ANY ($1::uuid[]) AND (rate <= 0 OR currency = quote)
"""
_MEMBERS = """
    SELECT id, format('it has %s owners, not one.', count(user_id))
    FROM ledgers LEFT JOIN members ON ledger_id = ANY ($1::uuid[]) AND ledger_id = id AND role = 'owner'
    WHERE id = ANY ($1::uuid[]) AND sequence > 0
    GROUP BY id HAVING count(user_id) <> 1
"""
_OPENED = """
    SELECT id, 'it is open and lacks its currency, zone, moment of opening or default account.'
    FROM ledgers
    WHERE id = ANY ($1::uuid[]) AND sequence > 0 AND (
        base_currency IS NULL OR time_zone IS NULL OR opened_at IS NULL OR NOT EXISTS (
            SELECT FROM accounts WHERE ledger_id = ledgers.id AND accounts.id = default_account_id
        )
    )
"""

_CODES = """
    SELECT DISTINCT ledger_id, currency FROM balances WHERE ledger_id = ANY ($1::uuid[])
    UNION
    SELECT ledger_id, currency FROM postings WHERE ledger_id = ANY ($1::uuid[])
    UNION
    SELECT ledger_id, currency FROM accounts WHERE ledger_id = ANY ($1::uuid[]) AND currency IS NOT NULL
    UNION
    SELECT id, base_currency FROM ledgers WHERE id = ANY ($1::uuid[]) AND base_currency IS NOT NULL
    UNION
    SELECT ledger_id, unnest(ARRAY[currency, quote]) FROM rates WHERE ledger_id = ANY ($1::uuid[])
"""
_NAMES = """
    SELECT ledger_id, format('account %s', id), name, name_key FROM accounts WHERE ledger_id = ANY ($1::uuid[])
    UNION ALL
    SELECT ledger_id, 'payees', coalesce(payee, ''), coalesce(payee_key, '')
    FROM transactions WHERE ledger_id = ANY ($1::uuid[]) AND (payee IS NOT NULL OR payee_key IS NOT NULL)
    GROUP BY 1, 2, 3, 4
"""
# PostgreSQL folds case a little otherwise than `name_key`: it names the suspects, and Python judges them.
_TAG_SUSPECTS = """
    WITH wanted AS (
        SELECT ledger_id, id AS transaction_id, booked_on, lower(normalize(tag, NFKC)) AS tag_key
        FROM transactions, unnest(tags) AS tag WHERE ledger_id = ANY ($1::uuid[]) AND NOT deleted
    ),
    kept AS (
        SELECT ledger_id, transaction_id, booked_on, tag_key FROM transaction_tags WHERE ledger_id = ANY ($1::uuid[])
    )
    SELECT DISTINCT ledger_id, transaction_id
    FROM ((TABLE wanted EXCEPT TABLE kept) UNION ALL (TABLE kept EXCEPT TABLE wanted)) AS differing
    LIMIT 10000
"""
_TAGS = """
    SELECT ledger_id, id, CASE WHEN deleted THEN '{}' ELSE tags END AS tags, booked_on,
           ARRAY (
               SELECT tag_key FROM transaction_tags AS found
               WHERE found.ledger_id = ANY ($1::uuid[])
                 AND found.ledger_id = head.ledger_id AND found.transaction_id = head.id
                 AND found.booked_on = head.booked_on
           ) AS keys,
           (
               SELECT count(*) FROM transaction_tags AS found
               WHERE found.ledger_id = ANY ($1::uuid[])
                 AND found.ledger_id = head.ledger_id AND found.transaction_id = head.id
           ) AS keys_on_any_day
    FROM unnest($1::uuid[], $2::uuid[]) AS suspect (ledger_id, id)
    LEFT JOIN transactions AS head USING (ledger_id, id)
"""


async def _check_codes(connection: Connection, ledger_ids: Sequence[UUID]) -> list[tuple[UUID, str]]:
    return [
        (row["ledger_id"], f"{row['currency']} is no currency of ISO 4217 with minor units.")
        for row in await connection.fetch(_CODES, ledger_ids)
        if not _is_currency(row["currency"])
    ]


async def _check_names(connection: Connection, ledger_ids: Sequence[UUID]) -> list[tuple[UUID, str]]:
    return [
        (ledger_id, f"{whose}: the key of {name!r} is {name_key(name)!r}, not {key!r}.")
        for ledger_id, whose, name, key in await connection.fetch(_NAMES, ledger_ids)
        if name_key(name) != key
    ]


async def _check_tags(connection: Connection, ledger_ids: Sequence[UUID]) -> list[tuple[UUID, str]]:
    suspects = await connection.fetch(_TAG_SUSPECTS, ledger_ids)
    if not suspects:
        return []
    whose = [list(column) for column in zip(*suspects, strict=True)]
    found: list[tuple[UUID, str]] = []
    for row in await connection.fetch(_TAGS, *whose):
        wanted = {name_key(tag) for tag in row["tags"] or ()}
        if wanted != set(row["keys"] or ()) or row["keys_on_any_day"] != len(wanted):
            found.append((row["ledger_id"], f"transaction {row['id']} is not found by the tags it has, or by others."))
    return found


Look = Callable[[Connection, Sequence[UUID]], Awaitable[Sequence[Any]]]


def _by(statement: str) -> Look:
    # Materialized: for the sake of the first hundred rows PostgreSQL would plan joins that end soon where there are
    # some, and never where there are none, which is what we expect.
    statement = f"WITH wrong AS MATERIALIZED ({statement}) SELECT * FROM wrong LIMIT 100"  # noqa: S608

    async def look(connection: Connection, ledger_ids: Sequence[UUID]) -> Sequence[Any]:
        return await connection.fetch(statement, ledger_ids)

    return look


#: By name, as findings are counted.
CHECKS: Mapping[str, Look] = {
    "monthly totals": _by(_MONTHS),
    "balances": _by(_BALANCES),
    "zero sum": _by(_ZERO),
    "gaps": _by(_GAPS),
    "duplicates": _by(_DUPLICATES),
    "clock": _by(_CLOCK),
    "orphans": _by(_ORPHANS),
    "heads": _by(_HEADS),
    "money": _by(_MONEY),
    "reversals": _by(_REVERSED),
    "currencies": _by(_CURRENCIES),
    "currency codes": _check_codes,
    "versions": _by(_VERSIONS),
    "account versions": _by(_ACCOUNT_VERSIONS),
    "roots": _by(_ROOTS),
    "changes": _by(_CHANGES),
    "tags": _check_tags,
    "names": _check_names,
    "assertions": _by(_ASSERTIONS),
    "rates": _by(_RATES),
    "members": _by(_MEMBERS),
    "opening": _by(_OPENED),
}

#: Tables without a foreign key to the ledger of their rows.
_FREE_TABLES = (
    "account_versions", "assertions", "balances", "changes", "monthly_balances", "postings", "rates",
    "transaction_tags", "transaction_versions", "transactions",
)  # fmt: skip
#: Jumps from ledger to ledger along the primary key.
_STRAYS = """
    WITH RECURSIVE seen (ledger_id) AS (
        (SELECT ledger_id FROM {table} ORDER BY ledger_id LIMIT 1)
        UNION ALL
        SELECT (SELECT ledger_id FROM {table} WHERE {table}.ledger_id > seen.ledger_id ORDER BY ledger_id LIMIT 1)
        FROM seen WHERE seen.ledger_id IS NOT NULL
    )
    SELECT ledger_id, 'rows of {table} are of this ledger, which there is not.'
    FROM seen WHERE ledger_id IS NOT NULL AND NOT EXISTS (SELECT FROM ledgers WHERE id = ledger_id)
    LIMIT 100
"""
_LEDGERS = "SELECT id, sequence FROM ledgers WHERE id > $1 ORDER BY id LIMIT $2"
_SOME_LEDGERS = "SELECT id, sequence FROM ledgers WHERE id = ANY ($1::uuid[]) ORDER BY id"
_SIZE = "SELECT count(*), coalesce(sum(sequence), 0)::bigint FROM ledgers WHERE $1::uuid[] IS NULL OR id = ANY ($1)"


async def find_slice(database: Database, after: UUID | None, entries_max: int = SLICE_ENTRIES) -> Slice | None:
    """Return the ledgers to check after this one, by id; ``None`` when it was the last.

    Raises:
        Unavailable: the database does not answer.
    """
    async with database.connection("list ledgers") as connection:
        rows = await connection.fetch(_LEDGERS, after or UUID(int=0), _PAGE)
    ledger_ids: list[UUID] = []
    entries = 0
    for row in rows:
        if ledger_ids and entries + row["sequence"] > entries_max:
            break
        ledger_ids.append(row["id"])
        entries += row["sequence"]
    return Slice(ledger_ids, entries) if ledger_ids else None


async def run_check(
    database: Database, check: str, ledger_ids: Sequence[UUID], *, within_s: float | None = None
) -> list[Finding]:
    """Run one of :data:`CHECKS` on some ledgers, at one snapshot.

    Raises:
        Unavailable: the database does not answer, or not ``within_s``.
    """
    async with _snapshot(database, within_s) as connection:
        rows = await CHECKS[check](connection, ledger_ids)
    return [Finding(check, ledger_id, f"Ledger {ledger_id}: {sentence}") for ledger_id, sentence in rows]


async def find_strays(database: Database, *, within_s: float | None = None) -> list[Finding]:
    """Find rows of ledgers that do not exist.

    Raises:
        Unavailable: the database does not answer, or not ``within_s``.
    """
    findings: list[Finding] = []
    async with _snapshot(database, within_s, whole_tables=False) as connection:
        for table in _FREE_TABLES:
            for ledger_id, sentence in await connection.fetch(_STRAYS.format(table=table)):
                findings.append(Finding("strays", ledger_id, f"Ledger {ledger_id}: {sentence}"))
    return findings


async def measure(database: Database, ledger_ids: Sequence[UUID] | None = None) -> Checked:
    """Return how many ledgers there are to check, of some or of all, and how many entries.

    Raises:
        Unavailable: the database does not answer.
    """
    async with _snapshot(database) as connection:
        ledgers, entries = await connection.fetchrow(_SIZE, ledger_ids)  # type: ignore[misc]  # a row of two
    return Checked(ledgers, entries)


async def check_in_slices(database: Database, ledger_ids: Sequence[UUID] | None = None) -> AsyncIterator[Checked]:
    """Check some ledgers, or all and what lies about of none; yield after each slice what was checked so far.

    Raises:
        Unavailable: the database does not answer.
    """
    ledgers = entries = 0
    async for each in _slices(database, ledger_ids):
        findings = [finding for check in CHECKS for finding in await run_check(database, check, each.ledger_ids)]
        ledgers, entries = ledgers + len(each.ledger_ids), entries + each.entries
        yield Checked(ledgers, entries, findings)
    if ledger_ids is None:
        yield Checked(ledgers, entries, await find_strays(database))


async def check_ledgers(database: Database, ledger_ids: Sequence[UUID] | None = None) -> list[str]:
    """Check some ledgers, or all; return a sentence for each thing that is wrong, none when all is right.

    Raises:
        Unavailable: the database does not answer.
    """
    return [finding.sentence async for checked in check_in_slices(database, ledger_ids) for finding in checked.findings]


async def _slices(database: Database, ledger_ids: Sequence[UUID] | None) -> AsyncIterator[Slice]:
    if ledger_ids is None:
        after = None
        while found := await find_slice(database, after):
            yield found
            after = found.ledger_ids[-1]
        return
    async with database.connection("list ledgers") as connection:
        rows = await connection.fetch(_SOME_LEDGERS, ledger_ids)
    for row in rows:
        yield Slice([row["id"]], row["sequence"])


@asynccontextmanager
async def _snapshot(
    database: Database, within_s: float | None = None, *, whole_tables: bool = True
) -> AsyncIterator[Connection]:
    """Lend a connection that sees the database as it is now: what is recorded meanwhile is no difference."""
    async with (
        database.connection("check the ledger") as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        if whole_tables:
            await reading_whole_tables(connection)
        if within_s is not None:
            await connection.execute(f"SET LOCAL statement_timeout = '{within_s:.1f}s'")
        yield connection


def _is_currency(code: str) -> bool:
    try:
        exponent_of(code)
    except UnknownCurrency:
        return False
    return True
