"""Long output at a terminal, through the pager of whoever looks: CASH_PAGER, else PAGER, else less."""

import contextlib
import io
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

_DEFAULT = "less"
# As git sets them: leave at once where everything fits, keep colours, leave the text on the screen.
_LESS = "FRX"


class PagedStream(io.TextIOBase):
    """Stands in for stdout: what is longer than the terminal is high goes to the pager, the rest where it went before.

    Lines that fit are kept back until it is known that they do; nothing else is.
    """

    def __init__(self, stream: Any, command: list[str], height: int) -> None:
        self._stream = stream
        self._command = command
        self._height = height
        self._kept: list[str] = []
        self._lines = 0
        self._pager: subprocess.Popen[bytes] | None = None
        self._before: Any = None

    @property
    def encoding(self) -> str:  # type: ignore[override]  # it is an attribute where it can be written
        """The encoding of the stream it stands for."""
        return str(self._stream.encoding)

    def fileno(self) -> int:
        """Return the terminal's number, for its width."""
        return int(self._stream.fileno())

    def isatty(self) -> bool:
        """Return that somebody looks at it."""
        return True

    def writable(self) -> bool:
        """Return that it can be written."""
        return True

    def write(self, text: str) -> int:
        """Write to the pager, or keep what does not need it yet."""
        if self._pager is None:
            self._kept.append(text)
            self._lines += text.count("\n")
            if self._lines < self._height:
                return len(text)
            self._start()
            text_now, self._kept = "".join(self._kept), []
        else:
            text_now = text
        if self._pager is None:
            self._stream.write(text_now)
        else:
            assert self._pager.stdin is not None
            self._pager.stdin.write(text_now.encode(self.encoding, "backslashreplace"))
        return len(text)

    def finish(self) -> None:
        """Give out what was kept, or wait until the pager was left."""
        if self._pager is None:
            self._stream.write("".join(self._kept))
            self._stream.flush()
            return
        assert self._pager.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._pager.stdin.close()
        self._pager.wait()
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _start(self) -> None:
        environment = {"LESS": _LESS, "LV": "-c", **os.environ}
        self._stream.flush()
        try:
            self._pager = subprocess.Popen(self._command, stdin=subprocess.PIPE, env=environment)
        except OSError:
            # A pager that cannot be started keeps nobody from reading.
            self._height = sys.maxsize
            return
        # Ctrl-C is the pager's from here on: it stops a search in it, and nobody wants to be thrown out.
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextlib.contextmanager
def paged() -> Iterator[None]:
    """Have what is printed within go through the pager where it is longer than the terminal is high.

    Leaving the pager early is no error. Does nothing where nobody looks at a terminal, or within another one.
    """
    command = _command()
    if not command or isinstance(sys.stdout, PagedStream) or not sys.stdout.isatty():
        yield
        return
    stream = PagedStream(sys.stdout, command, shutil.get_terminal_size().lines)
    sys.stdout = stream
    try:
        with contextlib.suppress(BrokenPipeError):
            yield
    finally:
        sys.stdout = stream._stream
        stream.finish()


def _command() -> list[str]:
    """Return the pager's words; none where there is to be no pager."""
    said = os.environ.get("CASH_PAGER", os.environ.get("PAGER", _DEFAULT)).strip()
    if said in ("", "cat") or os.environ.get("TERM") == "dumb":
        return []
    try:
        return shlex.split(said)
    except ValueError:
        return []
