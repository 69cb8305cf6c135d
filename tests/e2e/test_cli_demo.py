"""``cash demo`` against the running system: whatever happened before, it ends with a person and their books."""

from pathlib import Path
from types import ModuleType
from uuid import uuid4

import pytest

from cli.development import demo as demo_module
from cli.development import mailed_codes
from cli.terminal.output import ExitCode
from infra.local.ports import read_ports
from infra.local.stack import LocalStack
from tests.builders.terminal import PASSWORD, Terminal, a_terminal

pytestmark = pytest.mark.stack


@pytest.fixture
def bare(stack: LocalStack, tmp_path: Path) -> Terminal:
    """A terminal where no demo ever ran."""
    return a_terminal(stack, tmp_path / "config")


@pytest.fixture
def terminal(bare: Terminal, stack: LocalStack) -> Terminal:
    """A terminal that knows a demo person the system does not have, as after ``cash reset``; nobody else's either."""
    config = Path(bare.environment["CASH_CONFIG_HOME"])
    config.mkdir()
    file = config / f"demo-127.0.0.1-{read_ports(stack.home)['gateway']}.txt"
    file.write_text(f"demo-{uuid4().hex[:8]}\n{PASSWORD}\n")
    return bare


def test_running_it_again_adds_nothing_twice(terminal: Terminal) -> None:
    first = terminal.cash("demo", "--json").json
    second = terminal.cash("demo", "--json").json

    assert first["new"] >= 36
    assert first["already_there"] == 0
    assert (second["new"], second["already_there"]) == (0, first["new"])
    assert second["accounts"] == first["accounts"]
    assert second["newest"] == first["newest"]


def test_it_leaves_your_own_session_alone_and_says_how_to_sign_in(terminal: Terminal) -> None:
    shown = terminal.cash("demo")
    told = terminal.cash("demo", "--json").json
    file = Path(told["password_file"])

    assert f"cash login < {file}" in shown.out
    assert terminal.cash("whoami").code == ExitCode.NOT_SIGNED_IN
    assert terminal.cash("login", lines=file.read_text()).code == ExitCode.OK
    assert terminal.cash("whoami", "--json").json["username"] == told["username"]
    newest = terminal.cash("tx", "list", "--limit", "10", "--json").json["items"]
    assert newest == told["newest"]


def test_without_a_password_file_it_makes_a_person_whoever_has_the_plain_name(bare: Terminal) -> None:
    first = bare.cash("demo", "--json").json
    file = Path(first["password_file"])
    assert file.stat().st_mode & 0o777 == 0o600
    file.unlink()
    second = bare.cash("demo", "--json").json

    assert second["username"] != first["username"]
    assert second["new"] == first["new"]


@pytest.mark.parametrize(
    ("module", "step"),
    [
        (mailed_codes, "submit_code"),
        (demo_module, "submit_user"),
        (demo_module, "sign_in"),
        (demo_module, "submit_transaction"),
    ],
)
def test_an_interrupted_demo_is_finished_by_the_next(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, module: ModuleType, step: str
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as interrupted:
        interrupted.setattr(module, step, interrupt)
        assert terminal.cash("demo").code == ExitCode.INTERRUPTED
    finished = terminal.cash("demo", "--json").json
    assert finished["new"] >= 36
    assert finished["already_there"] == 0
    assert len(finished["newest"]) == 10
