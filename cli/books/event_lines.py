"""Server-sent events (WHATWG HTML, 9.2), read from the bytes of an answer as they come."""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass

_LINE_END = re.compile(r"\r\n|\n|\r")
_BYTE_ORDER_MARK = "\ufeff"


@dataclass(frozen=True, slots=True)
class Event:
    """One event; ``type`` is ``message`` where it has none, ``id`` the last one that was given until then."""

    type: str
    data: str
    id: str


class EventReader:
    """Reads one stream. ``last_id`` is where it stands, ``retry_ms`` how long to wait before connecting again."""

    def __init__(self, last_id: str = "") -> None:
        self.last_id = last_id
        self.retry_ms: int | None = None
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._rest = ""
        self._is_first = True
        self._id = last_id
        self._type = ""
        self._data: list[str] = []

    def feed(self, part: bytes) -> Iterator[Event]:
        """Read a part, however the stream was cut, and yield the events it completes."""
        for line in self._lines(self._decoder.decode(part)):
            if line:
                self._take(line)
                continue
            self.last_id = self._id
            kind, data = self._type or "message", self._data
            self._type, self._data = "", []
            if data:
                yield Event(kind, "\n".join(data), self.last_id)

    def _lines(self, text: str) -> Iterator[str]:
        """Yield whole lines; they end as the standard says, not at everything that Python takes for a line's end."""
        if self._is_first and text:
            self._is_first = False
            text = text.removeprefix(_BYTE_ORDER_MARK)
        text = self._rest + text
        begin = 0
        for end in _LINE_END.finditer(text):
            # A line feed may follow in the next part.
            if end[0] == "\r" and end.end() == len(text):
                break
            yield text[begin : end.start()]
            begin = end.end()
        self._rest = text[begin:]

    def _take(self, line: str) -> None:
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match field:
            case "data":
                self._data.append(value)
            case "event":
                self._type = value
            case "id" if "\0" not in value:
                self._id = value
            case "retry" if value.isascii() and value.isdecimal():
                self.retry_ms = int(value)
            case _:  # a comment, or a field of a later time
                pass
