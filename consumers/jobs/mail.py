"""The errand of sending mail: intents that are due are leased, written, handed to the mail server, and marked."""

import asyncio
import time
import traceback
from collections.abc import Sequence
from datetime import timedelta
from enum import StrEnum
from functools import cache

from asyncpg import Record
from kombu.exceptions import OperationalError
from prometheus_client import Counter, Gauge

from consumers.domain.decisions import Asked, Decision
from consumers.domain.letters import LetterDue
from consumers.domain.registrations import CodeIssued
from consumers.jobs.app import TASK_BUDGET_S, TASK_EXPIRY_S, VISIBILITY_TIMEOUT_S, app
from consumers.jobs.letters import Overtaken, TooLate, Undecided, Writer
from consumers.jobs.running import opened, run_job
from consumers.settings import CodeKey
from contracts.messages import Submission
from infra.errors import Unavailable
from infra.mail.letters import AddressRefused, compose
from infra.mail.smtp import Mailer, MailRefused
from infra.postgres.deliveries import measure_mails
from infra.postgres.engine import Database
from infra.secrets import SecretKey
from infra.settings import LedgerDatabaseSettings, SmtpSettings, UsersDatabaseSettings, read
from infra.telemetry.logs import get_logger
from infra.telemetry.spans import SpanKind, find_recorder
from infra.telemetry.traces import current_traceparent, new_traceparent, tracing

log = get_logger(__name__)

LEASE_S = 8
RETRY_WAITS_S = (5, 15, 45, 120, 240)
"""Waits after each failed try. Together they are shorter than a code lives: the last try still brings a live one."""
TRIES_MAX = len(RETRY_WAITS_S) + 1

MAIL_ATTEMPTS = Counter("cash_mail_attempts_total", "Tries to send a mail, by how they ended.", ["outcome"])


MAILS_DUE_AGE = Gauge("cash_mails_due_age_seconds", "How long the oldest mail has been due; 0 when none is.")


class Outcome(StrEnum):
    """How a try ended. After ``failed`` comes another one."""

    SENT = "sent"
    FAILED = "failed"
    ABANDONED = "abandoned"
    SUPERSEDED = "superseded"


for _outcome in Outcome:
    MAIL_ATTEMPTS.labels(_outcome)


# Kept as one statement: of several workers each gets another mail, and one that dies loses its lease.
_LEASE = """
    WITH due AS (
        SELECT id FROM mails
        WHERE state = 'due' AND due_at <= now() AND (leased_until IS NULL OR leased_until <= now())
        ORDER BY due_at
        LIMIT 1
        FOR UPDATE SKIP LOCKED
    ),
    leased AS (
        UPDATE mails
        SET attempts = mails.attempts + 1, leased_until = now() + $1
        FROM due
        WHERE mails.id = due.id
        RETURNING mails.*
    )
    SELECT leased.id, leased.registration_id, leased.issue, leased.user_id, leased.inviter_id, leased.ledger_id,
        leased.invitation_id, leased.kind, leased.message_id, leased.attempts, leased.leased_until, leased.traceparent,
        leased.created_at, coalesce(registration.email, addressed.email) AS email, addressed.username,
        coalesce(registration.time_zone, addressed.time_zone) AS time_zone, registration.state,
        registration.issue AS newest_issue, registration.code_expires_at, inviter.username AS inviter,
        now() AS leased_at
    FROM leased
    LEFT JOIN registrations AS registration ON registration.id = leased.registration_id
    LEFT JOIN users AS addressed ON addressed.id = leased.user_id
    LEFT JOIN users AS inviter ON inviter.id = leased.inviter_id
"""

_END = """
    UPDATE mails SET state = $2, ended_at = clock_timestamp(), leased_until = NULL, last_error = $3
    WHERE id = $1 AND state = 'due'
"""

# Only while the lease is ours: whoever leased it after us says when the next try is.
_PUT_OFF = """
    UPDATE mails SET due_at = clock_timestamp() + $3, leased_until = NULL, last_error = $4
    WHERE id = $1 AND state = 'due' AND leased_until = $2
"""


async def send_due(database: Database, mailer: Mailer, writer: Writer) -> bool:
    """Send what is due, for as long as a task may begin new tries; return whether more may be due.

    Raises:
        Unavailable: the database is down. A mail server that is down is no error here: each mail waits, ever longer.
    """
    began_at = time.monotonic()
    # The last try begun must end before the task is thought dead and given to another worker.
    budget_s = min(TASK_BUDGET_S, VISIBILITY_TIMEOUT_S - 2 - mailer.timeout_s)
    while True:
        async with database.connection("lease a mail") as connection:
            mail = await connection.fetchrow(_LEASE, timedelta(seconds=LEASE_S))
        if mail is None:
            return False
        await _try_traced(database, mail, mailer, writer)
        if time.monotonic() - began_at > budget_s:
            return True


