"""The import contract by permission notices what is not named."""

from grimp import ImportGraph

from tests.import_rules import AllowedContract


def broken_by(importer: str, imported: str, **options: object) -> list[str]:
    graph = ImportGraph()
    for module in {"rooms", "rooms.pure", importer}:
        graph.add_module(module)
    graph.add_module(imported, is_squashed=not imported.startswith("rooms"))
    graph.add_import(importer=importer, imported=imported)
    contract = AllowedContract(
        name="pure",
        session_options={},
        contract_options={"source_modules": ["rooms.pure"], "allowed_modules": ["decimal", "rooms.words"], **options},
    )
    found: list[str] = contract.check(graph, verbose=False).metadata["found"]
    return found


def test_what_is_named_may_be_imported() -> None:
    assert broken_by("rooms.pure.sums", "decimal") == []
    assert broken_by("rooms.pure.sums", "rooms.words") == []
    assert broken_by("rooms.pure.sums", "rooms.words.money") == []
    assert broken_by("rooms.pure.sums", "rooms.pure.books") == []


def test_what_is_not_named_may_not() -> None:
    assert broken_by("rooms.pure.sums", "asyncio") == ["rooms.pure.sums imports asyncio"]
    assert broken_by("rooms.pure", "rooms.wordsmith") == ["rooms.pure imports rooms.wordsmith"]
    assert broken_by("rooms.pure.deep.er", "sqlalchemy") == ["rooms.pure.deep.er imports sqlalchemy"]


def test_others_may_import_what_they_like() -> None:
    assert broken_by("rooms.loud", "asyncio") == []


def test_the_whole_standard_library_can_be_allowed() -> None:
    assert broken_by("rooms.pure.sums", "asyncio", standard_library="True") == []
    assert broken_by("rooms.pure.sums", "sqlalchemy", standard_library="True") != []
