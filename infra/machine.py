"""What something was measured on: enough to compare two runs, nothing that says whose machine it is."""

import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine. ``cores`` are those this process may use, ``memory_gib`` is 0 where nobody says."""

    cores: int
    memory_gib: float
    processor: str
    system: str
    python: str

    def __str__(self) -> str:
        memory = f"{self.memory_gib:.0f} GiB, " if self.memory_gib else ""
        return f"{self.cores} cores, {memory}{self.processor}, {self.system}"


def this_machine() -> Machine:
    """Return the machine this runs on."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Machine(
        cores=cores,
        memory_gib=_memory_bytes() / 1024**3,
        processor=_processor(),
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
    )


def load_average() -> str:
    """Return how busy the machine is, as the system counts: 1, 5 and 15 minutes."""
    return " ".join(f"{each:.1f}" for each in os.getloadavg())


def _memory_bytes() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return 0


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists() and (model := re.search(r"^model name\s*:\s*(.+)$", information.read_text(), re.MULTILINE)):
        return model[1]
    return platform.processor() or "processor unknown"
