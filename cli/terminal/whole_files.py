"""Files that are there as a whole or not at all, readable by their owner only."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from cli.terminal.output import ExitCode, fail
from infra.local import home


def refuse_in_the_way(path: Path, *, replace: bool) -> None:
    """Refuse a path that no file can be written to, and one where a file stands, unless it may be replaced."""
    if path.is_dir():
        fail(f"'{path}' is a folder; name a file in it", ExitCode.USAGE)
    if path.exists() and not path.is_file():
        fail(f"'{path}' is no file; write to standard output, and from there wherever you like", ExitCode.USAGE)
    if path.exists() and not replace:
        fail(f"'{path}' exists; name another file, or say --force to replace it", ExitCode.USAGE)
    if not path.parent.is_dir():
        fail(f"there is no folder '{path.parent}'; make it first", ExitCode.USAGE)


@contextlib.contextmanager
def whole_file(path: Path, *, replace: bool = False) -> Iterator[BinaryIO]:
    """Lend a file to write to that gets its name when the block ends well; otherwise nothing is left of it.

    Args:
        path: where it is to stand.
        replace: whether a file that stands there may be replaced.
    """
    refuse_in_the_way(path, replace=replace)
    with contextlib.ExitStack() as stack:
        try:
            # A link stays one: what it leads to is replaced.
            file = stack.enter_context(home.whole_file(path.resolve()))
        except OSError as error:
            fail(f"'{path}' cannot be written ({error.strerror}); name a file in a folder of yours")
        yield file
