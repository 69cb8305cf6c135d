"""Other people's programs (kubectl, docker, pip) as the commands use them: found, run, and their answer read."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.terminal.output import ExitCode, Failure, fail, note, printable

#: How long a program that only looks something up may take.
_ASK_WITHIN_S = 30.0
#: How long one that heard Ctrl-C may take to put things in order.
_END_WITHIN_S = 10.0
_SENTENCE_LENGTH_MAX = 300
_LINES_KEPT = 20
_STDERR = 2


@dataclass(frozen=True, slots=True)
class Answer:
    """What a program said, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def ok(self) -> bool:
        """Whether it did what it was asked."""
        return self.code == 0

    @property
    def complaint(self) -> str:
        """The last thing it complained about, as a part of a sentence."""
        lines = [line.strip() for line in (self.err or self.out).splitlines() if line.strip()]
        last = lines[-1].removeprefix("error:").removeprefix("ERROR:").strip() if lines else f"exit code {self.code}"
        return printable(last[:_SENTENCE_LENGTH_MAX].rstrip("."))


def find_program(name: str) -> str | None:
    """Return where a program is, ``None`` where this machine has none of that name."""
    return shutil.which(name)


def ask(
    command: Sequence[str],
    *,
    said: str = "",
    folder: Path | None = None,
    settings: Mapping[str, str] | None = None,
    within_s: float = _ASK_WITHIN_S,
) -> Answer:
    """Run a program to its end and return what it answered.

    Args:
        command: program and words; no shell reads them, and no secret may be among them.
        said: what it reads from standard input.
        folder: where it runs.
        settings: added to the environment it runs in.
        within_s: it is ended when it takes longer, which is a ``Failure``.
    """
    try:
        # In a session of its own: Ctrl-C is ours to answer, and whoever reads a half answer would misunderstand it.
        with subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            cwd=folder,
            env={**os.environ, **(settings or {})},
            start_new_session=True,
        ) as process:
            try:
                out, err = process.communicate(said, within_s)
            except BaseException:
                end(process, within_s=0)
                raise
    except subprocess.TimeoutExpired:
        raise Failure(
            f"`{shown(command)}` did not end within {within_s:g} s; see whether it does when you run it yourself",
            ExitCode.UNREACHABLE,
        ) from None
    except OSError as error:
        fail(f"{command[0]} could not be started ({error.strerror}); see whether it runs when you start it yourself")
    return Answer(process.returncode, out, err)


def end(process: "subprocess.Popen[str]", within_s: float = _END_WITHIN_S) -> None:
    """End a program that has a session of its own, with all that it started, and wait until it is gone."""
    for number, patience_s in ((signal.SIGTERM, within_s), (signal.SIGKILL, None)):
        if number == signal.SIGTERM and not within_s:
            continue
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience_s)
            return


def follow(command: Sequence[str], said: list[str] | None = None, *, settings: Mapping[str, str] | None = None) -> int:
    """Run a program whose words are for people: they go to stderr. Return its exit code.

    Args:
        command: program and words.
        said: takes the last lines it said; without it the program has the terminal, and may draw on it.
        settings: added to the environment it runs in.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    taken: dict[str, Any] = {"stdout": _STDERR}
    if said is not None:
        taken = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "errors": "replace"}
    taken["env"] = {**os.environ, **(settings or {})}
    try:
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, **taken) as process:
            try:
                for line in process.stdout or ():
                    note(line.rstrip())
                    if said is not None:
                        said[:] = [*said[1 - _LINES_KEPT :], line]
                return process.wait()
            except KeyboardInterrupt:
                # It heard Ctrl-C too, and may have something to put in order.
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_END_WITHIN_S)
                process.kill()
                raise
    except OSError as error:
        fail(f"{command[0]} could not be started ({error.strerror}); see whether it runs when you start it yourself")


def shown(command: Sequence[str]) -> str:
    """Return how a person would type the beginning of a command."""
    name, *words = command
    return " ".join([Path(name).name, *words[:4], *(["…"] if len(words) > 4 else [])])
