"""Log lines on a terminal, and elsewhere."""

import io
import json
import sys

import pytest

from cli.operating.log_lines import Renderer

LINE = json.dumps({"event": "ready", "level": "warning", "timestamp": "2026-01-01T10:11:12Z", "port": 1})


class Terminal(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


def shown(monkeypatch: pytest.MonkeyPatch, screen: io.StringIO, **environment: str) -> str:
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"TERM": "xterm", **environment}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stdout", screen)
    Renderer(["relay", "gateway"]).show("relay", LINE)
    return screen.getvalue()


def test_a_terminal_has_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b[" in shown(monkeypatch, Terminal())


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=str)
def test_who_wants_no_colours_gets_none(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    assert shown(monkeypatch, Terminal(), **environment) == "relay   | 10:11:12 ready port=1\n"


def test_a_file_has_no_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(monkeypatch, io.StringIO()) == "relay   | 10:11:12 ready port=1\n"