async def _try_traced(database: Database, mail: Record, mailer: Mailer, writer: Writer) -> None:
    """Try one leased mail within the trace of what made it due."""
    recorder = find_recorder()
    if recorder is None:
        with tracing(new_traceparent(mail["traceparent"])):
            await _try(database, mail, mailer, writer)
        return
    attributes: dict[str, str | int] = {"cash.mail_kind": mail["kind"], "cash.mail_attempt": mail["attempts"]}
    job = current_traceparent()
    with recorder.begin("send mail", SpanKind.CONSUMER, attributes, parent=mail["traceparent"], links=[job]) as span:
        outcome = await _try(database, mail, mailer, writer)
        span.note("cash.outcome", outcome)
        if outcome in (Outcome.FAILED, Outcome.ABANDONED):
            span.fail(outcome)


async def _try(database: Database, mail: Record, mailer: Mailer, writer: Writer) -> Outcome:
    """Try one leased mail, mark how it went, and say it."""
    outcome, reason = await _attempt(mail, mailer, writer)
    async with database.connection("mark a mail") as connection:
        if outcome is Outcome.FAILED:
            wait_s = RETRY_WAITS_S[mail["attempts"] - 1]
            await connection.execute(_PUT_OFF, mail["id"], mail["leased_until"], timedelta(seconds=wait_s), reason)
        else:
            await connection.execute(_END, mail["id"], outcome, reason)
    MAIL_ATTEMPTS.labels(outcome).inc()
    bad = outcome in (Outcome.FAILED, Outcome.ABANDONED)
    (log.warning if bad else log.info)(
        f"mail {outcome}", mail=mail["id"], kind=mail["kind"], attempt=mail["attempts"], reason=reason
    )
    return outcome


async def _attempt(mail: Record, mailer: Mailer, writer: Writer) -> tuple[Outcome, str | None]:
    """Write the letter and hand it over; say how it went, and why not."""
    try:
        letter = await writer.write(mail)
        if mail["attempts"] > TRIES_MAX:
            return Outcome.ABANDONED, "every try ended with its worker"
        message = compose(
            letter, sender=mailer.sender, to=mail["email"], message_id=mail["message_id"], now=mail["leased_at"]
        )
        await asyncio.to_thread(mailer.send, message)
    except Overtaken:
        return Outcome.SUPERSEDED, None
    except (TooLate, AddressRefused, MailRefused) as error:
        return Outcome.ABANDONED, str(error)
    except (Undecided, Unavailable) as error:
        return _again_or_never(mail), str(error)
    except Exception as error:  # noqa: BLE001 - a defect in one mail must not stop everybody else's
        # Only its kind and place are kept: the text of such an error may hold the letter.
        *_, place = traceback.extract_tb(error.__traceback__)
        log.error("mail met a defect", mail=mail["id"], error=type(error).__name__, at=f"{place.name}, {place.lineno}")
        return _again_or_never(mail), type(error).__name__
    return Outcome.SENT, None


def _again_or_never(mail: Record) -> Outcome:
    return Outcome.FAILED if mail["attempts"] < TRIES_MAX else Outcome.ABANDONED


@cache
def outgoing() -> tuple[UsersDatabaseSettings, LedgerDatabaseSettings, Mailer, SecretKey]:
    """Return what the errand needs, read once; the worker asks at its start, so that a missing setting refuses it."""
    return read(UsersDatabaseSettings), read(LedgerDatabaseSettings), Mailer(read(SmtpSettings)), read(CodeKey).code


@app.task(name="send_due_mail")
def send_due_mail() -> None:
    """Send the mails that are due. Beat asks every five seconds, the identity consumer as soon as there is one."""
    users, ledger, mailer, code_key = outgoing()

    async def work(database: Database) -> None:
        async with opened(ledger) as books:
            more = await send_due(database, mailer, Writer(code_key, books))
        MAILS_DUE_AGE.set((await measure_mails(database)).oldest_s or 0)
        if more:
            _ask()

    run_job("send_due_mail", [users], work)


class Nudge:
    """Asks the worker to look for due mail now, from an event loop, which never waits for it."""

    def __init__(self) -> None:
        """Nothing is asked yet."""
        self._asking: asyncio.Task[None] | None = None
        self._again = False

    async def after_commit(self, decided: Sequence[tuple[Asked[Submission], Decision]]) -> None:
        """Ask once, if a batch made mail due. It returns at once and never fails; without it beat sees to the mail."""
        if any(isinstance(change, CodeIssued | LetterDue) for _, decision in decided for change in decision.changes):
            self.nudge()

    def nudge(self) -> None:
        """Ask in the background; while Redis is slow to take one request, all others are one more."""
        if self._asking is not None and not self._asking.done():
            self._again = True
            return
        self._asking = asyncio.create_task(self._ask())

    async def _ask(self) -> None:
        self._again = True
        while self._again:
            self._again = False
            try:
                await asyncio.to_thread(_ask)
            except (OperationalError, OSError) as error:
                log.warning("mail was not hastened", cause=repr(error))


def _ask() -> None:
    """Put the task into the queue, once: beat is the retry."""
    send_due_mail.apply_async(retry=False, expires=TASK_EXPIRY_S)
