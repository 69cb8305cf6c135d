"""Which server a command talks to."""

import os
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Annotated
from urllib.parse import urlsplit

import httpx
import typer

from cli import preferences
from cli.connection.credentials import Credentials, credentials_file
from cli.terminal.output import ExitCode, Failure, fail
from infra.local.home import Home
from infra.local.ports import LOOPBACK, read_ports

#: What the services are called in the compose file and in the cluster, and their ports there. `k8s forward` takes the
#: same ports of this machine where they are free. In compose a proxy is before the gateways where there are several.
GATEWAY, GATEWAY_PORT, GATEWAY_SERVICE_PORT = "gateway", 8000, 80
PROXY = "proxy"
MAILBOX, MAILBOX_PORT = "mailpit", 8025

UrlOption = Annotated[
    str | None,
    typer.Option(
        "--url",
        metavar="URL",
        help="Address of the API. Without it: CASH_URL, else the profile's, else the server last signed in to by "
        "--url, else the local stack.",
    ),
]


@dataclass(frozen=True, slots=True)
class Server:
    """Where an API or a mailbox answers; ``local`` when it is this machine's own stack."""

    url: str
    local: bool = False

    @property
    def proxied(self) -> bool:
        """Whether HTTP_PROXY and the like apply: never to this machine, whose secrets are nobody else's business."""
        host = urlsplit(self.url).hostname or ""
        try:
            return not ip_address(host).is_loopback
        except ValueError:
            return host != "localhost" and not host.endswith(".localhost")

    def option(self) -> str:
        """Return what to add to a command so that it talks to this server; nothing where it does so anyway."""
        try:
            found = find_server(None).url
        except Failure:
            found = None
        return preferences.option() if found == self.url else f" --url {self.url}"

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
    """Return the API to talk to: as said, else the profile's, else the one signed in to last, else the local stack."""
    if named := url or preferences.said("url"):
        return Server(checked_url(named))
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
    if not _is_address(url):
        fail(f"'{url}' is not an address of an API; it looks like https://cash.example.org", ExitCode.USAGE)
    return url.rstrip("/")


def _is_address(url: str) -> bool:
    if not url.isprintable() or " " in url:
        return False
    try:
        parts = urlsplit(url)
        # Both refuse some names: the client when it is made, the system's resolver when it looks for the host.
        httpx.URL(url)
        (parts.hostname or "").encode("idna")
        there = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except (ValueError, httpx.InvalidURL):
        return False
    return there and not (parts.username or parts.query or parts.fragment)
