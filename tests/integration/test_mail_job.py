"""The mail job on a real database and real SMTP servers, good and bad ones."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
import pytest_asyncio
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import Envelope

from consumers.domain.mails import InvitationMail, MailIntent, MailKind, PasswordMail
from consumers.jobs.letters import Writer
from consumers.jobs.mail import LEASE_S, RETRY_WAITS_S, TRIES_MAX, send_due
from consumers.repositories.mails import insert_user_mails
from infra.local.stack import LocalStack
from infra.mail.smtp import Mailer
from infra.postgres.engine import Database
from infra.secrets import derive_code
from infra.settings import LedgerDatabaseSettings, SmtpSettings
from tests.builders.identity import KEYS
from tests.builders.settings import settings_from
from tests.builders.users_database import a_users_database

pytestmark = pytest.mark.stack

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"


class Catcher:
    """Keeps what it is sent; ``answer`` is what it says to a recipient, ``250`` being yes."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.answer = "250 OK"

    async def handle_RCPT(self, server: Any, session: Any, envelope: Envelope, address: str, _: Any) -> str:  # noqa: N802  # aiosmtpd's name
        if self.answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return self.answer

    async def handle_DATA(self, server: Any, session: Any, envelope: Envelope) -> str:  # aiosmtpd's name
        assert isinstance(envelope.content, bytes)
        mail = BytesParser(policy=default.clone(utf8=True)).parsebytes(envelope.content)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        return "250 OK"

    def to(self, address: str) -> list[EmailMessage]:
        return [mail for mail in self.mails if mail["To"] == address]


class Post:
    """A users database with registrations and mail intents, and the job that sends them."""

    def __init__(self, database: Database, ledger: Database) -> None:
        self.database = database
        self.ledger = ledger

    async def due(
        self,
        email: str,
        *,
        issue: int = 1,
        newest_issue: int | None = None,
        kind: MailKind = MailKind.VERIFICATION_CODE,
        state: str = "pending",
        code_expires_in_s: float = 600,
    ) -> UUID:
        """Write a registration and the intent of its mail, as the repository does; return the registration's id."""
        registration_id = uuid4()
        async with self.database.transaction("prepare") as connection:
            now: datetime = await connection.fetchval("SELECT now()")
            await connection.execute(
                "INSERT INTO registrations (id, state, email, email_key, base_currency, time_zone, issue,"
                " code_expires_at, created_at, expires_at)"
                " VALUES ($1, $2, $3, $3, 'EUR', 'Asia/Tokyo', $4, $5, $6, $7)",
                registration_id,
                state,
                email,
                newest_issue or issue,
                now + timedelta(seconds=code_expires_in_s),
                now,
                now + timedelta(days=1),
            )
            intent = MailIntent(registration_id, issue, kind, now, f"00-{TRACE_ID}-b7ad6b7169203331-01")
            await connection.execute(
                "INSERT INTO mails (registration_id, issue, kind, message_id, due_at, created_at, traceparent)"
                " VALUES ($1, $2, $3, $4, $5, $5, $6)",
                registration_id,
                issue,
                kind,
                intent.message_id,
                now,
                intent.traceparent,
            )
        return registration_id

    async def send(self, port: int, timeout_s: float = 5) -> bool:
        settings = SmtpSettings(
            host="127.0.0.1", port=port, sender="cash-flow <no-reply@cash.example>", timeout_s=timeout_s
        )
        return await send_due(self.database, Mailer(settings), Writer(KEYS.code, self.ledger))

    async def invite(self, *, write: bool = True, name: str = "Holiday house", **changed: Any) -> "Invited":
        """Write an invitation into the ledger database, or none, and the intent of its mail; ``changed`` in either."""
        ids: dict[str, Any] = {"invited": uuid4(), "inviter": uuid4(), "ledger": uuid4(), "invitation": uuid4()}
        usernames = {each: f"{each}-{ids[each].hex[:8]}" for each in ("inviter", "invited")}
        async with self.database.transaction("prepare") as connection:
            now: datetime = await connection.fetchval("SELECT now()")
            for each, username in usernames.items():
                registration_id = uuid4()
                await connection.execute(
                    "INSERT INTO registrations (id, state) VALUES ($1, 'completed')", registration_id
                )
                await connection.execute(
                    "INSERT INTO users (id, registration_id, username, username_key, email, email_key, password_hash,"
                    " base_currency, time_zone, registered_at)"
                    " VALUES ($1, $2, $3, $3, $4, $4, '', 'EUR', 'Asia/Tokyo', $5)",
                    ids[each],
                    registration_id,
                    username,
                    f"{username}@example.org",
                    now,
                )
            mail = InvitationMail(uuid4(), ids["invited"], ids["inviter"], ids["ledger"], ids["invitation"], now, None)
            await insert_user_mails(connection, [mail])
        if write:
            row = {
                "invited_user_id": ids["invited"],
                "user_id": ids["inviter"],
                "expires_at": now + timedelta(days=14),
                "ending": None,
            } | changed
            async with self.ledger.transaction("prepare") as connection:
                await connection.execute("INSERT INTO ledgers (id, name) VALUES ($1, $2)", ids["ledger"], name)
                await connection.execute(
                    "INSERT INTO invitations (ledger_id, id, role, recorded_at, invited_user_id, user_id, expires_at,"
                    " ending) VALUES ($1, $2, 'viewer', $3, $4, $5, $6, $7)",
                    ids["ledger"],
                    ids["invitation"],
                    now,
                    *row.values(),
                )
        return Invited(mail, f"{usernames['invited']}@example.org", usernames["inviter"])

    async def state_of(self, invited: "Invited") -> Any:
        async with self.database.connection("look") as connection:
            return await connection.fetchrow(
                "SELECT state, last_error, message_id FROM mails WHERE invitation_id = $1", invited.mail.invitation_id
            )

    async def row(self, registration_id: UUID) -> Any:
        async with self.database.connection("look") as connection:
            return await connection.fetchrow(
                "SELECT *, due_at - clock_timestamp() AS waits FROM mails WHERE registration_id = $1", registration_id
            )

    async def update(self, registration_id: UUID, assignment: str) -> None:
        async with self.database.connection("change") as connection:
            await connection.execute(f"UPDATE mails SET {assignment} WHERE registration_id = $1", registration_id)


