"""Rules and dashboards: each tells of metrics that there are, by labels that they have, and each alert is explained."""

import importlib
import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from prometheus_client import REGISTRY

PROJECT = Path(__file__).parents[2]
OBSERVABILITY = PROJECT / "infra" / "observability"
PROMETHEUS = OBSERVABILITY / "prometheus"
RULES = sorted((PROMETHEUS / "rules").glob("*.yaml"))
RULE_TESTS = sorted((PROMETHEUS / "tests").glob("*.yaml"))
DASHBOARDS = sorted((OBSERVABILITY / "grafana" / "dashboards").glob("*.json"))
#: What Prometheus itself puts on everything that it collects, and `process`, which prometheus.yml puts there.
OF_THE_TARGET = {"job", "instance", "process"}
#: What Prometheus and the client library tell besides us.
FOREIGN = {
    "up": set[str](),
    "ALERTS": {"alertname", "alertstate", "severity"},
    "process_resident_memory_bytes": set[str](),
    "process_cpu_seconds_total": set[str](),
}


@dataclass(frozen=True)
class Metric:
    """A metric of ours: its name as it is declared and shown, its kind, its labels, and what it says of itself."""

    name: str
    kind: str
    labels: tuple[str, ...]
    help: str

    def series(self) -> dict[str, set[str]]:
        """Return the names that can be asked for, each with its labels."""
        labels = set(self.labels)
        if self.kind == "histogram":
            return {f"{self.name}_bucket": labels | {"le"}, f"{self.name}_sum": labels, f"{self.name}_count": labels}
        return {self.name: labels}

    def row(self) -> str:
        """Return its line in docs/observability.md."""
        labels = ", ".join(f"`{label}`" for label in self.labels)
        return f"| `{self.name}` | {self.kind} | {labels} | {self.help} |"


@cache
def metrics() -> dict[str, Metric]:
    """Return every metric of ours that some process has, by name; every module that declares one is loaded."""
    for room in ("gateway", "consumers", "infra"):
        for file in (PROJECT / room).rglob("*.py"):
            if "local" not in file.parts and "prometheus_client" in file.read_text("utf-8"):
                importlib.import_module(".".join(file.relative_to(PROJECT).with_suffix("").parts))
    found: dict[str, Metric] = {}
    for collector in list(REGISTRY._collector_to_names):
        for family in getattr(collector, "describe", list)():
            if not family.name.startswith("cash_"):
                continue
            suffix = {"counter": "_total", "info": "_info"}.get(family.type, "")
            labels = tuple(getattr(collector, "_labelnames", ())) or tuple(getattr(family, "_labelnames", ()))
            name = f"{family.name}{suffix}"
            found[name] = Metric(
                name, family.type, ("version",) if family.type == "info" else labels, family.documentation
            )
    # The mailbox is no process of a deployment.
    return {name: metric for name, metric in sorted(found.items()) if not name.startswith("cash_mailbox")}


@cache
def read_yaml(file: Path) -> Any:
    return yaml.safe_load(file.read_text("utf-8"))


def rules() -> Iterator[dict[str, Any]]:
    for file in RULES:
        for group in read_yaml(file)["groups"]:
            yield from group["rules"]


ALERTS = {rule["alert"]: rule for rule in rules() if "alert" in rule}


def known_series() -> dict[str, set[str]]:
    """Return every series that may be asked for, with its labels."""
    recorded = {rule["record"]: set(rule["labels"]) for rule in rules() if "record" in rule}
    ours = {name: labels for metric in metrics().values() for name, labels in metric.series().items()}
    return {**FOREIGN, **ours, **recorded}


def panels() -> Iterator[tuple[str, dict[str, Any]]]:
    for file in DASHBOARDS:
        for panel in json.loads(file.read_text("utf-8"))["panels"]:
            yield file.stem, panel


def expressions() -> Iterator[tuple[str, str]]:
    for rule in rules():
        yield rule.get("alert") or rule["record"], rule["expr"]
    for board, panel in panels():
        for target in panel.get("targets", ()):
            yield f"{board}: {panel['title']}", target["expr"]


def test_there_are_metrics_rules_and_dashboards() -> None:
    assert len(metrics()) > 30
    assert len(ALERTS) > 20
    assert len(DASHBOARDS) == 3


def test_metrics_are_named_as_prometheus_advises() -> None:
    for metric in metrics().values():
        assert re.fullmatch(r"cash_[a-z_]+", metric.name)
        assert metric.help.endswith("."), metric.name
        assert not {"job", "instance", "process"} & set(metric.labels), f"{metric.name}: a label of the target's"
        if metric.kind == "histogram":
            assert metric.name.endswith(("_seconds", "_records")), metric.name


