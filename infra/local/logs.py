"""Log files of the stack's processes: kept small, read back, followed."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

from infra.local.home import Home

LARGEST_BYTES = 16 * 1024 * 1024
_TAIL_BLOCK = 64 * 1024
_POLL_S = 0.15


def rotate(home: Home) -> None:
    """Move what a log file holds into ``.1`` once it is large; one that cannot be moved now is the next time.

    The process keeps its open file, so the content is copied and the file cut; processes append, so
    they go on at its new end. A line written in between may be lost.
    """
    for file in home.logs.glob("*.log"):
        with contextlib.suppress(OSError):
            if file.stat().st_size > LARGEST_BYTES:
                shutil.copyfile(file, file.with_suffix(".log.1"))
                with file.open("r+b") as content:
                    content.truncate()


def list_logs(home: Home) -> list[str]:
    """Return which processes and steps have a log file now, sorted."""
    return sorted(file.name.removesuffix(".log") for file in home.logs.glob("*.log"))


def last_lines(file: Path, count: int) -> list[str]:
    """Return the last lines of a log file, none where there is no file."""
    lines: list[bytes] = []
    with contextlib.suppress(FileNotFoundError), file.open("rb") as content:
        size = content.seek(0, 2)
        block = _TAIL_BLOCK
        while True:
            content.seek(max(0, size - block))
            text = content.read(min(size, block))
            # One line end more than lines, because the block may begin in the middle of a line.
            if block >= size or text.count(b"\n") > count:
                break
            block *= 2
        lines = text.splitlines()
    return [line.decode("utf-8", "replace") for line in lines[max(0, len(lines) - count) :]]


async def follow(
    home: Home, processes: Sequence[str] | None, *, from_now: dict[str, int]
) -> AsyncIterator[tuple[str, str]]:
    """Yield ``(process, line)`` as lines are written, for ever.

    Args:
        home: whose logs.
        processes: which of them; ``None`` for all, also those whose log file comes later.
        from_now: where to start in each file, in bytes, as ``sizes`` returned it; a process not named starts at 0.
    """
    offsets = dict(from_now)
    while True:
        quiet = True
        for process in list_logs(home) if processes is None else processes:
            for line in _new_lines(home.log(process), process, offsets):
                quiet = False
                yield process, line
        if quiet:
            await asyncio.sleep(_POLL_S)


def sizes(home: Home, processes: Sequence[str]) -> dict[str, int]:
    """Return how long each log file is now."""
    files = {process: home.log(process) for process in processes}
    return {process: file.stat().st_size for process, file in files.items() if file.exists()}


def _new_lines(file: Path, process: str, offsets: dict[str, int]) -> Iterator[str]:
    try:
        size = file.stat().st_size
    except FileNotFoundError:
        return
    start = offsets.get(process, 0)
    if size < start:
        start = 0
    if size == start:
        return
    with file.open("rb") as content:
        content.seek(start)
        block = content.read(_TAIL_BLOCK)
    # An unfinished last line waits for its end, unless it alone fills the block.
    end = block.rfind(b"\n") + 1 or (len(block) if len(block) == _TAIL_BLOCK else 0)
    offsets[process] = start + end
    for line in block[:end].splitlines():
        yield line.decode("utf-8", "replace")