@dataclass(frozen=True)
class Invited:
    """Somebody who was invited: the intent of the mail, their address, and who invited."""

    mail: InvitationMail
    email: str
    inviter: str


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def post_office(stack: LocalStack) -> AsyncIterator[Post]:
    environment = stack.environment("ledger-consumer")
    ledger = Database(settings_from(environment, LedgerDatabaseSettings), application="tests")
    await ledger.start()
    async with a_users_database(stack) as database:
        yield Post(database, ledger)
    await ledger.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def post(post_office: Post) -> Post:
    async with post_office.database.connection("clear") as connection:
        await connection.execute("UPDATE mails SET state = 'abandoned' WHERE state = 'due'")
    return post_office


@pytest.fixture
def catcher() -> Catcher:
    return Catcher()


@pytest.fixture
def smtp(catcher: Catcher) -> Iterator[int]:
    yield from _serving(catcher, smtputf8=True)


def _serving(catcher: Catcher, *, smtputf8: bool) -> Iterator[int]:
    port = _free_port()
    controller = Controller(catcher, hostname="127.0.0.1", port=port, enable_SMTPUTF8=smtputf8)
    controller.start()
    try:
        yield port
    finally:
        controller.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def test_a_due_mail_brings_the_code_once(post: Post, catcher: Catcher, smtp: int) -> None:
    registration_id = await post.due("ann@example.org")

    assert not await post.send(smtp)
    assert not await post.send(smtp)

    (mail,) = catcher.mails
    assert f"    {derive_code(KEYS.code, registration_id, 1)}" in mail.get_content().splitlines()
    assert "(Asia/Tokyo)" in mail.get_content()
    row = await post.row(registration_id)
    assert (row["state"], row["attempts"], row["leased_until"], row["last_error"]) == ("sent", 1, None, None)
    assert mail["Message-ID"] == f"<{row['message_id']}@cash.example>"


async def test_a_known_address_is_told_to_sign_in(post: Post, catcher: Catcher, smtp: int) -> None:
    registration_id = await post.due("known@example.org", kind=MailKind.ALREADY_REGISTERED)

    await post.send(smtp)

    (mail,) = catcher.mails
    assert "cash login" in mail.get_content()
    assert derive_code(KEYS.code, registration_id, 1) not in mail.get_content()


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({"issue": 1, "newest_issue": 2}, "superseded"),
        ({"state": "verified"}, "superseded"),
        ({"state": "expired"}, "superseded"),
        ({"code_expires_in_s": -1}, "abandoned"),
    ],
)
async def test_a_code_that_no_longer_works_is_not_sent(
    post: Post, catcher: Catcher, smtp: int, fields: dict[str, Any], state: str
) -> None:
    registration_id = await post.due("ann@example.org", **fields)

    await post.send(smtp)

    assert catcher.mails == []
    assert (await post.row(registration_id))["state"] == state


