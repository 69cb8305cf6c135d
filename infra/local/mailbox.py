"""A mail server for development: takes every mail, keeps it in a Maildir, shows it on a small web page.

Programs read it as they would read Mailpit (https://mailpit.axllent.org/docs/api-v1/): of its API it has the list, the
search by recipient and the single mail, under the same names.
"""

import asyncio
import email.policy
import json
import logging
import mailbox
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from email.headerregistry import AddressHeader
from email.message import EmailMessage
from email.parser import BytesParser
from html import escape
from http import HTTPStatus
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any, Literal
from urllib.parse import parse_qs, quote, unquote, urlsplit
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from aiosmtpd.smtp import SMTP, Envelope, Session
from prometheus_client import Counter, make_wsgi_app

LARGEST_MAIL_BYTES = 1024 * 1024
KEPT = 1000
_SHOWN = 200
#: How many mails a list has that does not say, and how many letters of a mail; both are Mailpit's.
_PAGE = 50
_SNIPPET = 250
_CAUGHT = Counter("cash_mailbox_messages", "Mails taken from our own processes.")
_LOCAL_NAMES = ("127.0.0.1", "localhost", "::1")
# Mail is foreign text: the page runs nothing and loads nothing, whatever stands in one.
_PAGE_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem }
table { border-collapse: collapse; width: 100% }
td, th { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #8884; overflow-wrap: anywhere }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: #8882; padding: 1rem; font-size: 1.05rem }
:root { color-scheme: light dark }
"""

log = logging.getLogger("mailbox")


class Mails:
    """The mails in one Maildir, newest first; what is told of each has the names Mailpit gives it."""

    def __init__(self, folder: Path) -> None:
        # Maildir makes its three folders only where the whole folder is missing.
        for name in ("tmp", "new", "cur"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        self._box = mailbox.Maildir(folder)
        self._new = folder / "new"
        self._lock = threading.Lock()
        # Whoever waits for a mail asks many times a second; a mail never changes.
        self._summaries: dict[str, dict[str, Any]] = {}

    def add(self, content: bytes) -> None:
        """Keep a mail; when it returns, the mail is on disk. The oldest beyond ``KEPT`` are let go."""
        with self._lock:
            self._box.add(content)
            for old in self._files()[KEPT:]:
                old.unlink(missing_ok=True)
                self._summaries.pop(old.name, None)

    def list_all(self, recipient: str = "") -> list[dict[str, Any]]:
        """Return summaries of the mails, newest first, of those whose recipient contains a text where given."""
        wanted = recipient.casefold()
        summaries = filter(None, map(self._summary, self._files()))
        return [
            summary
            for summary in summaries
            if not wanted or any(wanted in f"{to['Name']} {to['Address']}".casefold() for to in summary["To"])
        ]

    def find(self, key: str) -> dict[str, Any] | None:
        """Return one mail whole, or ``None``; ``latest`` is the newest."""
        files = self._files()
        if key == "latest":
            return self._whole(files[0]) if files else None
        return next((self._whole(file) for file in files if file.name == key), None)

    def _files(self) -> list[Path]:
        with os.scandir(self._new) as entries:
            dated = [(entry.stat().st_mtime_ns, entry.name) for entry in entries]
        return [self._new / name for _, name in sorted(dated, reverse=True)]

    def _summary(self, file: Path) -> dict[str, Any] | None:
        known = self._summaries.get(file.name)
        if known is None and (read := _read(file)):
            mail, facts = read
            snippet = " ".join(_text(mail, "plain", "html").split())[:_SNIPPET]
            known = self._summaries[file.name] = {**facts, "Read": False, "Attachments": 0, "Snippet": snippet}
        return known

    def _whole(self, file: Path) -> dict[str, Any] | None:
        read = _read(file)
        if read is None:
            return None
        mail, facts = read
        bodies = {"Text": _text(mail, "plain"), "HTML": _text(mail, "html")}
        return {**facts, "Date": facts["Created"], **bodies, "Inline": [], "Attachments": []}


def _read(file: Path) -> tuple[EmailMessage, dict[str, Any]] | None:
    """Return a mail, and what a summary and the whole of it both say."""
    try:
        content, received = file.read_bytes(), file.stat().st_mtime
    except FileNotFoundError:
        return None
    mail = BytesParser(policy=email.policy.default).parsebytes(content)
    assert isinstance(mail, EmailMessage)
    senders = _addresses(mail, "from")
    return mail, {
        "ID": file.name,
        "MessageID": str(mail["message-id"] or "").strip("<>"),
        "From": senders[0] if senders else None,
        "To": _addresses(mail, "to"),
        "Cc": _addresses(mail, "cc"),
        "Bcc": _addresses(mail, "bcc"),
        "ReplyTo": _addresses(mail, "reply-to"),
        "Subject": _letters(str(mail["subject"] or "")),
        "Created": datetime.fromtimestamp(received, UTC).isoformat(timespec="milliseconds"),
        "Tags": [],
        "Size": len(content),
    }


def _addresses(mail: EmailMessage, name: str) -> list[dict[str, str]]:
    header = mail[name]
    found = header.addresses if isinstance(header, AddressHeader) else ()
    return [{"Name": _letters(each.display_name), "Address": _letters(each.addr_spec)} for each in found]


def _letters(header: str) -> str:
    """Return the letters of a header that came as UTF-8 (RFC 6532), which the parser keeps as bytes in disguise."""
    return header.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


class Catcher:
    """Takes what an SMTP client hands over (``aiosmtpd``'s handler)."""

    def __init__(self, mails: Mails) -> None:
        self._mails = mails

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Keep the mail before saying so: a sender that hears 250 never sends it again."""
        content = envelope.content
        await asyncio.to_thread(self._mails.add, content if isinstance(content, bytes) else (content or "").encode())
        _CAUGHT.inc()
        log.info("caught a mail")
        return "250 OK"


class WebPage:
    """The mails over HTTP: pages for people, ``/api/v1`` for programs, health and metrics for the supervisor."""

    def __init__(self, mails: Mails) -> None:
        self._mails = mails
        self._metrics = make_wsgi_app()

    def __call__(self, request: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request (WSGI)."""
        path = request.get("PATH_INFO", "/")
        if path == "/metrics":
            metrics: Iterable[bytes] = self._metrics(request, start)
            return metrics
        # A page of another site must not read mails by a name of its own that points here.
        if urlsplit(f"//{request.get('HTTP_HOST', '')}").hostname not in _LOCAL_NAMES:
            return _answer(start, HTTPStatus.MISDIRECTED_REQUEST, {"status": "ask 127.0.0.1"})
        if request.get("REQUEST_METHOD") not in ("GET", "HEAD"):
            return _answer(start, HTTPStatus.METHOD_NOT_ALLOWED, {"status": "only reading is offered"})
        return self._page(path, request, start)

    def _page(self, path: str, request: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if path == "/":
            return _answer(start, HTTPStatus.OK, _list_page(self._mails.list_all()[:_SHOWN]))
        if path == "/health/live":
            return _answer(start, HTTPStatus.OK, {"status": "alive"})
        if path == "/health/ready":
            return _answer(start, HTTPStatus.OK, {"status": "ready"})
        if path in ("/api/v1/messages", "/api/v1/search"):
            return self._list(path, parse_qs(str(request.get("QUERY_STRING", ""))), start)
        page, _, key = path.rpartition("/")
        mail = self._mails.find(unquote(key)) if page in ("/api/v1/message", "/mail") else None
        if mail is None:
            return _answer(start, HTTPStatus.NOT_FOUND, {"status": "not found", "try": ["/", "/api/v1/messages"]})
        return _answer(start, HTTPStatus.OK, _mail_page(mail) if page == "/mail" else mail)

    def _list(self, path: str, query: Mapping[str, list[str]], start: Callable[..., Any]) -> Iterable[bytes]:
        """Answer with a page of summaries, newest first; a search is for recipients: ``to:ann@example.org``."""
        first, limit = (query.get(name, [default])[0] for name, default in (("start", "0"), ("limit", str(_PAGE))))
        if not (first.isdecimal() and limit.isdecimal() and int(limit) >= 1):
            return _answer(start, HTTPStatus.BAD_REQUEST, {"status": "start is a number, limit one from 1"})
        recipient = ""
        if path == "/api/v1/search":
            sought = re.fullmatch(r"""to:(["']?)(.+)\1""", query.get("query", [""])[0].strip())
            if not sought:
                return _answer(start, HTTPStatus.BAD_REQUEST, {"status": "search as query=to:ann@example.org"})
            recipient = sought[2]
        found = self._mails.list_all(recipient)
        total = len(self._mails.list_all()) if recipient else len(found)
        messages = found[int(first) : int(first) + int(limit)]
        summary = {
            "total": total,
            "unread": total,
            "count": len(messages),
            "messages_count": len(found),
            "messages_unread": len(found),
            "start": int(first),
            "tags": [],
            "messages": messages,
        }
        return _answer(start, HTTPStatus.OK, summary)


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Silent(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the supervisor asks every second, that is no news."""


async def run(smtp_port: int, http_port: int, folder: Path, host: str = "127.0.0.1") -> None:
    """Serve until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    mails = Mails(folder)
    smtp = await loop.create_server(
        lambda: SMTP(Catcher(mails), hostname="localhost", data_size_limit=LARGEST_MAIL_BYTES, enable_SMTPUTF8=True),
        host,
        smtp_port,
    )
    web = make_server(host, http_port, WebPage(mails), server_class=_Server, handler_class=_Silent)
    threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.2}, daemon=True).start()
    log.info("started")
    await stopping.wait()
    smtp.close()
    web.shutdown()
    web.server_close()
    log.info("stopped")


def _text(mail: EmailMessage, *kinds: Literal["plain", "html"]) -> str:
    body = mail.get_body(preferencelist=kinds)
    if body is None:
        return ""
    try:
        return str(body.get_content())
    except (LookupError, UnicodeDecodeError):
        return str(body.get_payload())


def _in_words(addresses: Iterable[Mapping[str, str]]) -> str:
    """Return addresses as they stand in a mail's head."""
    return ", ".join(f"{each['Name']} <{each['Address']}>" if each["Name"] else each["Address"] for each in addresses)


def _list_page(mails: list[dict[str, Any]]) -> str:
    rows = "".join(
        f"<tr><td>{escape(mail['Created'][:19])}<td>{escape(_in_words(mail['To']))}"
        f'<td><a href="/mail/{quote(mail["ID"], safe="")}">{escape(mail["Subject"]) or "(no subject)"}</a>'
        for mail in mails
    )
    table = f"<table><tr><th>Received (UTC)<th>To<th>Subject{rows}</table>" if mails else "<p>No mail yet.</p>"
    return _html("Mailbox", f'<meta http-equiv="refresh" content="5"><h1>Mailbox</h1>{table}')


def _mail_page(mail: dict[str, Any]) -> str:
    facts = {
        "From": _in_words([mail["From"]] if mail["From"] else []),
        "To": _in_words(mail["To"]),
        "Received": mail["Created"],
        "Message-ID": mail["MessageID"],
    }
    head = "".join(f"<tr><th>{name}<td>{escape(fact)}" for name, fact in facts.items())
    title = escape(mail["Subject"]) or "(no subject)"
    text = escape(mail["Text"] or mail["HTML"])
    return _html(title, f'<p><a href="/">Mailbox</a></p><h1>{title}</h1><table>{head}</table><pre>{text}</pre>')


def _html(title: str, body: str) -> str:
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style>{body}</html>'
    )


def _answer(start: Callable[..., Any], status: HTTPStatus, content: object) -> Iterable[bytes]:
    page = isinstance(content, str)
    body = (content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)).encode("utf-8", "replace")
    headers = [
        ("Content-Type", "text/html; charset=utf-8" if page else "application/json"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
        ("Content-Security-Policy", _PAGE_POLICY),
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "no-referrer"),
    ]
    start(f"{status.value} {status.phrase}", headers)
    return [body]


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "event": record.getMessage(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "process": "mailbox",
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def main() -> int:
    """Run as the environment says; what is missing is named."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_JsonLines())
    logging.basicConfig(handlers=[handler], level=logging.INFO)
    logging.getLogger("mail.log").setLevel(logging.WARNING)
    names = ("CASH_SMTP_PORT", "CASH_HTTP_PORT", "CASH_MAIL_FOLDER")
    missing = [name for name in names if not os.environ.get(name)]
    if missing:
        print(f"Set {', '.join(missing)} in the environment and start again.", file=sys.stderr)
        return os.EX_CONFIG
    smtp_port, http_port, folder = (os.environ[name] for name in names)
    asyncio.run(run(int(smtp_port), int(http_port), Path(folder)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
