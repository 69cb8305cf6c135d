"""Cursors: where a page of a list ended, as an opaque text that goes on with no other list."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import date, datetime
from hashlib import blake2b
from typing import Annotated, Any, NamedTuple, TypeVar
from uuid import UUID

import msgspec

_MARK_BYTES = 6


class CursorError(ValueError):
    """A text that is no cursor of ours, or one of another list."""


class DayKeys(NamedTuple):
    """What transactions are ordered by: day, moment, id."""

    booked_on: date
    booked_at: Annotated[datetime, msgspec.Meta(tz=True)]
    id: UUID


class AmountKeys(NamedTuple):
    """What transactions are ordered by: currency, amount, id."""

    currency: Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{3}\Z")]
    amount_minor: Annotated[int, msgspec.Meta(ge=0, le=2**62)]
    id: UUID


class MomentKeys(NamedTuple):
    """What operations are ordered by: the moment they were decided, id."""

    recorded_at: Annotated[datetime, msgspec.Meta(tz=True)]
    id: UUID


K = TypeVar("K", bound=tuple[Any, ...])


def cursor_text(keys: tuple[Any, ...], of: str) -> str:
    """Return a cursor; ``of`` names its list with everything that decides what stands where in it."""
    return urlsafe_b64encode(_mark(of) + msgspec.msgpack.encode(keys)).rstrip(b"=").decode()


def read_cursor(text: str, keys: type[K], of: str) -> K:
    """Read what :func:`cursor_text` wrote of this list.

    Raises:
        CursorError: it was not written by us, or is of another list.
    """
    try:
        raw = urlsafe_b64decode(text.encode("ascii") + b"==")
        if raw[:_MARK_BYTES] != _mark(of):
            raise CursorError("of another list")
        found: K = msgspec.msgpack.decode(raw[_MARK_BYTES:], type=keys)
    except (ValueError, msgspec.MsgspecError, OverflowError):
        raise CursorError("not a cursor of this list") from None
    if cursor_text(found, of) != text:
        raise CursorError("another way to write it")
    return found


def _mark(of: str) -> bytes:
    return blake2b(of.encode(), digest_size=_MARK_BYTES).digest()
