"""How long people waited after each kill until something was recorded again."""

from dataclasses import dataclass, field


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
