"""Where the system runs that a command tries out: on this machine, in containers, or in a cluster (``-e``)."""

import contextlib
import functools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from cli.connection.servers import (
    GATEWAY,
    GATEWAY_PORT,
    GATEWAY_SERVICE_PORT,
    MAILBOX,
    MAILBOX_PORT,
    PROXY,
    Server,
    checked_url,
    find_mailbox,
    find_server,
    local_server,
)
from cli.terminal.output import ExitCode, Failure

if TYPE_CHECKING:
    from cli.kubernetes.forwarding import Forward
    from cli.kubernetes.kubectl import Kubectl


class Where(StrEnum):
    """The environments there are."""

    LOCAL = "local"
    DOCKER = "docker"
    KUBE = "kube"


EnvironmentOption = Annotated[
    Where | None,
    typer.Option(
        "--environment",
        "-e",
        help="Where the system runs: the stack of this machine, its compose project, or the namespace cash-flow of the "
        "current kubectl context. Without it: as every command, see --url.",
    ),
]


@dataclass(frozen=True)
class ComposeServer(Server):
    """What a compose service publishes on this machine."""

    service: str = GATEWAY

    def unreachable(self) -> Failure:
        """Return that nothing answers there, and what to do."""
        return Failure(
            f"the container of {self.service} does not answer at {self.url}; see `docker compose ps` and "
            f"`docker compose logs {self.service}`",
            ExitCode.UNREACHABLE,
        )


@dataclass(frozen=True)
class ForwardedServer(Server):
    """A service of the cluster, forwarded to a port of this machine."""

    forward: "Forward | None" = None

    def unreachable(self) -> Failure:
        """Return that nothing answers there, and what to do."""
        why = f" ({self.forward.why})" if self.forward and self.forward.why else ""
        return Failure(
            f"the connection into the cluster was lost{why}; see `k8s status`, then try again", ExitCode.UNREACHABLE
        )


class Environment:
    """The API and the mailbox of one environment; not every environment has a mailbox."""

    def __init__(self, server: Server, mailbox: Server | Failure) -> None:
        self.server = server
        self._mailbox = mailbox

    @property
    def mailbox(self) -> Server:
        """Where the mails are caught; fails, saying what to do, where there is no such place."""
        if isinstance(self._mailbox, Failure):
            raise self._mailbox
        return self._mailbox


@contextlib.contextmanager
def find_environment(name: str | None, url: str | None) -> Iterator[Environment]:
    """Find an environment and lend it; what was opened on the way to it is closed after the block.

    Args:
        name: ``local``, ``docker`` or ``kube``; without one, the server that every command would talk to.
        url: address of the API, where it is not the one that would be found.
    """
    if name == Where.DOCKER:
        yield _composed(url)
    elif name == Where.KUBE:
        with _in_cluster(url) as environment:
            yield environment
    else:
        server = local_server("gateway") if name == Where.LOCAL and not url else find_server(url)
        yield Environment(server, _tried(find_mailbox))


def _composed(url: str | None) -> Environment:
    from cli.images.containers import published_address

    def published(port: int, *services: str) -> Server:
        return ComposeServer(f"http://{published_address(services, port)}", service=services[-1])

    server = Server(checked_url(url)) if url else published(GATEWAY_PORT, PROXY, GATEWAY)
    return Environment(server, _mailbox(lambda: published(MAILBOX_PORT, MAILBOX)))


@contextlib.contextmanager
def _in_cluster(url: str | None) -> Iterator[Environment]:
    from cli.terminal.endings import ended_in_order

    with ended_in_order(), contextlib.ExitStack() as opened:
        kubectl = functools.cache(_kubectl)

        def forwarded(service: str, port: int) -> Server:
            return _forwarded(kubectl(), service, port, opened)

        server = Server(checked_url(url)) if url else _exposed(kubectl()) or forwarded(GATEWAY, GATEWAY_SERVICE_PORT)
        yield Environment(server, _mailbox(lambda: forwarded(MAILBOX, MAILBOX_PORT)))


def _kubectl() -> "Kubectl":
    """Return kubectl for the current context, where that is of this machine: nothing is tried out elsewhere unasked."""
    from cli.kubernetes.clusters import check_meant, find_cluster

    cluster = find_cluster(None)
    check_meant(cluster, named=False, otherwise="run `k8s forward --context {context}` and name its address with --url")
    return cluster.kubectl


def _exposed(kubectl: "Kubectl") -> Server | None:
    """Return the gateway where the cluster itself shows it to this machine; that goes on while its pods change."""
    from cli.kubernetes.addresses import exposed_address

    address = exposed_address(kubectl, GATEWAY)
    return Server(address) if address else None


def _forwarded(kubectl: "Kubectl", service: str, port: int, opened: contextlib.ExitStack) -> Server:
    from cli.kubernetes.forwarding import Forward

    forward = Forward(kubectl, service, port)
    opened.callback(forward.close)
    forward.open()
    return ForwardedServer(forward.url, forward=forward)


def _mailbox(find: Callable[[], Server]) -> Server | Failure:
    """Return the mailbox that the environment names, else the one that is found, else why there is none."""
    return _tried(find_mailbox if os.environ.get("CASH_MAILBOX_URL") else find)


def _tried(find: Callable[[], Server]) -> Server | Failure:
    try:
        return find()
    except Failure as failure:
        return failure