async def test_an_invitation_is_told_of_once(post: Post, catcher: Catcher, smtp: int) -> None:
    invited = await post.invite()

    await post.send(smtp)
    async with post.database.transaction("deliver again") as connection:
        await insert_user_mails(connection, [invited.mail])
    await post.send(smtp)

    (mail,) = catcher.to(invited.email)
    text = mail.get_content()
    assert mail["Subject"] == f"{invited.inviter} invites you to a cash-flow ledger"
    assert "    Holiday house" in text.splitlines()
    assert "cash ledger invitations" in text
    assert "(Asia/Tokyo)" in text
    assert mail["Message-ID"] == f"<{invited.mail.id}@cash.example>"
    assert (await post.state_of(invited))["state"] == "sent"


async def test_whoever_has_another_password_is_told_when_it_was_changed(
    post: Post, catcher: Catcher, smtp: int
) -> None:
    invited = await post.invite()
    changed = PasswordMail(uuid4(), invited.mail.user_id, datetime.now(UTC), None)
    async with post.database.transaction("change a password") as connection:
        await insert_user_mails(connection, [changed])

    await post.send(smtp)

    _, mail = catcher.to(invited.email)
    text = mail.get_content()
    assert mail["Subject"] == "Your cash-flow password was changed"
    assert invited.email.partition("@")[0] in text
    assert f"{changed.due_at.astimezone(ZoneInfo('Asia/Tokyo')):%Y-%m-%d, %H:%M}" in text
    assert mail["Message-ID"] == f"<{changed.id}@cash.example>"


@pytest.mark.parametrize(
    "changed",
    [
        {"ending": "withdrawn"},
        {"ending": "accepted"},
        {"expires_at": datetime(2026, 1, 1, tzinfo=UTC)},
        {"invited_user_id": uuid4()},
        {"user_id": uuid4()},
    ],
    ids=lambda changed: next(iter(changed)),
)
async def test_an_invitation_that_does_not_stand_is_not_told_of(
    post: Post, catcher: Catcher, smtp: int, changed: dict[str, Any]
) -> None:
    invited = await post.invite(**changed)

    await post.send(smtp)

    assert catcher.mails == []
    assert (await post.state_of(invited))["state"] == "superseded"


async def test_an_invitation_the_ledger_does_not_have_yet_is_waited_for(
    post: Post, catcher: Catcher, smtp: int
) -> None:
    invited = await post.invite(write=False)

    await post.send(smtp)

    assert catcher.mails == []
    row = await post.state_of(invited)
    assert (row["state"], row["last_error"]) == ("due", "the ledger has no such invitation")


async def test_while_the_server_is_down_the_waits_grow_until_the_mail_is_abandoned(post: Post) -> None:
    registration_id = await post.due("ann@example.org")
    nobody = _free_port()

    for number, wait_s in enumerate(RETRY_WAITS_S, start=1):
        await post.send(nobody)
        row = await post.row(registration_id)
        assert (row["state"], row["attempts"], row["leased_until"]) == ("due", number, None)
        assert wait_s - 2 < row["waits"].total_seconds() <= wait_s
        await post.send(nobody)  # not due yet
        await post.update(registration_id, "due_at = now()")
    await post.send(nobody)

    row = await post.row(registration_id)
    assert (row["state"], row["attempts"]) == ("abandoned", TRIES_MAX)
    assert "refused" in row["last_error"]
    assert sum(RETRY_WAITS_S) < 600


async def test_a_server_that_comes_back_gets_the_mail_with_the_same_id(post: Post, catcher: Catcher, smtp: int) -> None:
    registration_id = await post.due("ann@example.org")
    await post.send(_free_port())
    await post.update(registration_id, "due_at = now()")

    await post.send(smtp)

    assert [mail["Message-ID"] for mail in catcher.mails] == [
        f"<{(await post.row(registration_id))['message_id']}@cash.example>"
    ]


