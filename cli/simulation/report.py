"""The report of a run as a file: JSON, or one HTML page that needs nothing from anywhere."""

import importlib
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from cli.terminal.output import ExitCode, fail
from cli.terminal.whole_files import refuse_in_the_way, whole_file

_ENDINGS = (".json", ".html")
_COLOURS = ("#1f5fbf", "#1d7a46", "#b3372f")
_WIDTH, _HEIGHT = 900, 280
_Points = Sequence[tuple[float, float | None]]

_STYLE = """
:root { color-scheme: light; --line: #8884; --dim: #666; --good: #1d7a46; --bad: #b3372f; }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 62rem; padding: 1.5rem 1rem 4rem; color: #111; }
h1 { margin: 0; font-size: 1.7rem; }
h2 { margin: 2rem 0 .5rem; font-size: 1.2rem; }
p { margin: .3rem 0; }
.dim { color: var(--dim); }
.verdict { border-left: 6px solid var(--good); padding: .5rem 1rem; margin: 1rem 0; background: #0001; }
.verdict.bad { border-color: var(--bad); }
table { border-collapse: collapse; }
td, th { text-align: left; vertical-align: top; padding: .25rem 1.5rem .25rem 0; border-bottom: 1px solid var(--line); }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
th { font-weight: 600; color: var(--dim); font-size: .85rem; }
svg { max-width: 100%; height: auto; display: block; }
""".strip()


def check_files(files: Iterable[Path]) -> None:
    """Refuse, before anything begins, a report that could not be written at the end."""
    for file in files:
        if file.suffix not in _ENDINGS:
            fail(f"a report is a .json or an .html file, and '{file}' is neither; rename it", ExitCode.USAGE)
        refuse_in_the_way(file, replace=True)
        if file.suffix == ".html":
            _pygal()


def write_reports(files: Iterable[Path], document: Mapping[str, Any]) -> None:
    """Write reports, each whole or not at all."""
    for file in files:
        text = as_html(document) if file.suffix == ".html" else as_json(document)
        with whole_file(file, replace=True) as written:
            written.write(text.encode())


def as_json(document: Mapping[str, Any]) -> str:
    """Return a report as JSON."""
    return json.dumps(document, indent=2) + "\n"


def as_html(document: Mapping[str, Any]) -> str:
    """Return a report as a page with its charts in it; it runs no script and loads nothing."""
    parameters, machine = document["parameters"], document["machine"]
    title = f"{parameters['topic']}: {_in_words(parameters)}"
    memory = f"{machine['memory_gib']:.0f} GiB" if machine["memory_gib"] else ""
    of_machine = [f"{machine['cores']} cores", memory, machine["processor"], machine["system"]]
    of_machine.append(f"Python {machine['python']}")
    sections = [
        _verdict(document),
        _table("Speed", _speed(document)),
        _rates_chart(document["course"]),
        _lag_chart(document["course"]),
        _table("From the moment an event was to be sent to its entry in the journal", _latencies(document)),
        _latency_chart(document["latency_curve"]),
        _table("How the events ended", _ends(document)),
        _attempts(document),
        _table("Parameters", list(parameters.items())),
    ]
    body = "\n".join(filter(None, sections))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"<title>{escape(title)}</title>\n<style>\n{_STYLE}\n</style>\n</head>\n<body>\n"
        f'<h1>{escape(title)}</h1>\n<p class="dim">cash sim --via kafka, {escape(document["started_at"])}; '
        f"{escape(', '.join(filter(None, of_machine)))}; the generator on the same machine</p>\n"
        f"{body}\n</body>\n</html>\n"
    )


def _in_words(parameters: Mapping[str, Any]) -> str:
    rate = parameters["rate"]
    speed = "the highest rate that is held" if rate == "max" else f"{rate:,g} events per second"
    return f"{speed}, {parameters['shape']}, {parameters['duration_s']:g} s, {parameters['ledgers']} ledgers"


def _verdict(document: Mapping[str, Any]) -> str:
    verdict = document["verdict"]
    if verdict is None:
        return '<p class="verdict bad">Nothing was sent.</p>'
    notes = [f"It ended before its time: {document['ended_because']}."] if document["ended_because"] else []
    if document["interrupted"]:
        notes.append("It was stopped by hand.")
    below = "".join(f"<p>{escape(note)}</p>\n" for note in [*notes, *verdict["told"]])
    if verdict["all_accounted_for"]:
        return f'<p class="verdict">Every event is accounted for exactly once.</p>\n{below}'
    return f'<p class="verdict bad">Not accounted for: {verdict["problems"]:,}.</p>\n{below}'


