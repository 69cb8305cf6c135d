"""Show what a command shows at a terminal: ``python -m tests.captures.show --width 40 -- cash tx list``.

``--keys`` are typed once nothing comes any more, one after the other: names of keys (``enter``, ``ctrl-c``, ``down``)
or ``text:…``, for instance ``--keys text:2 enter ctrl-c``. ``--svg FILE`` and ``--png FILE`` write a picture; the
latter needs ``rsvg-convert`` (Debian's librsvg2-bin).
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from tests.captures.screens import KEYS, CapturedScreen


def main() -> None:
    """Run the command line."""
    own, words = _parted(sys.argv[1:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=80)
    parser.add_argument("--height", type=int, default=24)
    parser.add_argument("--keys", nargs="*", default=[], metavar="KEY")
    parser.add_argument("--quiet-s", type=float, default=0.7, help="seconds without output before a key is pressed")
    parser.add_argument("--screen", action="store_true", help="only what stands on the screen, not what scrolled off")
    parser.add_argument("--no-color", action="store_true", help="with NO_COLOR=1")
    parser.add_argument("--pager", action="store_true", help="let it use its pager; leave it by --keys text:q")
    parser.add_argument("--svg", type=Path)
    parser.add_argument("--png", type=Path)
    arguments = parser.parse_args(own)
    environment = dict(os.environ)
    if arguments.no_color:
        environment["NO_COLOR"] = "1"
    if not arguments.pager:
        environment["CASH_PAGER"] = ""
    with CapturedScreen(words, width=arguments.width, height=arguments.height, environment=environment) as screen:
        for key in arguments.keys:
            screen.settle(arguments.quiet_s)
            if key in KEYS:
                screen.press(key)
            else:
                screen.type(key.removeprefix("text:"))
        if arguments.keys:
            screen.settle(arguments.quiet_s)
            code = None
        else:
            code = screen.wait_for_end(600)
        picture = screen.svg(title=" ".join(words), whole=not arguments.screen)
        sys.stdout.write(screen.text(whole=not arguments.screen) + "\n")
    if code is not None:
        sys.stderr.write(f"exit code {code}\n")
    if arguments.svg:
        arguments.svg.write_text(picture, encoding="utf-8")
    if arguments.png:
        subprocess.run(["rsvg-convert", "-o", str(arguments.png)], input=picture.encode(), check=True)


def _parted(words: list[str]) -> tuple[list[str], list[str]]:
    """Return what stands before ``--`` and after it."""
    at = words.index("--") if "--" in words else len(words)
    return words[:at], words[at + 1 :] or ["cash", "--help"]


if __name__ == "__main__":
    main()
