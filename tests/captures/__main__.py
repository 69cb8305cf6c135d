"""The pictures of the documentation: ``python -m tests.captures`` makes them again from a stack of their own.

Each is what a terminal of 80 columns showed. ``--only demo`` makes one of them; with ``--here`` the stack that runs
already is used, else one is started in a folder for the time being.
"""

import argparse
import os
import re
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.captures.screens import CapturedScreen, draw

PICTURES = Path(__file__).parents[2] / "docs" / "captures"
WIDTH, HEIGHT = 80, 40
CHOICE = r"Enter your choice \[[1-6/]+\]: "
#: What the walk asks, and what is answered.
WALK = (
    (CHOICE, "2"),
    ("email: ", "phil@example.org"),
    (r"\(y\): ", "a"),
    ("username: ", "phil"),
    ("password: ", "{password}"),
    ("again: ", "{password}"),
    (CHOICE, "1"),
    ("username: ", "phil"),
    ("password: ", "{password}"),
    (CHOICE, "2"),
    (CHOICE, "1"),
    ("amount: ", "24.47"),
    ("category: ", "things"),
    ("description: ", "stuff"),
    (r"date \(.*\): ", ""),
    (CHOICE, "2"),
    (CHOICE, "6"),
    (CHOICE, "4"),
    (CHOICE, "2"),
    (CHOICE, "6"),
    (CHOICE, "5"),
    (CHOICE, "3"),
)


def demo(environment: Mapping[str, str]) -> str:
    """Return the picture of ``cash demo``."""
    return _shown(["cash", "demo"], environment)


def walk(environment: Mapping[str, str]) -> str:
    """Return the picture of ``cash test``: register, sign in, record, look, leave."""
    password = secrets.token_urlsafe(16)
    with CapturedScreen(["cash", "test"], width=WIDTH, height=HEIGHT, environment=environment) as screen:
        for question, answer in WALK:
            screen.wait_for(question)
            screen.enter(answer.format(password=password))
        screen.wait_for_end()
        assert password not in screen.text()
        return screen.svg(title="cash test")


def sim(environment: Mapping[str, str]) -> str:
    """Return the picture of ``cash sim``: in the middle of it, and at its end."""
    words = ["cash", "sim", "-u", "15", "-t", "5", "-x", "20", "--seed", "docs"]
    with CapturedScreen(words, width=WIDTH, height=HEIGHT, environment=environment) as screen:
        screen.wait_for(r"Recorded\s+\S+\s+1[0-9]{2}/")
        middle = screen.lines()
        screen.wait_for_end(300)
        return draw([*middle, [], *screen.lines()], WIDTH, title=" ".join(words))


MADE: Mapping[str, Callable[[Mapping[str, str]], str]] = {"demo": demo, "test": walk, "sim": sim}


def main() -> None:
    """Make the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=MADE, action="append")
    parser.add_argument("--here", action="store_true", help="use the stack of CASH_HOME, which runs already")
    arguments = parser.parse_args()
    chosen = arguments.only or list(MADE)
    if arguments.here:
        make(chosen, os.environ)
        return
    with tempfile.TemporaryDirectory(prefix="captures-") as folder:
        own = {**os.environ, "CASH_HOME": f"{folder}/home", "CASH_CONFIG_HOME": f"{folder}/config"}
        own["CASH_LIMITS_PER_NETWORK"] = "100000"
        cash = str(Path(sys.executable).with_name("cash"))
        subprocess.run([cash, "up", "-d"], env=own, check=True)
        try:
            make(chosen, own)
        finally:
            subprocess.run([cash, "down"], env=own, check=True)


def make(chosen: list[str], environment: Mapping[str, str]) -> None:
    """Make some pictures at a running stack; paths of this machine do not show in them."""
    PICTURES.mkdir(exist_ok=True)
    for name in chosen:
        picture = MADE[name]({**environment, "CASH_PAGER": "", "TERM": "xterm-256color"})
        config = re.escape(environment.get("CASH_CONFIG_HOME", ""))
        if config:
            picture = re.sub(config, "~/.config/cash-flow", picture)
        # Beside another stack this one has other ports than the reader's will have.
        picture = re.sub(r"127\.0\.0\.1-\d+", "127.0.0.1-8470", picture)
        written = (PICTURES / f"{name}.svg").write_bytes(picture.encode())
        print(f"{PICTURES.name}/{name}.svg  {written:,} bytes", file=sys.stderr)


def _shown(words: list[str], environment: Mapping[str, str]) -> str:
    with CapturedScreen(words, width=WIDTH, height=HEIGHT, environment=environment) as screen:
        code = screen.wait_for_end(300)
        assert code == 0, screen.text()
        return screen.svg(title=" ".join(words))


if __name__ == "__main__":
    main()
