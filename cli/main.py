"""The ``cash`` command's entry point; it imports the rest late, so that Ctrl-C is quiet from the first moment."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager


def main() -> None:
    """Run the command line and leave with its exit code."""
    with quiet_imports():
        from cli.commands import run
        from cli.terminal.output import guard, open_streams

    open_streams()
    guard(lambda: run(sys.argv[1:]))


@contextmanager
def quiet_imports() -> Iterator[None]:
    """Have Ctrl-C end the process without a word while modules are imported.

    Until all are there nobody would catch a KeyboardInterrupt: the traceback would be the answer to Ctrl-C. Whoever
    started us with Ctrl-C ignored (a script, in the background) keeps it so.
    """
    chosen = signal.getsignal(signal.SIGINT)
    if chosen is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGINT, chosen)


if __name__ == "__main__":
    main()