@pytest.mark.parametrize(
    ("answer", "state", "error"),
    [
        ("550 no such user", "abandoned", "the server refused the address with 550"),
        ("450 greylisted", "due", "send mail: the server put the address off with 450"),
    ],
)
async def test_a_refused_address_is_given_up_and_one_put_off_is_tried_again(
    post: Post, catcher: Catcher, smtp: int, answer: str, state: str, error: str
) -> None:
    catcher.answer = answer
    registration_id = await post.due("ann@example.org")

    await post.send(smtp)

    row = await post.row(registration_id)
    assert (row["state"], row["last_error"]) == (state, error)


async def test_what_is_no_address_is_given_up(post: Post, catcher: Catcher, smtp: int) -> None:
    registration_id = await post.due("ann@example.org\r\nBcc: everybody@example.org")

    await post.send(smtp)

    assert catcher.mails == []
    assert (await post.row(registration_id))["state"] == "abandoned"


async def test_an_international_mailbox_is_written_to(post: Post, catcher: Catcher, smtp: int) -> None:
    await post.due("änn@exämple.org")

    await post.send(smtp)

    assert len(catcher.to("änn@xn--exmple-cua.org")) == 1


async def test_an_international_mailbox_is_given_up_where_the_server_cannot_write_to_it(post: Post) -> None:
    registration_id = await post.due("änn@example.org")
    for port in _serving(Catcher(), smtputf8=False):
        await post.send(port)

    row = await post.row(registration_id)
    assert (row["state"], row["attempts"]) == ("abandoned", 1)


async def test_a_mail_leased_by_a_dead_worker_is_sent_when_the_lease_is_over(
    post: Post, catcher: Catcher, smtp: int
) -> None:
    registration_id = await post.due("ann@example.org")
    await post.update(registration_id, f"attempts = 1, leased_until = now() + interval '{LEASE_S} s'")
    await post.send(smtp)
    assert catcher.mails == []

    await post.update(registration_id, "leased_until = now() - interval '1 ms'")
    await post.send(smtp)

    assert len(catcher.mails) == 1
    assert (await post.row(registration_id))["attempts"] == 2


async def test_a_mail_that_kills_its_workers_is_given_up(post: Post, catcher: Catcher, smtp: int) -> None:
    registration_id = await post.due("ann@example.org")
    await post.update(registration_id, f"attempts = {TRIES_MAX}, leased_until = now() - interval '1 s'")

    await post.send(smtp)

    assert catcher.mails == []
    assert (await post.row(registration_id))["state"] == "abandoned"


async def test_workers_side_by_side_send_each_mail_once(post: Post, catcher: Catcher, smtp: int) -> None:
    addresses = [f"person-{number}@example.org" for number in range(20)]
    for address in addresses:
        await post.due(address)

    await asyncio.gather(*(post.send(smtp) for _ in range(4)))

    assert sorted(mail["To"] for mail in catcher.mails) == sorted(addresses)


async def test_a_server_that_trickles_cannot_hold_a_worker(post: Post) -> None:
    registration_id = await post.due("ann@example.org")
    await post.due("bob@example.org")
    with _a_tarpit() as port:
        began_at = time.monotonic()
        more = await post.send(port, timeout_s=1)
        took_s = time.monotonic() - began_at

    assert 0.9 < took_s < 8
    assert more is False
    assert (await post.row(registration_id))["state"] == "due"


async def test_a_run_ends_in_time_and_says_that_more_is_due(post: Post) -> None:
    for number in range(5):
        await post.due(f"person-{number}@example.org")
    with _a_tarpit() as port:
        began_at = time.monotonic()
        more = await post.send(port, timeout_s=3)
        took_s = time.monotonic() - began_at

    assert more is True
    assert took_s < 8


@contextlib.contextmanager
def _a_tarpit() -> Iterator[int]:
    """Greet a byte at a time, for ever."""
    done = threading.Event()

    def hold(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while not done.wait(0.05):
                connection.send(b"2")

    def accept() -> None:
        while not done.is_set():
            with contextlib.suppress(TimeoutError):
                connection, _ = listener.accept()
                threading.Thread(target=hold, args=[connection], daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)
        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield listener.getsockname()[1]
        finally:
            done.set()
            accepting.join()


async def test_logs_have_the_trace_and_neither_address_nor_code(
    post: Post, smtp: int, capsys: pytest.CaptureFixture[str]
) -> None:
    registration_id = await post.due("secret-person@example.org")
    await post.send(_free_port())
    await post.update(registration_id, "due_at = now()")
    await post.send(smtp)

    logged = capsys.readouterr().out
    assert "mail failed" in logged
    assert "mail sent" in logged
    assert "secret-person" not in logged
    assert derive_code(KEYS.code, registration_id, 1) not in logged
