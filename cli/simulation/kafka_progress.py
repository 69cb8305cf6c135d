"""How a run over Kafka goes, on stderr: figures and a chart at a terminal, a line every few seconds anywhere else."""

import contextlib
import time
from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from cli.simulation.charts import chart
from cli.simulation.following import Sample
from cli.simulation.kafka_run import Progress, Tell
from cli.simulation.progress import in_ms
from cli.terminal.output import Output, note, printable

_LINE_EVERY_S = 5.0
_DRAW_EVERY_S = 0.25
#: What is drawn of the lag: the last so many seconds, in so many lines.
_CHART_S = 60.0
_CHART_LINES = 4
_RATE_OVER_S = 2.0


@contextlib.contextmanager
def showing() -> Iterator[Tell]:
    """Lend a function that shows how a run goes; what it drew at a terminal is gone after the block."""
    output = Output(stderr=True)
    if not output.is_terminal or output.is_dumb_terminal:
        yield _Lines().tell
        return
    picture = _Picture(output)
    with Live(console=output, auto_refresh=False, transient=True, get_renderable=picture.render) as live:
        drawn_at = 0.0

        def tell(words: str, progress: Progress | None) -> None:
            nonlocal drawn_at
            picture.words, picture.progress = words, progress
            if time.monotonic() - drawn_at > _DRAW_EVERY_S or progress is None:
                drawn_at = time.monotonic()
                live.refresh()

        yield tell


class _Picture:
    def __init__(self, output: Output) -> None:
        self._output = output
        self.words = ""
        self.progress: Progress | None = None

    def render(self) -> RenderableType:
        """Return what is to be drawn now."""
        words = Text(printable(self.words), overflow="ellipsis", no_wrap=True)
        progress = self.progress
        if progress is None or not progress.samples:
            return words
        stage, samples = progress.stage, progress.samples
        shown = [each for each in samples if each.at >= samples[-1].at - _CHART_S]
        lines = chart(
            [each.waiting for each in shown],
            width=self._output.width,
            height=_CHART_LINES,
            seconds=shown[-1].at - shown[0].at,
            plain=not self._output.encoding.startswith("utf"),
        )
        # Alone, a bar has no end of its line.
        bar = Table.grid(expand=True)
        bar.add_row(ProgressBar(total=max(1, len(stage.schedule)), completed=stage.sent))
        return Group(
            words,
            bar,
            *(Text(each) for each in figures_of(progress)),
            Text("Sent and not recorded yet:", style="dim"),
            *(Text(line, no_wrap=True, overflow="crop") for line in lines),
        )


class _Lines:
    def __init__(self) -> None:
        self._told_at = time.monotonic()
        self._has_begun = False

    def tell(self, words: str, progress: Progress | None) -> None:
        """Say how it goes when the first events are recorded, and again where some time has passed."""
        now = time.monotonic()
        has_begun = progress is not None and progress.stage.latencies.count > 0
        if now < self._told_at + _LINE_EVERY_S and self._has_begun == has_begun:
            return
        self._told_at, self._has_begun = now, has_begun
        has_figures = progress is not None and progress.samples
        note(f"{words}: {', '.join(figures_of(progress))}" if progress and has_figures else words)


def figures_of(progress: Progress) -> Sequence[str]:
    """Return the newest figures of a run, in two lines."""
    stage, samples = progress.stage, progress.samples
    newest = samples[-1]
    before = next((each for each in reversed(samples) if newest.at - each.at >= _RATE_OVER_S), samples[0])
    behind = "" if newest.behind is None else f", {newest.behind:,} not taken yet"
    latencies = [f"{name} {in_ms(took)}" for name, took in _latencies_of(progress)]
    return (
        f"sent {stage.sent:,} of {len(stage.schedule):,} ({_rate(before, newest, 'accepted'):,.0f}/s), "
        f"recorded {newest.recorded:,} ({_rate(before, newest, 'recorded'):,.0f}/s)",
        f"waiting {newest.waiting:,}{behind}{', ' if latencies else ''}{' '.join(latencies)}",
    )


def _latencies_of(progress: Progress) -> Iterator[tuple[str, float]]:
    for name, percent in (("p50", 50.0), ("p99", 99.0)):
        if (took := progress.stage.latencies.percentile(percent)) is not None:
            yield name, took


def _rate(before: Sample, after: Sample, what: str) -> float:
    seconds = after.at - before.at
    return (getattr(after, what) - getattr(before, what)) / seconds if seconds else 0.0
