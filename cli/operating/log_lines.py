"""Log lines of many processes on one terminal: a coloured name before each, JSON told in words."""

import json
import sys
from collections.abc import Sequence

import typer

from cli.terminal.output import Output
from infra.telemetry.words import in_words, printable

_COLOURS = (
    "cyan",
    "green",
    "magenta",
    "blue",
    "yellow",
    "bright_cyan",
    "bright_green",
    "bright_magenta",
    "bright_blue",
)
_LEVELS = {"warning": "yellow", "error": "red", "critical": "red"}


class Renderer:
    """Writes lines to standard output; colours only at a terminal that has them, for who wants them (NO_COLOR)."""

    def __init__(self, processes: Sequence[str]) -> None:
        self._width = max((len(name) for name in processes), default=0)
        self._colours = {name: _COLOURS[number % len(_COLOURS)] for number, name in enumerate(processes)}
        output = Output()
        self._plain = output.no_color or output.color_system is None

    def show(self, process: str, line: str) -> None:
        """Write one logged line, or several where a sentence has more."""
        prefix = self._styled(f"{process:<{self._width}} |", self._colours.get(process, "white"))
        for part in self._in_words(line).split("\n"):
            if part.strip():
                sys.stdout.write(f"{prefix} {part}\n")
        sys.stdout.flush()

    def _in_words(self, line: str) -> str:
        try:
            entry = json.loads(line)
        except ValueError:
            return printable(line)
        if not isinstance(entry, dict) or "event" not in entry:
            return printable(line)
        words = in_words(entry)
        sentence = f"{words.moment} {words.sentence}"
        told = self._styled(sentence, _LEVELS[words.level]) if words.level in _LEVELS else sentence
        dim = self._styled(words.details, "bright_black") if words.details else ""
        return "\n".join(part for part in (f"{told} {dim}".rstrip(), words.exception) if part)

    def _styled(self, text: str, colour: str) -> str:
        return text if self._plain else typer.style(text, fg=colour)
