"""The mail server for development, over real SMTP and HTTP."""

import os
import smtplib
import subprocess
import sys
import time
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.local.home import Home
from infra.local.ports import choose_ports
from infra.local.processes import PROJECT, inherited


class Box:
    """A running mailbox."""

    def __init__(self, smtp_port: int, http_port: int) -> None:
        self.smtp_port = smtp_port
        self.web = httpx.Client(base_url=f"http://127.0.0.1:{http_port}", timeout=10)

    def send(self, subject: str, text: str, to: str = "ann@example.org", subtype: str = "plain") -> None:
        mail = EmailMessage()
        mail["From"], mail["To"], mail["Subject"] = "cash <no-reply@cash.local>", to, subject
        mail["Message-ID"] = "<one@cash.local>"
        mail.set_content(text, subtype=subtype)
        with smtplib.SMTP("127.0.0.1", self.smtp_port, timeout=10) as smtp:
            smtp.send_message(mail)

    def messages(self, path: str = "messages", **query: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.get(path, **query)["messages"]
        return found

    def get(self, path: str, **query: str) -> Any:
        return self.web.get(f"/api/v1/{path}", params=query).raise_for_status().json()


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    home = Home(tmp_path)
    home.create()
    ports, _ = choose_ports(home, anywhere=True)
    settings = {
        "CASH_SMTP_PORT": str(ports["smtp"]),
        "CASH_HTTP_PORT": str(ports["mailbox"]),
        "CASH_MAIL_FOLDER": str(home.mail),
    }
    command = [sys.executable, "-m", "infra.local.mailbox"]
    running = subprocess.Popen(command, cwd=PROJECT, env=inherited() | settings, stdout=subprocess.DEVNULL)
    caught = Box(ports["smtp"], ports["mailbox"])
    deadline = time.monotonic() + 20
    while True:
        try:
            caught.web.get("/health/ready").raise_for_status()
            break
        except httpx.TransportError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    yield caught
    caught.web.close()
    running.terminate()
    assert running.wait(10) == 0


def test_mail_is_kept_and_read_back_newest_first(box: Box) -> None:
    box.send("First", "code ABCDEF")
    box.send("Zweite Äpfel", "später")

    newest, oldest = box.messages()

    assert (newest["Subject"], newest["Snippet"]) == ("Zweite Äpfel", "später")
    assert oldest["From"] == {"Name": "cash", "Address": "no-reply@cash.local"}
    assert oldest["To"] == [{"Name": "", "Address": "ann@example.org"}]
    assert oldest["MessageID"] == "one@cash.local"
    whole = box.get(f"message/{oldest['ID']}")
    assert (whole["Text"].strip(), whole["HTML"]) == ("code ABCDEF", "")
    assert {name: whole[name] for name in ("ID", "To", "Subject", "Size")} == {
        name: oldest[name] for name in ("ID", "To", "Subject", "Size")
    }
    assert box.get("message/latest")["ID"] == newest["ID"]


def test_mails_are_chosen_by_recipient_and_limited(box: Box) -> None:
    for number in range(3):
        box.send(str(number), "x", to=f"p{number}@example.org")

    for query in ("to:P1@example.org", 'to:"p1@example.org"'):
        assert [mail["Subject"] for mail in box.messages("search", query=query)] == ["1"]
    assert [mail["Subject"] for mail in box.messages(limit="2")] == ["2", "1"]
    assert [mail["Subject"] for mail in box.messages(start="2", limit="2")] == ["0"]
    page = box.get("search", query="to:p1@example.org")
    assert (page["total"], page["messages_count"], page["count"], page["start"]) == (3, 1, 1, 0)
    for wrong in ("messages?limit=0", "messages?limit=-1", "messages?limit=many", "messages?start=-1"):
        assert box.web.get(f"/api/v1/{wrong}").status_code == 400
    for wrong in ("search", "search?query=", "search?query=subject:x", "search?query=to:"):
        assert box.web.get(f"/api/v1/{wrong}").status_code == 400


def test_what_a_program_for_mailpit_reads_is_there(box: Box) -> None:
    box.send("one", "x")

    (summary,) = box.messages()
    whole = box.get("message/latest")

    common = {"ID", "MessageID", "From", "To", "Cc", "Bcc", "ReplyTo", "Subject", "Tags", "Size", "Attachments"}
    assert common | {"Read", "Created", "Snippet"} == set(summary)
    assert common | {"Date", "Text", "HTML", "Inline"} <= set(whole)
    totals = {"total", "unread", "count", "messages_count", "messages_unread", "start", "tags", "messages"}
    assert set(box.get("messages")) == totals


def test_letters_of_any_language_stand_as_they_were_written(box: Box) -> None:
    with smtplib.SMTP("127.0.0.1", box.smtp_port, timeout=10) as smtp:
        smtp.sendmail(
            "no-reply@cash.local",
            ["jörg@example.org"],
            "To: Jörg <jörg@example.org>\r\nSubject: Grüße\r\n\r\nx".encode(),
            mail_options=["SMTPUTF8", "BODY=8BITMIME"],
        )

    (found,) = box.messages("search", query="to:JÖRG@example.org")

    assert (found["To"], found["Subject"]) == ([{"Name": "Jörg", "Address": "jörg@example.org"}], "Grüße")
    assert "Jörg &lt;jörg@example.org&gt;" in box.web.get("/").text


def test_page_shows_foreign_text_as_text(box: Box) -> None:
    box.send("<script>alert(1)</script>", "<img src=x onerror=alert(2)>")
    box.send("html", "<script>alert(3)</script>", subtype="html")

    pages = [box.web.get("/"), *(box.web.get(f"/mail/{mail['ID']}") for mail in box.messages())]

    for page in pages:
        assert "<script" not in page.text
        assert "<img" not in page.text
        assert page.headers["content-security-policy"].startswith("default-src 'none'")
        assert "://" not in page.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in pages[0].text


def test_page_of_another_name_is_not_answered(box: Box) -> None:
    assert box.web.get("/api/v1/messages", headers={"Host": "evil.example:80"}).status_code == 421


def test_other_paths_and_methods_are_refused(box: Box) -> None:
    api = "/api/v1/message"
    for path in (
        "/mail/none",
        f"{api}/none",
        "/mail/..%2F..%2Fsecrets.env",
        f"{api}/latest",
        "/messages",
        "/favicon.ico",
    ):
        assert box.web.get(path).status_code == 404
    assert box.web.post("/api/v1/messages").status_code == 405


def test_oversized_mail_is_refused_to_its_sender(box: Box) -> None:
    with pytest.raises(smtplib.SMTPException):
        box.send("big", "x" * 2_000_000)
    assert box.messages() == []


def test_health_and_metrics_answer(box: Box) -> None:
    box.send("one", "x")

    assert box.web.get("/health/live").json() == {"status": "alive"}
    assert "cash_mailbox_messages_total 1.0" in box.web.get("/metrics").text


def test_missing_settings_are_named() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "infra.local.mailbox"],
        cwd=PROJECT,
        env=inherited(),
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == os.EX_CONFIG
    assert "CASH_SMTP_PORT, CASH_HTTP_PORT, CASH_MAIL_FOLDER" in ended.stderr
