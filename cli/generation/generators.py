"""The ecosystem's generators of code from OpenAPI, in an environment of their own beside the downloads.

They need other versions of the libraries that ``cash`` itself is made of, and few people need them: so they are fetched
when they are first asked for, as the lock file says, each package checked against its hash.
"""

import hashlib
import importlib.util
import os
import shutil
import sys
import tempfile
import venv
from dataclasses import dataclass
from pathlib import Path

from cli.connection.programs import Answer, ask
from cli.terminal.output import ExitCode, fail, note
from infra.local.home import cache_folder, locked

LOCK = Path(__file__).with_name("requirements-generators.lock")
_INSTALL_WITHIN_S = 600.0
_GENERATE_WITHIN_S = 120.0
#: What pip says when it could not reach what it fetches from, and when it reached nothing with such a package.
_OFFLINE = ("connection", "timed out", "name resolution", "no matching distribution", "proxy")


@dataclass(frozen=True, slots=True)
class Generators:
    """The environment that has the generators."""

    folder: Path

    def client(self, document: Path, package: Path) -> None:
        """Write a typed client of an OpenAPI document as a Python package."""
        self._run(
            "openapi_python_client",
            "generate",
            f"--path={document}",
            "--meta=none",
            f"--output-path={package}",
            # What it would leave out is said, not left out.
            "--fail-on-warning",
        )
        for module in package.glob("api/**/*.py"):
            text = module.read_text("utf-8")
            if "    quote: " in text and "=quote(" in text:
                # The function that it spells a path with is hidden by a parameter of the same name (0.29.1).
                own = "from http import HTTPStatus\nfrom urllib.parse import quote as _quote\n"
                text = text.replace("from http import HTTPStatus\n", own).replace("=quote(", "=_quote(")
                module.write_text(text, "utf-8")

    def models(self, document: Path, module: Path) -> None:
        """Write the pydantic models of an OpenAPI document as a Python module."""
        self._run(
            "datamodel_code_generator",
            f"--input={document}",
            f"--output={module}",
            "--input-file-type=openapi",
            "--output-model-type=pydantic_v2.BaseModel",
            "--target-python-version=3.11",
            "--use-annotated",
            "--use-specialized-enum",
            "--field-constraints",
            "--collapse-root-models",
            "--use-schema-description",
            "--use-double-quotes",
            "--disable-timestamp",
            # That pydantic checks no pattern of a secret, for one: nothing that whoever generates could change.
            "--disable-warnings",
            "--formatters=builtin",
        )

    def format(self, folder: Path) -> None:
        """Format generated modules: imports sorted, those that are not used left out."""
        for words in (("check", "--quiet", "--fix", "--select=I,F401"), ("format", "--quiet")):
            self._run("ruff", *words, "--isolated", "--line-length=120", str(folder))

    def _run(self, module: str, *words: str) -> None:
        programs = self.folder / "bin"
        answer = ask(
            [str(programs / "python"), "-I", "-m", module, *words],
            # They look for the formatter there; what somebody set for their own Python is none of theirs.
            settings={"PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', '')}", "NO_COLOR": "1"},
            within_s=_GENERATE_WITHIN_S,
        )
        if not answer.ok:
            fail(f"{module.replace('_', '-')} could not generate it ({answer.complaint})")


def find_generators() -> Generators:
    """Return the generators, fetching them where the cache has none; what was cut short is begun anew."""
    name = f"generators-{hashlib.sha256(LOCK.read_bytes() + sys.version.encode()).hexdigest()[:12]}"
    folder = cache_folder() / name
    try:
        with locked(cache_folder() / f"{name}.lock"):
            for left in cache_folder().glob(f"{name}-*"):
                shutil.rmtree(left, ignore_errors=True)
            if not folder.exists():
                # It gets its name when it is whole; until then even a pip that outlived us writes beside it.
                _make(Path(tempfile.mkdtemp(prefix=f"{name}-", dir=cache_folder()))).replace(folder)
    except OSError as error:
        fail(f"{folder} cannot be filled ({error.strerror}); make room, or set CASH_CACHE to a folder of yours")
    return Generators(folder)


def _make(folder: Path) -> Path:
    note("Fetching the generators; that is done once and takes a moment.")
    has_pip = importlib.util.find_spec("pip") is not None
    # Making a second pip would take longer than fetching all the rest.
    venv.create(folder, with_pip=not has_pip, symlinks=True)
    own = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(own)] if has_pip else [str(own), "-m", "pip"]
    checked = ["--require-hashes", "--only-binary=:all:", "--requirement", str(LOCK)]
    try:
        answer = ask([*pip, "--disable-pip-version-check", "install", "--quiet", *checked], within_s=_INSTALL_WITHIN_S)
        if not answer.ok:
            _give_up(answer)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder


def _give_up(answer: Answer) -> None:
    if any(sign in answer.err.lower() for sign in _OFFLINE):
        fail(
            f"the generators could not be fetched ({answer.complaint}); they are needed once: connect this machine to "
            "a package index (pip's own settings say which), then run this again",
            ExitCode.UNREACHABLE,
        )
    fail(f"the generators could not be installed ({answer.complaint}); run this again")