def test_every_expression_asks_for_what_there_is() -> None:
    series = known_series()
    wrong = [f"{where}: {problem}" for where, asked in expressions() for problem in problems_of(asked, series)]

    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("sum(rate(cash_nothing_total[5m]))", "there is no cash_nothing_total"),
        ('cash_relay_active{topic="x"}', "cash_relay_active has no label topic"),
        ("sum by (topic) (cash_relay_active)", "there is no label topic to sum by"),
    ],
)
def test_what_there_is_not_is_found(expression: str, problem: str) -> None:
    assert problems_of(expression, known_series()) == [problem]


def problems_of(expression: str, series: Mapping[str, set[str]]) -> list[str]:
    """Return what an expression asks for that there is not."""
    problems: list[str] = []
    labels: set[str] = set()

    def look(node: promql_parser.Expr) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            own = series.get(node.name or "", set()) | OF_THE_TARGET
            labels.update(own)
            if node.name not in series:
                problems.append(f"there is no {node.name}")
            strange = [matcher.name for matcher in node.matchers.matchers if matcher.name not in own]
            problems.extend(f"{node.name} has no label {name}" for name in strange)
        if isinstance(node, promql_parser.Call) and node.func.name == "label_replace":
            labels.add(node.args[1].val)  # its new label

    def look_up(node: promql_parser.Expr) -> None:
        if isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
            problems.extend(
                f"there is no label {label} to sum by" for label in node.modifier.labels if label not in labels
            )

    parsed = promql_parser.parse(expression)
    promql_parser.walk(parsed, look)
    promql_parser.walk(parsed, look_up)
    return problems


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_how_bad_it_is_what_it_means_and_what_to_do(name: str) -> None:
    alert = ALERTS[name]

    assert alert["labels"]["severity"] in ("page", "ticket")
    assert set(alert["annotations"]) == {"summary", "description", "runbook_url"}
    assert alert["annotations"]["runbook_url"] == f"docs/operations.md#{name.lower()}"
    operations = (PROJECT / "docs" / "operations.md").read_text("utf-8")
    assert re.search(rf"^#+ {name}$", operations, re.MULTILINE), f"docs/operations.md has no section {name}"
    # What it shows of a series is there to be shown.
    labels = set().union(*known_series().values()) | OF_THE_TARGET
    shown = re.findall(r"\$labels\.(\w+)", " ".join(alert["annotations"].values()))
    assert set(shown) <= labels


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_is_tested_to_be_told_and_to_be_silent(name: str) -> None:
    told = silent = False
    for file in RULE_TESTS:
        for case in read_yaml(file)["tests"]:
            for check in case["promql_expr_test"]:
                if f'alertname="{name}"' in check["expr"]:
                    told = told or bool(check["exp_samples"])
                    silent = silent or not check["exp_samples"]

    # Of a process that is not there nothing else can be said; that one is there is said by the healthy system.
    assert told
    assert silent or name == "CashProcessMissing"


@pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed (Debian: apt install prometheus)"
)
def test_the_rules_do_what_their_tests_say() -> None:
    checks: list[list[str | Path]] = [["check", "rules", *RULES], ["test", "rules", *RULE_TESTS]]
    checks.append(["check", "config", "--syntax-only", PROMETHEUS / "prometheus.yml"])
    for check in checks:
        ran = subprocess.run(["promtool", *check], capture_output=True, text=True, timeout=100, check=False)
        assert ran.returncode == 0, ran.stdout + ran.stderr


def test_prometheus_collects_from_every_process() -> None:
    (job,) = read_yaml(PROMETHEUS / "prometheus.yml")["scrape_configs"]
    names = [name for name in job["dns_sd_configs"][0]["names"] if not name.endswith("-more")]
    missing = re.findall(r'process="([a-z-]+)"', ALERTS["CashProcessMissing"]["expr"])

    assert names == missing
    assert {"gateway", "ledger-consumer-bulk", "celery-beat"} <= set(names)


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.stem)
def test_a_dashboard_can_be_read(file: Path) -> None:
    board = json.loads(file.read_text("utf-8"))
    assert board["uid"] == f"cash-flow-{file.stem}"
    assert [variable["name"] for variable in board["templating"]["list"]] == ["datasource"]
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, f"{panel['title']} lies on another panel"
        taken |= cells
        if panel["type"] != "row":
            assert panel["description"].endswith(".")
            assert panel["fieldConfig"]["defaults"]["unit"]
            assert panel["datasource"]["uid"] == "${datasource}"
            assert panel["targets"]


def test_every_metric_is_drawn_or_watched() -> None:
    asked = " ".join(expression for _, expression in expressions())

    forgotten = [name for name, metric in metrics().items() if not any(each in asked for each in metric.series())]
    assert not forgotten, "for whom are they?"


def test_the_docs_list_every_metric() -> None:
    page = (PROJECT / "docs" / "observability.md").read_text("utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| `cash_")]
    expected = [metric.row() for metric in metrics().values()]

    assert rows == expected, "docs/observability.md lists:\n" + "\n".join(expected)
