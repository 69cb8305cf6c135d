"""The Mermaid diagrams of the docs are well formed, as far as can be seen without the program that draws them.

It needs a browser. What goes wrong by hand is seen here: a bracket or quote that is left open, a word that Mermaid
keeps for itself, a block that has no end, a node that nobody gave a name.
"""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DIAGRAMS = [
    pytest.param(diagram, id=f"{page.relative_to(ROOT)}-{number}")
    for page in sorted([ROOT / "README.md", ROOT / "k8s" / "README.md", *(ROOT / "docs").glob("*.md")])
    for number, diagram in enumerate(
        re.findall(r"^```mermaid\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL), 1
    )
]
KINDS = {"flowchart", "erDiagram", "sequenceDiagram", "stateDiagram-v2"}
CLOSING = {"(": ")", "[": "]", "{": "}"}
#: An arrow between two nodes, with or without words on it.
_ARROW = re.compile(r"<?(?:--+|-\.+-?|==+)[>ox]?(?:\|[^|]*\|)?")


def problems_of(diagram: str) -> list[str]:
    """What is wrong with a diagram, a sentence each."""
    lines = [line.strip() for line in diagram.splitlines() if line.strip()]
    kind = lines[0].split()[0]
    problems = [] if kind in KINDS else [f"there is no kind of diagram {kind}"]
    if kind == "flowchart":
        problems += [found for line in lines[1:] for found in _wrong_in_flowchart(line)]
        if sum(line.startswith("subgraph") for line in lines) != lines.count("end"):
            problems.append("a subgraph has no end")
    if kind == "erDiagram" and sum(line.endswith(" {") for line in lines) != lines.count("}"):
        problems.append("an entity is not closed")
    return problems + [f"a quote is left open: {line}" for line in lines if line.count('"') % 2]


def _wrong_in_flowchart(line: str) -> list[str]:
    bare = re.sub(r'"[^"]*"', "text", line)
    opened = []
    for letter in _ARROW.sub(" ", bare):
        if letter in CLOSING:
            opened.append(CLOSING[letter])
        elif letter in CLOSING.values() and (not opened or opened.pop() != letter):
            return [f"brackets do not fit: {line}"]
    wrong = [f"a bracket is left open: {line}"] if opened else []
    if line != "end" and not line.startswith(("subgraph", "direction", "classDef", "class ", "style ")):
        nodes = [node.strip() for part in _ARROW.split(bare) for node in part.split("&")]
        wrong += [f"a node without a name: {line}" for node in nodes if not re.match(r"\w", node)]
        wrong += [f"a node called {node}: {line}" for node in nodes if re.match(r"(end|graph)\b", node)]
    return wrong


@pytest.mark.parametrize("diagram", DIAGRAMS)
def test_diagrams_are_well_formed(diagram: str) -> None:
    assert problems_of(diagram) == []


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("a --> [b", "bracket"),
        ('a["x] --> b', "quote"),
        ("a --> end", "called end"),
        ("a --> & b", "without a name"),
        ("subgraph x", "no end"),
    ],
)
def test_a_diagram_that_is_broken_is_noticed(line: str, says: str) -> None:
    assert any(says in problem for problem in problems_of(f"flowchart LR\n    {line}\n"))
