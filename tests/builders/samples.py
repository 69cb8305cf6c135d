"""The committed sample records, written by hand and never made again: what was once on a topic must stay readable."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SAMPLES = Path(__file__).parents[2] / "contracts" / "samples"


@dataclass(frozen=True)
class Sample:
    """One record as it stood on its topic."""

    name: str
    type: str
    topic: str
    key: bytes
    headers: list[tuple[str, bytes]]
    value: dict[str, Any]

    @property
    def value_bytes(self) -> bytes:
        """The value as a record carries it."""
        return json.dumps(self.value, ensure_ascii=False, separators=(",", ":")).encode()

    @property
    def from_newer_writer(self) -> bool:
        """Whether it has fields that this version does not know."""
        return self.name.startswith("newer-writer")


def read_samples() -> list[Sample]:
    """Return every committed sample, ordered by type and name."""
    return [_read(path) for path in sorted(SAMPLES.glob("*/*.json"))]


def _read(path: Path) -> Sample:
    written = json.loads(path.read_text(encoding="utf-8"))
    return Sample(
        name=path.stem,
        type=path.parent.name,
        topic=written["topic"],
        key=written["key"].encode(),
        headers=[(name, text.encode()) for name, text in written["headers"].items()],
        value=written["value"],
    )
