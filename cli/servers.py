"""Which server a command talks to."""

import os
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

import typer

from cli.credentials import Credentials, credentials_file
from cli.output import ExitCode, Failure, fail
from infra.local.home import Home
from infra.local.ports import LOOPBACK, read_ports

UrlOption = Annotated[
    str | None,
    typer.Option(
        "--url",
        envvar="CASH_URL",
        metavar="URL",
        help="Address of the API. Without it: the server signed in to last by --url, else the local stack.",
    ),
]


@dataclass(frozen=True, slots=True)
class Server:
    """Where an API or a mailbox answers; ``local`` when it is this machine's own stack."""

    url: str
    local: bool = False

    def unreachable(self) -> Failure:
        """Return that nothing answers there, and what to do."""
        if self.local:
            sentence = (
                f"the local stack does not answer at {self.url}; start it with `cash up -d`, or see `cash status`"
            )
            return Failure(sentence, ExitCode.NOT_READY)
        sentence = f"{self.url} does not answer; check the address and your connection, then try again"
        return Failure(sentence, ExitCode.UNREACHABLE)


def find_server(url: str | None) -> Server:
    """Return the API to talk to: as said, else the one chosen last, else the local stack."""
    if url:
        return Server(checked_url(url))
    if chosen := credentials_file().read(Credentials).server:
        return Server(chosen)
    return local_server("gateway")


def find_mailbox() -> Server:
    """Return the mailbox of development: ``CASH_MAILBOX_URL``, else the local stack's."""
    if url := os.environ.get("CASH_MAILBOX_URL"):
        return Server(checked_url(url))
    return local_server("mailbox")


def local_server(process: str) -> Server:
    """Return where a process of the local stack listens, whether it runs or not."""
    port = read_ports(Home.default()).get(process)
    if port is None:
        fail(
            "there is no local stack yet; start one with `cash up -d`, or name a server with --url", ExitCode.NOT_READY
        )
    return Server(f"http://{LOOPBACK}:{port}", local=True)


def checked_url(url: str) -> str:
    """Return an address without its last slash; refuses what is not ``http(s)://host``."""
    parts = urlsplit(url)
    try:
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        valid = False
    if not valid or parts.username or parts.query or parts.fragment:
        fail(f"'{url}' is not an address of an API; it looks like https://cash.example.org", ExitCode.USAGE)
    return url.rstrip("/")
