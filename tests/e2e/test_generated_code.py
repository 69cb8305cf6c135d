"""Code generated from the OpenAPI document: a client that records, stubs of a server that start with the same paths."""

import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cli.generation.openapi import CLIENT_PACKAGE, SERVER_PACKAGE
from cli.terminal.output import ExitCode
from infra.local.stack import LocalStack
from tests.builders.terminal import PASSWORD, Terminal, a_terminal, register


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder with a client and a server stub, which can be imported. The generators are fetched where they miss."""
    out = tmp_path_factory.mktemp("generated")
    ended = Terminal({}).cash("openapi", "--service", "gateway", "--out", str(out), "--client", "--server")
    assert ended.code == ExitCode.OK, ended.err
    assert "Error" not in ended.err
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(str(out))
        yield out
    for name in [name for name in sys.modules if name.startswith((CLIENT_PACKAGE, SERVER_PACKAGE))]:
        del sys.modules[name]


def imported(*names: str) -> Any:
    """Return generated modules by the last word of their names."""
    return SimpleNamespace(
        **{name.rpartition(".")[2]: importlib.import_module(f"{CLIENT_PACKAGE}.{name}") for name in names}
    )


@pytest.mark.stack
def test_a_transaction_is_recorded_and_read_back_with_the_generated_client(
    generated: Path, stack: LocalStack, tmp_path: Path
) -> None:
    url = f"http://127.0.0.1:{stack.ports['gateway']}"
    username = register(a_terminal(stack, tmp_path))
    client, models = importlib.import_module(CLIENT_PACKAGE), importlib.import_module(f"{CLIENT_PACKAGE}.models")
    calls = imported(
        "api.sessions.sign_in",
        "api.transactions.submit_own_transaction",
        "api.transactions.get_own_transaction",
        "api.transactions.list_own_transactions",
        "api.rates.list_ledger_rates",
    )

    with client.Client(url) as anybody:
        who = models.Credentials(username=username, password=PASSWORD)
        signed_in = calls.sign_in.sync(client=anybody, body=who)
    with client.AuthenticatedClient(url, token=signed_in.access_token) as ours:
        wanted = models.NewTransaction(amount="24.47", category="Groceries", description="Weekly shop")
        answer = calls.submit_own_transaction.sync_detailed(
            client=ours, body=wanted, prefer="wait=10", idempotency_key="shopping"
        )
        found = calls.get_own_transaction.sync(answer.parsed.id, client=ours)
        page = calls.list_own_transactions.sync(client=ours, filter_="category:Groceries")
        rates = calls.list_ledger_rates.sync(signed_in.user.ledger_id, client=ours, quote="EUR")
        refused = calls.submit_own_transaction.sync(
            client=ours, body=models.NewTransaction(amount="0"), prefer="wait=10"
        )

    assert answer.status_code == 201
    assert (found.amount, found.category.name, found.description) == ("24.47", "Groceries", "Weekly shop")
    assert [each.id for each in page.items] == [found.id]
    assert found.recorded_at.tzinfo is not None
    assert rates.items == []
    assert isinstance(refused, models.Problem)


def test_the_generated_server_starts_with_the_paths_and_parameters_of_the_document(generated: Path) -> None:
    wanted = json.loads((generated / "gateway.openapi.json").read_text())
    app = importlib.import_module(f"{SERVER_PACKAGE}.app").create_app()

    served = json.loads(json.dumps(app.openapi_schema.to_schema()))

    assert operations(served) == operations(wanted)


def operations(document: dict[str, Any]) -> dict[tuple[str, str], Any]:
    """What an operation takes and answers, by path and method."""
    return {
        (path, method): (
            operation["operationId"],
            {(each["in"], each["name"], each["required"]) for each in operation.get("parameters", [])},
            operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema"),
            operation.get("security"),
            # Litestar answers 400 wherever there is a parameter, and knows no answer to everything else.
            set(operation["responses"]) - {"400", "default"},
        )
        for path, item in document["paths"].items()
        for method, operation in item.items()
    }


@pytest.mark.chaos
def test_the_generated_server_is_right_to_the_strictest_reader_of_types(generated: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(generated / ".mypy"), SERVER_PACKAGE],
        cwd=generated,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout


@pytest.mark.chaos
def test_the_generators_can_be_fetched_anew(tmp_path: Path) -> None:
    terminal = Terminal({"CASH_CACHE": str(tmp_path / "cache")})

    assert terminal.cash("openapi", "--out", str(tmp_path / "api"), "--client").code == ExitCode.OK
    assert (tmp_path / "api" / CLIENT_PACKAGE / "client.py").exists()
