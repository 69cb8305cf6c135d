"""The command that writes down what a service speaks, and generates code from it."""

import json
import shlex
import shutil
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.terminal.output import ExitCode, fail, say

CLIENT_PACKAGE = "cash_flow_client"
SERVER_PACKAGE = "cash_flow_server"
_GATEWAY = "gateway"
_SCHEMAS = "schemas"


def register(app: typer.Typer) -> None:
    """Add this command to ``cash``."""
    app.command("openapi")(openapi)


def openapi(
    service: Annotated[
        str | None,
        typer.Option("--service", "-s", metavar="NAME", help="One service, such as gateway; all when left out."),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Where to; made where it is missing.", file_okay=False)
    ] = Path("openapi"),
    client: Annotated[bool, typer.Option("--client", help="Also a typed Python client of the API.")] = False,
    server: Annotated[
        bool, typer.Option("--server", help="Also models and Litestar route stubs of a server with the same API.")
    ] = False,
) -> None:
    """Write the API documents of a service, a client, a server.

    The gateway's HTTP API is an OpenAPI 3.1 document; what a service writes to and reads from Kafka is an AsyncAPI 3.0
    document. Files that this command did not write, or that were changed since, are never replaced.

    The generators for --client and --server are fetched once, each package checked against its hash.

    Examples:
        cash openapi
        cash openapi --service gateway --out api --client
        cash openapi -s gateway --server
    """
    from cli.generation.generated_files import GeneratedFiles
    from cli.terminal.endings import ended_in_order
    from contracts.asyncapi import processes

    if service is not None and service not in processes():
        fail(f"there is no service '{service}'; there are: {', '.join(processes())}", ExitCode.NOT_FOUND)
    if (client or server) and service not in (None, _GATEWAY):
        fail(f"only the gateway has an HTTP API; leave out --service, or say --service {_GATEWAY}", ExitCode.USAGE)
    services = processes() if service is None else (service,)
    files = GeneratedFiles(out)
    with ended_in_order(), files.draft() as draft:
        for each in services:
            _write_asyncapi(each, draft)
        if _GATEWAY in services:
            document = draft / f"{_GATEWAY}.openapi.json"
            document.write_text(_openapi_document(), "utf-8")
            if client or server:
                _generate(document, draft, client=client, server=server)
        packages = (*([CLIENT_PACKAGE] if client else []), *([SERVER_PACKAGE] if server else []))
        written = files.take(draft, whole=packages)
    _show(out, written)


def _write_asyncapi(service: str, folder: Path) -> None:
    from contracts.asyncapi import asyncapi_of
    from contracts.catalog import MESSAGES
    from contracts.export import json_schema

    document = asyncapi_of(service, f"{_SCHEMAS}/")
    _write_json(folder / f"{service}.asyncapi.json", document)
    classes = {message.type: message for message in MESSAGES}
    for name in document["components"]["messages"].keys() & classes.keys():
        _write_json(folder / _SCHEMAS / f"{name}.json", json_schema(classes[name]))


def _openapi_document() -> str:
    """Return the gateway's document; it alone knows its routes, and is no library of ours."""
    from cli.connection.programs import ask
    from infra.local.processes import PROJECT

    answer = ask([sys.executable, "-m", "gateway.openapi", "--print"], folder=PROJECT)
    if not answer.ok:
        fail(f"the gateway could not describe itself ({answer.complaint}); see `python -m gateway.openapi --print`")
    return answer.out


def _generate(document: Path, folder: Path, *, client: bool, server: bool) -> None:
    from cli.generation.generators import find_generators
    from cli.generation.route_stubs import stubs_of

    generators = find_generators()
    if client:
        generators.client(document, folder / CLIENT_PACKAGE)
    if server:
        package = folder / SERVER_PACKAGE
        for name, text in stubs_of(json.loads(document.read_text("utf-8")), SERVER_PACKAGE).items():
            (package / name).parent.mkdir(parents=True, exist_ok=True)
            (package / name).write_text(text, "utf-8")
        generators.models(document, package / "models.py")
        generators.format(package)
    # What the formatter remembers is nothing to keep.
    for cache in folder.rglob(".ruff_cache"):
        shutil.rmtree(cache, ignore_errors=True)


def _write_json(file: Path, document: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", "utf-8")


def _show(out: Path, written: list[Path]) -> None:
    for file in written:
        if len(file.parts) == 1:
            say(f"{out / file}")
    folders = sorted({file.parts[0] for file in written if len(file.parts) > 1})
    for folder in folders:
        count = sum(file.parts[0] == folder for file in written)
        say(f"{out / folder}/  ({count} files)")
    there = f"PYTHONPATH={shlex.quote(str(out))}"
    if CLIENT_PACKAGE in folders:
        say(f"Try the client (needs httpx, attrs): {there} python -c 'import {CLIENT_PACKAGE}'")
    if SERVER_PACKAGE in folders:
        say(f"Run the server (needs litestar, pydantic): {there} litestar --app {SERVER_PACKAGE}.app:app run")
