"""How far a run is, on stderr: bars at a terminal, a line every few seconds anywhere else."""

import contextlib
import time
from collections.abc import Callable, Iterator

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.text import Text

from cli.preferences import is_verbose
from cli.simulation.tally import Step, Tally
from cli.terminal.output import Output, note, printable

_LINE_EVERY_S = 5.0
#: What is shown, called again and again with why it does not go on, or ``None``.
Show = Callable[[str | None], None]


@contextlib.contextmanager
def showing(tally: Tally) -> Iterator[Show]:
    """Lend a function that shows how far it is; what it drew at a terminal is gone after the block."""
    output = Output(stderr=True)
    # The line that --verbose prints for each request would break the bars.
    if not output.is_terminal or output.is_dumb_terminal or is_verbose():
        yield _Lines(tally).show
        return
    bars = _Bars(tally)
    # Nobody but the caller draws: an error in a thread of Rich's own would be nobody's.
    with Live(console=output, auto_refresh=False, transient=True, get_renderable=bars.render) as live:

        def show(why: str | None) -> None:
            bars.why = why
            live.refresh()

        yield show


class _Bars:
    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self.why: str | None = None
        self._bars = Progress(
            TextColumn("{task.description}"), BarColumn(bar_width=None), MofNCompleteColumn(), expand=True
        )
        self._tasks: dict[Step, TaskID] = {
            step: self._bars.add_task(step.capitalize(), total=tally.planned[step]) for step in Step
        }

    def render(self) -> RenderableType:
        """Return what is to be drawn now."""
        for step, task in self._tasks.items():
            self._bars.update(task, completed=self._tally.done(step), total=self._tally.planned[step])
        below = [Text(_figures(self._tally))]
        if self.why:
            below.append(Text(printable(self.why), style="yellow"))
        # The last line is empty: the terminal writes ^C there, and would break a full one.
        return Group(self._bars.get_renderable(), *below, Text())


class _Lines:
    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._shown_at = time.monotonic()
        self._shown = ""

    def show(self, why: str | None) -> None:
        """Say how far it is, where some time has passed and something has changed."""
        now = time.monotonic()
        if now < self._shown_at + _LINE_EVERY_S:
            return
        steps = [f"{step} {self._tally.done(step)}/{self._tally.planned[step]}" for step in Step]
        line = ", ".join(filter(None, (*steps, _figures(self._tally, ", "), why)))
        self._shown_at = now
        if line != self._shown:
            self._shown = line
            note(line)


def _figures(tally: Tally, between: str = " · ") -> str:
    recording = tally.latencies[Step.RECORDED]
    figures = [f"errors {tally.errors}", f"{tally.present_rate:.0f}/s"]
    for name, percent in (("p50", 50), ("p99", 99)):
        took = recording.percentile(percent)
        if took is not None:
            figures.append(f"{name} {in_ms(took)}")
    return between.join(figures)


def in_ms(milliseconds: float) -> str:
    """Return how long something took, for people."""
    return f"{milliseconds:.0f} ms" if milliseconds < 9_999.5 else f"{milliseconds / 1000:.1f} s"
