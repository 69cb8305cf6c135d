"""A person's machine in tests: their config folder, the stack they use, and the commands they run."""

import contextlib
import io
import json
import os
import re
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock
from uuid import uuid4

import pytest

from cli.main import main
from cli.output import ExitCode
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


@dataclass(frozen=True)
class Terminal:
    """One person's machine: their config folder, and the stack they use."""

    environment: Mapping[str, str]

    def cash(self, *words: str, lines: str = "", **more: str) -> Ended:
        """Run a command with lines of standard input, in this process because starting Python costs half a second."""
        out, err = io.StringIO(), io.StringIO()
        with (
            mock.patch.dict(os.environ, {**self.environment, **more}, clear=True),
            mock.patch.object(sys, "argv", ["cash", *words]),
            mock.patch.object(sys, "stdin", io.StringIO(lines)),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            pytest.raises(SystemExit) as ended,
        ):
            main()
        assert "Traceback" not in err.getvalue()
        assert "\x1b" not in out.getvalue() + err.getvalue()
        return Ended(int(ended.value.code or 0), out.getvalue(), err.getvalue())

    def newest_code(self, email: str, *, not_one_of: frozenset[str] = frozenset()) -> str:
        """Wait for a mail to somebody with a code that was not seen before."""
        until = time.monotonic() + WITHIN_S
        while time.monotonic() < until:
            for mail in self.cash("mail", "--json").json:
                found = re.search(r"^\s+([A-Z]{6})\s*$", mail["text"], re.MULTILINE)
                if mail["to"] == email and found and found[1] not in not_one_of:
                    return found[1]
            time.sleep(0.1)
        raise AssertionError(f"no mail to {email}")


def a_terminal(stack: LocalStack, config: Path) -> Terminal:
    own = {"CASH_HOME": str(stack.home.root), "CASH_CONFIG_HOME": str(config), "TZ": "Europe/Berlin"}
    return Terminal({name: value for name, value in os.environ.items() if not name.startswith("CASH_")} | own)


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
