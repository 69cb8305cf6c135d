"""The report of a run over Kafka: whole, right, and a page that needs nothing from anywhere."""

import json
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from cli.simulation.accounting import Counts, Verdict
from cli.simulation.following import Sample
from cli.simulation.highest_rate import Attempt
from cli.simulation.kafka_document import as_document
from cli.simulation.kafka_options import KafkaOptions
from cli.simulation.kafka_run import Result, run
from cli.simulation.kafka_summary import show_summary
from cli.simulation.report import as_html, as_json, check_files, write_reports
from cli.simulation.schedules import Schedule
from cli.simulation.sending import Stage
from cli.terminal.output import ExitCode, Failure


def a_result(**changes: Any) -> Result:
    """Return a run of ten seconds at ten events per second, of which some were refused or became dead letters."""
    places = range(100)
    schedule = Schedule([place / 10 for place in places], [0] * 100, bytearray(100), [1] * 100, [1] * 100, bytes(100))
    stage = Stage(10, schedule, first=0, began=1000, ended=1009.9, sent=100)
    for place in places:
        stage.recorded(place, 1000 + place / 10 + 0.05)
        stage.starts.record(0.001)
    samples = [Sample(1000 + at / 10, at, at, max(0, at - 1), min(at, 1), 2) for at in range(101)]
    counts = Counts(sent=100, recorded=95, repeats=1, refused=1, dead=3)
    counts.refusals["amount_too_large"] = 1
    counts.dead_letters["malformed: <script>alert('& more')</script>"] = 3
    fields: dict[str, Any] = {
        "options": KafkaOptions(seed="a-seed", rate=10.0, duration_s=10.0),
        "started_at": datetime(2026, 11, 28, 12, tzinfo=UTC),
        "verdict": Verdict(counts, [], 0),
        "samples": samples,
        "stage": stage,
    }
    return Result(**fields | changes)


class Page(HTMLParser):
    """What of a page would run, or be fetched from somewhere."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.fetched: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.fetched += [f"{tag} {name}" for name, _ in attrs if name in ("src", "href", "xlink:href", "srcset")]
        self.fetched += [f"{tag} {name}" for name, _ in attrs if name.startswith("on")]


def test_a_document_has_the_speed_of_the_run() -> None:
    document = as_document(a_result())

    assert document["throughput"]["produced_per_s"] == 10
    assert document["throughput"]["wanted_per_s"] == 10
    assert document["throughput"]["waiting_at_most"] == 1
    assert document["latency_ms"]["p50"] == pytest.approx(50, rel=0.01)
    assert document["late_start_ms"]["max"] == 1
    assert document["ends"]["refused_by_code"] == {"amount_too_large": 1}
    assert document["verdict"]["all_accounted_for"] is True
    assert document["parameters"]["seed"] == "a-seed"


def test_a_long_course_is_kept_in_few_points() -> None:
    samples = [Sample(at / 10, at, at, at, 0, None) for at in range(36_000)]
    course = as_document(a_result(samples=samples))["course"]

    assert len(course) <= 600
    assert course[-1]["sent"] == 35_999


def test_the_json_report_is_the_document() -> None:
    document = as_document(a_result())

    assert json.loads(as_json(document)) == document


def test_the_page_runs_nothing_and_fetches_nothing() -> None:
    text = as_html(as_document(a_result()))
    page = Page(text)

    assert page.tags.count("svg") == 3
    assert "script" not in page.tags
    assert page.fetched == []
    assert set(re.findall(r"https?://[^\s\"'<)]+", text)) == {"http://www.w3.org/2000/svg"}
    assert "@import" not in text
    assert "url(" not in text


def test_the_page_shows_foreign_text_as_text() -> None:
    text = as_html(as_document(a_result()))

    assert "malformed: &lt;script&gt;alert(&#x27;&amp; more&#x27;)&lt;/script&gt;" in text


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        pytest.param({}, "Every event is accounted for exactly once.", id="good"),
        pytest.param(
            {"verdict": Verdict(Counts(sent=1, open=1), ["event 3 (plain) was accepted and met no end"], 1)},
            "event 3 (plain) was accepted and met no end",
            id="bad",
        ),
        pytest.param({"verdict": None, "stage": None, "samples": []}, "Nothing was sent.", id="nothing sent"),
        pytest.param({"stopped": True}, "It was stopped by hand.", id="interrupted"),
        pytest.param({"why_over": "Kafka took no more events"}, "Kafka took no more events", id="given up"),
        pytest.param(
            {
                "options": KafkaOptions(seed="a", rate=None),
                "attempts": [Attempt(900, 8, 0.1, 0, 0, None), Attempt(850, 60, 0.2, 0, 0, None)],
                "holds": True,
            },
            "850/s",
            id="the highest rate",
        ),
    ],
)
def test_page_and_summary_say_how_it_went(
    changes: dict[str, Any], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    document = as_document(a_result(**changes))
    show_summary(document)

    assert says in as_html(document)
    assert capsys.readouterr().out


def test_the_summary_names_each_difference_and_ends_with_the_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    verdict = Verdict(Counts(sent=1, open=1), ["event 3 (plain) was accepted and met no end"], 1)
    show_summary(as_document(a_result(verdict=verdict)))

    lines = capsys.readouterr().out.splitlines()
    assert lines[-2:] == ["- event 3 (plain) was accepted and met no end", "Verdict: 1 not as they should be."]


@pytest.mark.parametrize("file", ["run.txt", "run", "nowhere/run.json", "folder.json"])
def test_a_report_that_cannot_be_written_is_refused_before_anything_begins(file: str, tmp_path: Path) -> None:
    (tmp_path / "folder.json").mkdir()

    with pytest.raises(Failure) as refused:
        check_files([tmp_path / file])
    assert refused.value.code == ExitCode.USAGE


def test_reports_are_written_whole_over_what_was_there(tmp_path: Path) -> None:
    files = [tmp_path / "run.json", tmp_path / "run.html"]
    files[0].write_text("something older, and longer than what comes")
    write_reports(files, as_document(a_result()))

    assert json.loads(files[0].read_text())["simulator"] == "kafka"
    assert files[1].read_text().endswith("</html>\n")
    assert sorted(tmp_path.iterdir()) == sorted(files)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (KafkaOptions(seed="a", rate=50_000, duration_s=3600), "more than 5,000,000 events"),
        (KafkaOptions(seed="a", rate=0.1, duration_s=1), "no event falls into the duration"),
        (KafkaOptions(seed="a", rate=None, duration_s=600), "held for 120 s at most"),
        (KafkaOptions(seed="a", ledgers=100_000), "more than 5,000 ledgers"),
    ],
)
def test_a_run_that_cannot_be_done_is_refused_before_anything_begins(options: KafkaOptions, says: str) -> None:
    nowhere: Any = None

    with pytest.raises(Failure, match=says):
        run(options, nowhere)
