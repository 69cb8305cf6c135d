"""A write whose outcome a command waits for, and what to do where it stays unknown."""

from typing import Any

from cli.connection.client import Client, Unanswered
from cli.terminal.output import ExitCode, fail


def write(
    client: Client,
    method: str,
    path: str,
    *,
    look: str,
    body: object = None,
    key: str | None = None,
    version: int | None = None,
) -> Any:
    """Ask for a change that may be asked for twice, wait until it is decided, and return the answer's body.

    Args:
        client: who asks.
        method: HTTP method.
        path: below ``/api/v1``.
        look: the command that shows whether it took effect.
        body: JSON to send.
        key: idempotency key; a fresh one where absent.
        version: of the thing to change, as it was seen.
    """
    try:
        answer = client.call(method, path, body=body, key=key, version=version, wait=True)
    except Unanswered as unanswered:
        raise Unanswered(
            f"{unanswered}; whether it was done is not known: look with `{look}`, or repeat the command",
            unanswered.code,
        ) from None
    if answer.pending:
        fail(f"accepted, but not decided within the time we wait; see it later with `{look}`", ExitCode.PENDING)
    return answer.body
