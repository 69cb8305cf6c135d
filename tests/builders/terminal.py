"""A person's machine in tests: their config folder, the stack they use, and the commands they run."""

import contextlib
import io
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock
from uuid import uuid4

import pytest

from cli.development.mailed_codes import code_in
from cli.kubernetes.main import main as k8s_main
from cli.main import main
from cli.terminal.output import ExitCode
from infra.local.plan import passed_on
from infra.local.stack import LocalStack

PASSWORD = "correct horse battery"
WITHIN_S = 20.0


@dataclass(frozen=True)
class Ended:
    """How a command ended; ``json`` reads its output."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Screen:
    """What a command shows at a terminal of its own, where somebody types."""

    def __init__(self, process: "subprocess.Popen[bytes]", ours: int) -> None:
        self.process = process
        self._ours = ours
        self._shown = ""
        self._found = 0

    def type(self, text: str) -> None:
        """Type a line. Before its question is asked it would be lost: a hidden prompt empties the line."""
        os.write(self._ours, f"{text}\n".encode())

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        os.killpg(self.process.pid, signal.SIGINT)

    def wait_for(self, pattern: str, within_s: float = WITHIN_S) -> str:
        """Read until a pattern stands there, after what was waited for before; return all that was shown until now."""
        until = time.monotonic() + within_s
        while not (found := re.compile(pattern).search(self._shown, self._found)):
            assert time.monotonic() < until, f"{pattern!r} was not shown: {self._shown!r}"
            assert self._read(), f"{pattern!r} was not shown until the end: {self._shown!r}"
        self._found = found.end()
        return self._shown

    def wait_for_end(self) -> str:
        """Read until the command has ended; return all that was shown."""
        until = time.monotonic() + WITHIN_S
        while self._read():
            assert time.monotonic() < until, f"it did not end: {self._shown!r}"
        self.process.wait(WITHIN_S)
        return self._shown

    def _read(self) -> bool:
        """Read for a moment; tell whether somebody still holds the other side."""
        if select.select([self._ours], [], [], 0.1)[0]:
            try:
                read = os.read(self._ours, 4096)
            except OSError:  # how Linux says it
                read = b""
            self._shown += read.decode(errors="replace").replace("\r\n", "\n")
            return bool(read)
        return True


@dataclass(frozen=True)
class Terminal:
    """One person's machine: their config folder, and the stack they use."""

    environment: Mapping[str, str]

    def cash(self, *words: str, lines: str = "", **more: str) -> Ended:
        """Run a command with lines of standard input, in this process because starting Python costs half a second."""
        return self._run(main, ["cash", *words], lines, more)

    def k8s(self, *words: str, lines: str = "", **more: str) -> Ended:
        """Run a command of the other program."""
        return self._run(k8s_main, ["k8s", *words], lines, more)

    def _run(self, main: Callable[[], None], words: list[str], lines: str, more: Mapping[str, str]) -> Ended:
        out, err = io.StringIO(), io.StringIO()
        with (
            mock.patch.dict(os.environ, {**self.environment, **more}, clear=True),
            mock.patch.object(sys, "argv", words),
            mock.patch.object(sys, "stdin", io.StringIO(lines)),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            pytest.raises(SystemExit) as ended,
        ):
            main()
        assert "Traceback" not in err.getvalue()
        assert "\x1b" not in out.getvalue() + err.getvalue()
        return Ended(int(ended.value.code or 0), out.getvalue(), err.getvalue())

    @contextlib.contextmanager
    def screen(self, *words: str, **more: str) -> Iterator[Screen]:
        """Run a command at a terminal; whatever happens, it is over after the block."""
        ours, theirs = pty.openpty()
        process = self.start(*words, stdin=theirs, stdout=theirs, stderr=theirs, **more)
        os.close(theirs)
        try:
            yield Screen(process, ours)
        finally:
            process.kill()
            process.wait()
            os.close(ours)

    def start(self, *words: str, stdin: int, stdout: int, stderr: int, **more: str) -> "subprocess.Popen[bytes]":
        """Start a command as a process and session of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "cli.main", *words],
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env={**self.environment, **more},
            start_new_session=True,
        )

    def newest_code(self, email: str, *, not_one_of: frozenset[str] = frozenset()) -> str:
        """Wait for a mail to somebody with a code that was not seen before."""
        until = time.monotonic() + WITHIN_S
        while time.monotonic() < until:
            for mail in self.cash("mail", "--to", email, "--json").json:
                code = code_in(self.cash("mail", "--to", email, mail["id"], "--json").json["text"])
                if code and code not in not_one_of:
                    return code
            time.sleep(0.1)
        raise AssertionError(f"no mail to {email}")


def a_terminal(stack: LocalStack, config: Path) -> Terminal:
    own = {"CASH_HOME": str(stack.home.root), "CASH_CONFIG_HOME": str(config), "TZ": "Europe/Berlin"}
    others = {name: value for name, value in os.environ.items() if not name.startswith("CASH_")}
    return Terminal(others | passed_on() | own)


def sign_in(terminal: Terminal) -> Terminal:
    username = register(terminal)
    assert terminal.cash("login", lines=f"{username}\n{PASSWORD}\n").code == ExitCode.OK
    return terminal


def register(terminal: Terminal) -> str:
    username = f"u{uuid4().hex[:12]}"
    email = f"{username}@example.org"
    assert terminal.cash("register", email, "--currency", "EUR", lines="\n").code == ExitCode.OK
    ended = terminal.cash("verify", lines=f"{terminal.newest_code(email)}\n{username}\n{PASSWORD}\n")
    assert ended.code == ExitCode.OK, ended.err
    return username
