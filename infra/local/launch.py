"""Load what a program imports, wait for the word, run it: loading takes a second that servers need to start, too.

``python -m infra.local.launch consumers.relay`` is ``python -m consumers.relay`` that begins when it reads a line.
"""

import ast
import importlib
import importlib.util
import os
import runpy
import sys


def load_imports(module: str) -> None:
    """Import what the program imports at its top level, without running the program itself."""
    specification = importlib.util.find_spec(module)
    if specification is not None and specification.submodule_search_locations is not None:
        specification = importlib.util.find_spec(f"{module}.__main__")
    if specification is None or specification.origin is None:
        return
    with open(specification.origin, encoding="utf-8") as source:  # noqa: PTH123 - pathlib would be one more import
        program = ast.parse(source.read())
    for node in program.body:
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        for name in names:
            importlib.import_module(name)


def main() -> None:
    """Become the program named first, with the arguments after it; end quietly if the word never comes."""
    module, *arguments = sys.argv[1:]
    load_imports(module)
    if not os.read(0, 1):
        return
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
