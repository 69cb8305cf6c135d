"""An import-linter contract by permission: a package may import what is named, itself, and nothing else."""

import sys
from typing import cast

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


class AllowedContract(Contract):
    """Every direct import of the source packages is a named module, inside one, or inside the source package itself.

    Options: ``source_modules``, ``allowed_modules``, ``standard_library`` (allow all of it; false unless said).
    """

    source_modules = fields.ListField(subfield=fields.StringField())
    allowed_modules = fields.SetField(subfield=fields.StringField())
    standard_library = fields.BooleanField(required=False, default=False)

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Compare each import with what is allowed."""
        found: list[str] = []
        # import-linter puts values in the place of the fields.
        for source in cast(list[str], self.source_modules):
            allowed = {source} | cast(set[str], self.allowed_modules)
            if self.standard_library:
                allowed |= sys.stdlib_module_names
            for importer in sorted({source} | graph.find_descendants(source)):
                imports = sorted(graph.find_modules_directly_imported_by(importer))
                found += [f"{importer} imports {module}" for module in imports if not _inside(module, allowed)]
        return ContractCheck(kept=not found, metadata={"found": found})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Print one line per import that is not allowed."""
        for line in check.metadata["found"]:
            output.print_error(line)


def _inside(module: str, packages: set[str]) -> bool:
    parts = module.split(".")
    return any(".".join(parts[:length]) in packages for length in range(1, len(parts) + 1))
