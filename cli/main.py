"""The ``cash`` command's entry point; it imports the rest late, so that Ctrl-C is quiet from the first moment."""

import signal
import sys


def main() -> None:
    """Run the command line and leave with its exit code."""
    # Until everything is imported nobody would catch a KeyboardInterrupt: the traceback would be the answer to Ctrl-C.
    # Whoever started us with Ctrl-C ignored (a script, in the background) keeps it so.
    chosen = signal.getsignal(signal.SIGINT)
    if chosen is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from cli.commands import run
    from cli.output import guard, open_streams

    signal.signal(signal.SIGINT, chosen)
    open_streams()
    guard(lambda: run(sys.argv[1:]))


if __name__ == "__main__":
    main()
