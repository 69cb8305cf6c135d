"""How soon the command line answers: ``python -m tests.bench.command_line`` runs each command some times and prints.

No server is asked: it is the time until a help page is printed, as the shell sees it, beside that of a bare Python.
"""

import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from infra.machine import load_average
from tests.bench.table import Row, Table

RUNS = 20
GOAL_MS = 300.0
COMMANDS: Sequence[tuple[str, ...]] = (
    ("--help",),
    ("--version",),
    ("tx", "--help"),
    ("whoami", "--help"),
    ("up", "--help"),
)


def measure(words: Sequence[str]) -> list[float]:
    """Return the milliseconds of each run of a command line, the shortest first."""
    taken = []
    for _ in range(RUNS):
        began = time.perf_counter()
        subprocess.run(words, stdout=subprocess.DEVNULL, check=True)
        taken.append((time.perf_counter() - began) * 1000)
    return sorted(taken)


def main() -> None:
    """Measure and print a table."""
    cash = str(Path(sys.executable).with_name("cash"))
    floor = statistics.median(measure([sys.executable, "-c", "pass"]))
    table = Table()
    for words in COMMANDS:
        taken = measure([cash, *words])
        median = statistics.median(taken)
        helps = words == ("--help",)
        table.add(
            Row(
                f"`cash {' '.join(words)}`",
                f"{median:.0f} ms ({taken[0]:.0f} to {taken[-1]:.0f})",
                f"{floor:.0f} ms (python -c pass)",
                goal=f"≤ {GOAL_MS:.0f} ms" if helps else "–",
                met=median <= GOAL_MS if helps else None,
            )
        )
    print(f"\n{RUNS} runs each, median (shortest to longest); load average {load_average()}\n\n{table.text()}")


if __name__ == "__main__":
    main()
