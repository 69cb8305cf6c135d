"""A command at a terminal of its own, and what its screen shows: as text to look at, as SVG for the documents."""

import os
import re
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from xml.sax.saxutils import escape

import pexpect
import pyte
from rich.cells import cell_len

WITHIN_S = 30.0
#: Lines that scrolled off and are kept.
_KEPT = 20_000
KEYS: Mapping[str, str] = {
    "enter": "\r",
    "ctrl-c": "\x03",
    "ctrl-d": "\x04",
    "escape": "\x1b",
    "tab": "\t",
    "up": "\x1b[A",
    "down": "\x1b[B",
}


@dataclass(frozen=True, slots=True)
class Run:
    """Neighbouring letters of a line that look the same; ``column`` is where they begin, ``width`` how far they go."""

    text: str
    column: int
    width: int
    colour: str
    background: str
    bold: bool
    italic: bool
    underlined: bool


class CapturedScreen:
    """Runs a command line in a pseudo-terminal and keeps what it shows, as a terminal would.

    Used as a context manager; whatever happens, the command is over after the block.
    """

    def __init__(
        self,
        words: Sequence[str],
        *,
        width: int = 80,
        height: int = 24,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> None:
        """Start a command.

        Args:
            words: the command line; ``cash`` and other scripts are looked for beside this Python first.
            width: columns of the terminal.
            height: its lines.
            environment: instead of this process's; ``TERM`` is set where it says none.
            folder: where it runs, where not here.
        """
        chosen = dict(os.environ if environment is None else environment)
        chosen.setdefault("TERM", "xterm-256color")
        for stale in ("COLUMNS", "LINES"):
            chosen.pop(stale, None)
        self.screen = pyte.HistoryScreen(width, height, history=_KEPT, ratio=0.5)
        self._stream = pyte.ByteStream(self.screen)
        self._shown = b""
        self._found = 0
        beside = Path(sys.executable).parent
        program = shutil.which(words[0], path=f"{beside}{os.pathsep}{chosen.get('PATH', os.defpath)}") or words[0]
        self.process: pexpect.spawn[bytes] = pexpect.spawn(
            program,
            list(words[1:]),
            dimensions=(height, width),
            env=chosen,
            cwd=folder,
            timeout=WITHIN_S,
        )
        # A person cannot type before the screen is drawn; neither does this wait.
        self.process.delaybeforesend = None

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the command."""
        self.process.close(force=True)

    def type(self, text: str) -> None:
        """Type a text as it stands, without Enter."""
        self.process.send(text)

    def enter(self, text: str = "") -> None:
        """Type a line, with Enter."""
        self.process.send(text + KEYS["enter"])

    def press(self, key: str) -> None:
        """Press a key by its name in ``KEYS``."""
        self.process.send(KEYS[key])

    def wait_for(self, pattern: str, within_s: float = WITHIN_S) -> None:
        """Read until a pattern stands in what came, after what was waited for before."""
        until = time.monotonic() + within_s
        wanted = re.compile(pattern)
        while not (found := wanted.search(_plain(self._shown), self._found)):
            if time.monotonic() > until or not self._read():
                raise AssertionError(f"{pattern!r} was not shown:\n{self.text()}")
        self._found = found.end()

    def wait_for_end(self, within_s: float = WITHIN_S) -> int:
        """Read until the command has ended; return its exit code, or minus the signal that ended it."""
        until = time.monotonic() + within_s
        while self._read():
            if time.monotonic() > until:
                raise AssertionError(f"it did not end:\n{self.text()}")
        self.process.wait()
        return -self.process.signalstatus if self.process.signalstatus else int(self.process.exitstatus or 0)

    def settle(self, quiet_s: float = 0.5) -> None:
        """Read until nothing came for a moment; for looking, not for tests."""
        quiet = time.monotonic() + quiet_s
        before = len(self._shown)
        while time.monotonic() < quiet and self._read():
            if len(self._shown) != before:
                before, quiet = len(self._shown), time.monotonic() + quiet_s

    def text(self, *, whole: bool = True) -> str:
        """Return the screen as text; ``whole`` with the lines that scrolled off."""
        lines = ["".join(run.text for run in line) for line in self.lines(whole=whole)]
        return "\n".join(line.rstrip() for line in lines).rstrip("\n")

    def svg(self, *, title: str | None = None, whole: bool = True) -> str:
        """Return the screen as an SVG that loads nothing; ``title`` stands in its upper edge."""
        return draw(self.lines(whole=whole), self.screen.columns, title=title)

    def lines(self, *, whole: bool = True) -> list[list[Run]]:
        """Return the screen as it is now, without empty lines at its end; ``whole`` with what scrolled off."""
        above = list(self.screen.history.top) if whole else []
        shown = [self.screen.buffer[number] for number in range(self.screen.lines)]
        every = [[line[column] for column in range(self.screen.columns)] for line in (*above, *shown)]
        lines = [list(_runs(letters)) for letters in every]
        while lines and not any(run.text.strip() or run.background != "default" for run in lines[-1]):
            lines.pop()
        return lines

    def _read(self) -> bool:
        """Read for a moment; tell whether more may come."""
        try:
            read: bytes = self.process.read_nonblocking(65536, timeout=0.1)
        except pexpect.TIMEOUT:
            return True
        except pexpect.EOF:
            return False
        self._shown += read
        self._stream.feed(read)
        return True


def _plain(shown: bytes) -> str:
    """Return what was sent to a terminal without what steers it."""
    text = shown.decode(errors="replace").replace("\r\n", "\n")
    return re.sub(r"\x1b(?:\[[0-9;?]*[A-Za-z]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[()][A-Z0-9]|[=>78])", "", text)


def _runs(letters: Sequence[Any]) -> Iterator[Run]:
    """Yield a line as its runs; the second half of a wide letter is an empty cell."""
    begun, look, text = 0, None, ""
    for column, letter in enumerate(letters):
        now = _look(letter)
        if now != look:
            if look is not None:
                yield Run(text, begun, column - begun, *look)
            begun, look, text = column, now, ""
        text += letter.data
    if look is not None:
        yield Run(text, begun, len(letters) - begun, *look)


def _look(letter: Any) -> tuple[str, str, bool, bool, bool]:
    colour, background = letter.fg, letter.bg
    if letter.reverse:
        colour = "default-background" if background == "default" else background
        background = "default-colour" if letter.fg == "default" else letter.fg
    return colour, background, bool(letter.bold), bool(letter.italics), bool(letter.underscore)


# As many terminals show them on a dark ground.
_COLOURS: Mapping[str, str] = {
    "default": "#d8dee9",
    "default-colour": "#d8dee9",
    "default-background": "#16191f",
    "black": "#4c566a",
    "red": "#e06c75",
    "green": "#98c379",
    "brown": "#e5c07b",
    "yellow": "#e5c07b",
    "blue": "#61afef",
    "magenta": "#c678dd",
    "cyan": "#56b6c2",
    "white": "#d8dee9",
    "brightblack": "#7f8899",
    "brightred": "#ff8a93",
    "brightgreen": "#b5e890",
    "brightbrown": "#ffd68a",
    "brightyellow": "#ffd68a",
    "brightblue": "#8fc9ff",
    "brightmagenta": "#e39cf7",
    "brightcyan": "#7fe0ec",
    "brightwhite": "#ffffff",
}
_GROUND = "#16191f"
_FONTS = "ui-monospace, 'SF Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace"
# Pixels of one letter, and around all of them.
_WIDE, _HIGH, _SIZE, _EDGE = 8.43, 18, 14, 14


def draw(lines: Sequence[Sequence[Run]], columns: int, *, title: str | None = None) -> str:
    """Return lines as an SVG: text that can be copied, in whatever fixed-width font is there."""
    top = _EDGE + (_HIGH + 6 if title else 0)
    width = round(columns * _WIDE + 2 * _EDGE)
    height = top + len(lines) * _HIGH + _EDGE
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">',
        f'<rect width="{width}" height="{height}" rx="8" fill="{_GROUND}"/>',
        f'<g font-family="{_FONTS}" font-size="{_SIZE}" fill="{_COLOURS["default"]}" xml:space="preserve">',
    ]
    if title:
        parts.append(f'<text x="{_EDGE}" y="{_EDGE + 10}" fill="#7f8899">{escape(title)}</text>')
    for number, line in enumerate(lines):
        for run in line:
            parts += _drawn(run, top + number * _HIGH)
    return "\n".join([*parts, "</g>", "</svg>", ""])


def _drawn(run: Run, top: int) -> Iterator[str]:
    if run.background != "default":
        x, width = _EDGE + run.column * _WIDE, run.width * _WIDE
        yield f'<rect x="{x:.1f}" y="{top}" width="{width:.1f}" height="{_HIGH}" fill="{_hex(run.background)}"/>'
    # Words with wide gaps stand where they stand, whatever the font: each is placed by itself.
    for word in re.finditer(r"\S+(?: \S+)*", run.text):
        before, letters = run.text[: word.start()], word[0]
        x = _EDGE + (run.column + _cells(before)) * _WIDE
        look = "" if run.colour == "default" else f' fill="{_hex(run.colour)}"'
        look += ' font-weight="bold"' if run.bold else ""
        look += ' font-style="italic"' if run.italic else ""
        look += ' text-decoration="underline"' if run.underlined else ""
        length = f"{_cells(letters) * _WIDE:.1f}"
        yield f'<text x="{x:.1f}" y="{top + _SIZE}" textLength="{length}"{look}>{escape(letters)}</text>'


def _cells(text: str) -> int:
    return cell_len(text)


def _hex(colour: str) -> str:
    return _COLOURS.get(colour, f"#{colour}")
