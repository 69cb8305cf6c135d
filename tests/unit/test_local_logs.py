"""Log files of the local stack, and how they look on a terminal."""

import asyncio
import json
from pathlib import Path

import pytest

from cli.operating.log_lines import Renderer
from infra.local import logs
from infra.local.home import Home


def a_home(folder: Path) -> Home:
    home = Home(folder)
    home.create()
    return home


async def next_lines(home: Home, offsets: dict[str, int], count: int) -> list[tuple[str, str]]:
    found = []
    async with asyncio.timeout(5):
        async for one in logs.follow(home, ["a", "b"], from_now=offsets):
            found.append(one)
            if len(found) == count:
                break
    return found


async def test_following_starts_where_it_was_told_and_waits_for_whole_lines(tmp_path: Path) -> None:
    home = a_home(tmp_path)
    home.log("a").write_text("old\n")
    offsets = logs.sizes(home, ["a", "b"])
    home.log("b").write_text("first\nhalf a li")
    following = asyncio.create_task(next_lines(home, offsets, 2))
    await asyncio.sleep(0.3)
    with home.log("b").open("a") as file:
        file.write("ne\n")

    assert await following == [("b", "first"), ("b", "half a line")]


async def test_following_goes_on_after_the_file_was_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = a_home(tmp_path)
    home.log("a").write_text("x" * 100 + "\n")
    offsets = logs.sizes(home, ["a"])
    monkeypatch.setattr(logs, "LARGEST_BYTES", 50)
    logs.rotate(home)
    home.log("a").write_text("after\n")

    assert await next_lines(home, offsets, 1) == [("a", "after")]
    assert home.log("a").with_suffix(".log.1").read_text() == "x" * 100 + "\n"


def test_last_lines_of_a_missing_file_are_none(tmp_path: Path) -> None:
    home = a_home(tmp_path)
    home.log("a").write_text("1\n2\n3\n")

    assert logs.last_lines(home.log("a"), 2) == ["2", "3"]
    assert logs.last_lines(home.log("b"), 2) == []


@pytest.mark.parametrize("count", [0, 1, 10_000, 30_000])
@pytest.mark.parametrize("block", [5, 65_536])
def test_last_lines_are_as_many_as_asked_for_and_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, block: int
) -> None:
    monkeypatch.setattr(logs, "_TAIL_BLOCK", block)
    lines = [f"line {number} of many" for number in range(20_000)]
    (tmp_path / "a.log").write_text("\n".join(lines) + "\n")

    assert logs.last_lines(tmp_path / "a.log", count) == lines[len(lines) - min(count, len(lines)) :]


async def test_following_all_sees_logs_that_are_made_later(tmp_path: Path) -> None:
    home = a_home(tmp_path)
    home.log("early").write_text("old\n")

    async def first_line() -> tuple[str, str]:
        return await anext(logs.follow(home, None, from_now=logs.sizes(home, logs.list_logs(home))))

    following = asyncio.create_task(first_line())
    await asyncio.sleep(0.3)
    home.log("late").write_text("new\n")

    assert await asyncio.wait_for(following, 5) == ("late", "new")


def test_log_that_cannot_be_moved_keeps_no_other_from_being_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = a_home(tmp_path)
    monkeypatch.setattr(logs, "LARGEST_BYTES", 50)
    for name in ("a", "b", "c"):
        home.log(name).write_text("x" * 100)
    home.log("b").with_suffix(".log.1").mkdir()

    logs.rotate(home)

    assert [home.log(name).stat().st_size for name in ("a", "b", "c")] == [0, 100, 0]


def shown(capsys: pytest.CaptureFixture[str], line: str) -> str:
    Renderer(["relay", "gateway"]).show("relay", line)
    return capsys.readouterr().out


def test_json_line_is_told_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    line = {"event": "sent", "level": "info", "timestamp": "2026-01-02T03:04:05.6Z", "process": "relay", "rows": 3}

    assert shown(capsys, json.dumps(line)) == "relay   | 03:04:05 sent rows=3\n"


def test_exception_follows_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    line = {"event": "broke", "level": "error", "timestamp": "", "exception": "Traceback:\n  it"}

    assert shown(capsys, json.dumps(line)).splitlines() == [
        "relay   |  broke",
        "relay   | Traceback:",
        "relay   |   it",
    ]


@pytest.mark.parametrize(
    "line", ["\x1b[2J", json.dumps({"event": "\x1b[2J"}), json.dumps({"event": "x", "a": "\x1b[2J"})]
)
def test_logged_control_characters_do_not_reach_the_terminal(capsys: pytest.CaptureFixture[str], line: str) -> None:
    assert "\x1b" not in shown(capsys, line)


@pytest.mark.parametrize("line", ["plain", "[1, 2]", '"text"', "{}", "{"])
def test_line_that_is_no_log_entry_is_shown_as_it_is(capsys: pytest.CaptureFixture[str], line: str) -> None:
    assert shown(capsys, line) == f"relay   | {line}\n"
