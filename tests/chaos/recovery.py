"""How long people waited after each kill until something was recorded again."""

from dataclasses import dataclass, field
from datetime import UTC, datetime


def seconds_since(moment: datetime) -> float:
    """Return how long ago a moment was."""
    return (datetime.now(UTC) - moment).total_seconds()


@dataclass
class Recoveries:
    """The figures of one run, in the order they were taken."""

    seconds: list[tuple[str, float]] = field(default_factory=list)

    def note(self, what: str, seconds: float) -> None:
        """Keep a figure."""
        self.seconds.append((what, seconds))

    def __str__(self) -> str:
        """Return a line per figure."""
        return "\n".join(f"{seconds:6.1f} s  {what}" for what, seconds in self.seconds)