def _speed(document: Mapping[str, Any]) -> list[tuple[str, object]]:
    throughput, highest = document["throughput"], document["highest_rate"]
    if throughput is None:
        return []
    rows: list[tuple[str, object]] = []
    if highest and highest["held_per_s"]:
        rows.append(("highest rate with a flat lag", f"{highest['held_per_s']:,.0f}/s"))
    rows += [
        ("produced", f"{throughput['produced_per_s']:,.0f}/s in {throughput['sending_s']:.1f} s"),
        ("recorded", f"{throughput['recorded_per_s']:,.0f}/s in {throughput['recording_s']:.1f} s"),
        ("waiting to be recorded, at most", f"{throughput['waiting_at_most']:,}"),
        ("not taken by the consumer, at most", f"{throughput['not_taken_at_most']:,}"),
    ]
    late = document["late_start_ms"]
    if late and late["max"] is not None:
        rows.append(
            (
                "the generator's own lateness",
                f"p50 {late['p50']:.1f} ms, p99 {late['p99']:.1f} ms, max {late['max']:.1f} ms",
            )
        )
    return rows


def _latencies(document: Mapping[str, Any]) -> list[tuple[str, object]]:
    return [(name, f"{ms:,.1f} ms") for name, ms in (document["latency_ms"] or {}).items() if ms is not None]


def _ends(document: Mapping[str, Any]) -> list[tuple[str, object]]:
    ends = document["ends"] or {}
    rows: list[tuple[str, object]] = []
    for name, value in ends.items():
        if isinstance(value, Mapping):
            rows += [(f"… {why}", f"{count:,}") for why, count in value.items()]
        else:
            rows.append((name.replace("_", " "), f"{value:,}"))
    return rows


def _attempts(document: Mapping[str, Any]) -> str:
    highest = document["highest_rate"]
    if not highest:
        return ""
    return _table(
        "Rates that were tried",
        [
            (f"{each['rate']:,.0f}/s for {each['seconds']:.0f} s", "held" if each["held"] else each["why_not"])
            for each in highest["attempts"]
        ],
    )


def _table(title: str, rows: Sequence[tuple[str, object]]) -> str:
    if not rows:
        return ""
    lines = "\n".join(
        f'<tr><td>{escape(str(name))}</td><td class="number">{escape(str(value))}</td></tr>' for name, value in rows
    )
    return f"<h2>{escape(title)}</h2>\n<table>\n{lines}\n</table>"


def _rates_chart(course: Sequence[Mapping[str, Any]]) -> str:
    def per_second(name: str) -> _Points:
        return [
            (after["at_s"], (after[name] - before[name]) / (after["at_s"] - before["at_s"]))
            for before, after in pairwise(_seconds(course))
        ]

    return _chart("Events per second", {"sent": per_second("sent"), "recorded": per_second("recorded")}, x="seconds")


def _seconds(course: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return points at least a second apart: rates of less are noise."""
    kept: list[Mapping[str, Any]] = []
    for point in course:
        if not kept or point["at_s"] - kept[-1]["at_s"] >= 1:
            kept.append(point)
    return kept


def _lag_chart(course: Sequence[Mapping[str, Any]]) -> str:
    def points(name: str) -> _Points:
        return [(each["at_s"], each[name]) for each in course]

    lines = {"sent and not recorded": points("waiting"), "not taken by the consumer": points("not_taken")}
    return _chart("Lag, in events", lines, x="seconds")


def _latency_chart(curve: Sequence[Mapping[str, float]]) -> str:
    # The k-th step halves what is left above: the usual scale, on which 99.9 % has as much room as 90 %.
    points = [(float(step), each["ms"]) for step, each in enumerate(curve)]
    labels = {float(step): f"{each['percent']:.4g} %" for step, each in enumerate(curve) if step % 5 == 0}
    return _chart("Milliseconds by percentile", {"latency": points}, x="", labels=labels)


def _chart(title: str, lines: Mapping[str, _Points], *, x: str, labels: Mapping[float, str] | None = None) -> str:
    if not any(len(points) > 1 for points in lines.values()):
        return ""
    pygal = _pygal()
    style = importlib.import_module("pygal.style").Style(
        font_family="sans-serif", background="#ffffff", plot_background="#ffffff", colors=_COLOURS, stroke_width="2"
    )
    drawn = pygal.XY(
        title=title,
        x_title=x,
        width=_WIDTH,
        height=_HEIGHT,
        style=style,
        show_dots=False,
        legend_at_bottom=True,
        truncate_legend=-1,
        include_x_axis=True,
        margin=10,
        js=[],
        disable_xml_declaration=True,
    )
    if labels:
        drawn.x_labels = list(labels)
        drawn.x_value_formatter = lambda value: labels.get(value, "")
    for name, points in lines.items():
        drawn.add(name, [point for point in points if point[1] is not None])
    return _without_script(drawn.render_tree())


def _without_script(svg: Any) -> str:
    """Return a drawing without what it would run or name on the network."""
    for parent in list(svg.iter()):
        for child in list(parent):
            if child.tag == "script" or not isinstance(child.tag, str):
                parent.remove(child)
    return ET.tostring(svg, encoding="unicode")


def _pygal() -> Any:
    try:
        pygal = importlib.import_module("pygal")
    except ImportError:
        fail("an HTML report needs pygal; install it with `pip install 'cash-flow[simulator]'`")
    # It looks for plug-ins with maps in a way that Python warns of, at whatever is imported from then on.
    sys.meta_path[:] = [finder for finder in sys.meta_path if not type(finder).__module__.startswith("pygal")]
    return pygal
