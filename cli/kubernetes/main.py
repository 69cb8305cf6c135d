"""The ``k8s`` command's entry point; it imports the rest late, so that Ctrl-C is quiet from the first moment."""

import sys

from cli.main import quiet_imports


def main() -> None:
    """Run the command line and leave with its exit code."""
    with quiet_imports():
        from cli.kubernetes.commands import run
        from cli.terminal.output import guard, open_streams

    open_streams()
    guard(lambda: run(sys.argv[1:]))


if __name__ == "__main__":
    main()
