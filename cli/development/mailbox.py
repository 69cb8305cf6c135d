"""The mailbox of development as commands read it: Mailpit's API, which the local stack's mailbox has too."""

import functools
from collections.abc import Iterable, Mapping
from typing import Any

import httpx

from cli.connection.servers import Server
from cli.terminal.output import ExitCode, fail

_TIMEOUT_S = 5.0
_NEWEST = 200


def list_mails(mailbox: Server, *, to: str | None = None) -> list[dict[str, Any]]:
    """Return the newest mails, newest first, of one recipient where given; of their texts only the beginning.

    Each has ``id``, ``received_at``, ``from``, ``to``, ``subject``, ``message_id`` and ``snippet``.
    """
    path, parameters = "messages", {"limit": str(_NEWEST)}
    if to is not None:
        path, parameters["query"] = "search", f'to:"{to}"'
    found = _get(mailbox, path, parameters)["messages"]
    # A search finds what contains the address: bob@example.org in rob-bob@example.org too.
    return [_named(mail) | {"snippet": mail["Snippet"]} for mail in found if to is None or _is_to(mail, to)]


def read_mail(mailbox: Server, identifier: str) -> dict[str, Any]:
    """Return a mail with its ``text``."""
    mail = _get(mailbox, f"message/{identifier}")
    return _named(mail) | {"text": mail["Text"] or mail["HTML"]}


@functools.cache
def _http(mailbox: Server) -> httpx.Client:
    """Return one client for a mailbox: whoever waits for a mail asks it many times."""
    return httpx.Client(base_url=f"{mailbox.url}/api/v1/", timeout=_TIMEOUT_S, trust_env=mailbox.proxied)


def _get(mailbox: Server, path: str, parameters: Mapping[str, str] | None = None) -> Any:
    try:
        response = _http(mailbox).get(path, params=parameters)
        if response.status_code == httpx.codes.NOT_FOUND and path.startswith("message/"):
            fail("this mail is not there any more; `cash mail` lists those that are", ExitCode.NOT_FOUND)
        return response.raise_for_status().json()
    except httpx.TransportError:
        raise mailbox.unreachable() from None
    except (httpx.HTTPStatusError, ValueError):
        fail(f"{mailbox.url} does not answer like a mailbox; check CASH_MAILBOX_URL")


def _named(mail: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is told of a mail, under the names that ``--json`` shows."""
    return {
        "id": mail["ID"],
        "received_at": mail.get("Created") or mail["Date"],
        "from": _in_words([mail["From"]] if mail["From"] else ()),
        "to": _in_words(mail["To"] or ()),
        "subject": mail["Subject"],
        "message_id": mail["MessageID"],
    }


def _is_to(mail: Mapping[str, Any], address: str) -> bool:
    return any(to["Address"].casefold() == address.casefold() for to in mail["To"] or ())


def _in_words(addresses: Iterable[Mapping[str, str]]) -> str:
    return ", ".join(f"{each['Name']} <{each['Address']}>" if each["Name"] else each["Address"] for each in addresses)
