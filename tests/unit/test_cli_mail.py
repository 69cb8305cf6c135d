"""``cash mail`` and the mailed codes, against answers as Mailpit documents them."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from cli.connection.servers import Server
from cli.development.mailbox import list_mails
from cli.development.mailed_codes import code_in
from cli.terminal.output import ExitCode
from tests.builders.terminal import Terminal

URL = "http://127.0.0.1:9"
#: As https://mailpit.axllent.org/docs/api-v1/ shows one.
SUMMARY: dict[str, Any] = {
    "ID": "4oRBnPtCXgAqZniRhzLNmS",
    "MessageID": "one@cash-flow.local",
    "Read": False,
    "From": {"Name": "cash-flow", "Address": "no-reply@cash-flow.local"},
    "To": [{"Name": "", "Address": "Bob@example.org"}],
    "Cc": None,
    "Bcc": [],
    "ReplyTo": [],
    "Subject": "Your cash-flow code",
    "Created": "2026-11-28T22:34:13.123456789Z",
    "Username": "",
    "Tags": [],
    "Size": 512,
    "Attachments": 0,
    "Snippet": "Hello, somebody, we hope you",
}
WHOLE = {**SUMMARY, "Date": SUMMARY["Created"], "Text": "The code is\n\n    FMPHWX\n", "HTML": "", "Inline": []}


class Mailbox:
    """Answers as Mailpit would that caught these mails."""

    def __init__(self, *mails: dict[str, Any]) -> None:
        self.mails = mails
        self.asked: list[str] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(f"{request.url.path}?{request.url.params}")
        if request.url.path in ("/api/v1/messages", "/api/v1/search"):
            return httpx.Response(200, json={"messages_count": len(self.mails), "messages": self.mails})
        if request.url.path == f"/api/v1/message/{SUMMARY['ID']}":
            return httpx.Response(200, json=WHOLE)
        return httpx.Response(404, text="Not found")


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    folder = str(tmp_path)
    return Terminal({"CASH_CONFIG_HOME": folder, "CASH_HOME": folder, "CASH_MAILBOX_URL": URL, "TZ": "UTC"})


@pytest.fixture
def mailbox(monkeypatch: pytest.MonkeyPatch) -> Mailbox:
    box = Mailbox(SUMMARY)
    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", lambda _, request: box.handle_request(request))
    return box


def test_mails_are_listed_and_read_by_their_number(terminal: Terminal, mailbox: Mailbox) -> None:
    listed, read = terminal.cash("mail"), terminal.cash("mail", "1")

    assert "Bob@example.org" in listed.out
    assert "2026-11-28" in listed.out
    assert "FMPHWX" in read.out
    assert "cash-flow <no-reply@cash-flow.local>" in read.out
    assert mailbox.asked[0] == "/api/v1/messages?limit=200"


def test_programs_get_the_same_names_for_one_and_for_many(terminal: Terminal, mailbox: Mailbox) -> None:
    (listed,) = terminal.cash("mail", "--json").json
    read = terminal.cash("mail", SUMMARY["ID"], "--json").json

    assert listed["snippet"] == SUMMARY["Snippet"]
    assert code_in(read["text"]) == "FMPHWX"
    assert set(listed) - {"snippet"} == set(read) - {"text"}


def test_only_mails_to_the_very_address_are_taken(mailbox: Mailbox) -> None:
    mailbox.mails = (SUMMARY, {**SUMMARY, "To": [{"Name": "Rob", "Address": "rob-bob@example.org"}]})

    (found,) = list_mails(Server(URL), to="bob@EXAMPLE.org")

    assert found["to"] == "Bob@example.org"
    assert "to%3A%22bob%40EXAMPLE.org%22" in mailbox.asked[0]


def test_a_mail_that_is_gone_and_a_number_that_is_none_are_said(terminal: Terminal, mailbox: Mailbox) -> None:
    mailbox.mails = ({**SUMMARY, "ID": "gone"},)

    assert terminal.cash("mail", "2").code == ExitCode.NOT_FOUND
    gone = terminal.cash("mail", "1")
    assert gone.code == ExitCode.NOT_FOUND
    assert "not there any more" in gone.err


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("The code is\n\n    FMPHWX\n", "FMPHWX"),
        ("FMPHWX\r\n", "FMPHWX"),
        ("code: FMPHWX", None),
        ("    FMPHWXA\n", None),
        ("    fmphwx\n", None),
        ("You already have an account", None),
    ],
)
def test_a_code_stands_on_a_line_of_its_own(text: str, code: str | None) -> None:
    assert code_in(text) == code
