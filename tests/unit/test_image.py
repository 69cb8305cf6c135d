"""The definition of the image: what a linter says of it, and whether what it copies and leaves out is there."""

import re
import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from infra.deployment.write_secrets import OURS
from tests.builders.compose import ROOT

DEFINITION = ROOT / "infra" / "Containerfile"
#: Its instructions, those of several lines as one.
TEXT = DEFINITION.read_text("utf-8").replace("\\\n", " ")


def copied() -> list[str]:
    """What comes from the folder of the project."""
    lines = [line.split() for line in TEXT.splitlines() if line.startswith("COPY ") and "--from=" not in line]
    return [source for _, *sources, _ in lines for source in sources]


def context() -> set[str]:
    """What .dockerignore lets through at the top of the project."""
    lines = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    assert "*" in lines
    return {line.removeprefix("!") for line in lines if line.startswith("!")}


def installed_for(names: Iterable[str]) -> set[str]:
    """What is installed with these packages, themselves included, as their own metadata says."""
    found: set[str] = set()
    waiting = [canonicalize_name(name) for name in names]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        try:
            needed = [Requirement(text) for text in requires(name) or ()]
        except PackageNotFoundError:  # of another system
            continue
        found.add(name)
        waiting += [
            canonicalize_name(each.name)
            for each in needed
            if each.marker is None or any(each.marker.evaluate({"extra": extra}) for extra in ("", *_extras(name)))
        ]
    return found


def _extras(name: str) -> tuple[str, ...]:
    # Ours, and those that the requirements in pyproject.toml name.
    return {"cash-flow": ("traces",), "faststream": ("kafka",), "sqlalchemy": ("asyncio",)}.get(name, ())


def test_the_linter_finds_nothing() -> None:
    program = Path(sys.executable).parent / "hadolint"

    ended = subprocess.run([program, "--no-color", DEFINITION], capture_output=True, text=True, check=False)

    assert (ended.returncode, ended.stdout) == (0, "")


def test_what_it_copies_is_in_the_project_and_in_the_context() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    tops = {path.partition("/")[0] for path in listed}

    assert set(copied()) <= tops
    assert set(copied()) == context()


def test_everything_that_the_wheel_has_is_copied() -> None:
    packages = re.search(r"^packages = \[(.*)\]$", (ROOT / "pyproject.toml").read_text("utf-8"), re.MULTILINE)

    assert packages
    assert set(re.findall(r'"(\w+)"', packages[1])) <= set(copied())


def test_what_only_the_build_needs_leaves_again() -> None:
    uninstalled = re.search(r"pip uninstall --yes ([\w -]+?) +&&", TEXT)

    assert uninstalled
    assert set(uninstalled[1].split()) == installed_for(["editables", "hatchling"]) - installed_for(["cash-flow"])


def test_it_is_no_root_and_the_secrets_are_its_own() -> None:
    assert re.findall("^USER (.*)$", TEXT, re.MULTILINE) == [f"{OURS}:{OURS}"]


def test_every_package_is_checked_against_its_hash() -> None:
    installs = re.findall(r"pip install [^&\n]*", TEXT)

    assert installs
    assert all("--require-hashes --only-binary :all:" in one or "--no-deps --no-index" in one for one in installs)
