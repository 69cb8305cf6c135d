"""Files in somebody's folder: replaced where they are ours and untouched, and only then."""

from pathlib import Path

import pytest

from cli.generation.generated_files import GeneratedFiles
from cli.terminal.output import Failure


def write(folder: Path, whole: tuple[str, ...] = (), **texts: str) -> list[str]:
    files = GeneratedFiles(folder)
    with files.draft() as draft:
        for name, text in texts.items():
            file = draft / name.replace("__", "/")
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
        return [str(file) for file in files.take(draft, whole)]


def test_files_come_to_their_places_and_no_draft_is_left(tmp_path: Path) -> None:
    assert write(tmp_path / "new", a="1", pack__b="2") == ["a", "pack/b"]

    assert (tmp_path / "new" / "pack" / "b").read_text() == "2"
    assert sorted(file.name for file in (tmp_path / "new").iterdir()) == [".cash-flow-files.json", "a", "pack"]


def test_what_is_ours_is_replaced_and_what_is_not_made_any_more_goes_with_its_package(tmp_path: Path) -> None:
    write(tmp_path, a="1", pack__b="2", pack__c="3", shared__d="4")

    write(tmp_path, ("pack",), a="5", pack__b="6", shared__e="7")

    assert (tmp_path / "a").read_text() == "5"
    assert not (tmp_path / "pack" / "c").exists()
    assert (tmp_path / "shared" / "d").exists()


@pytest.mark.parametrize("name", ["a", "pack/b"])
def test_a_file_of_somebody_else_stops_everything(tmp_path: Path, name: str) -> None:
    (tmp_path / "pack").mkdir()
    (tmp_path / name).write_text("mine")

    with pytest.raises(Failure, match="was not written by this command"):
        write(tmp_path, a="1", pack__b="2")

    assert (tmp_path / name).read_text() == "mine"
    assert sum(file.is_file() for file in tmp_path.rglob("*")) == 1


@pytest.mark.parametrize("again", [{"a": "2"}, {"a": "1", "pack__c": "3"}], ids=["replaced", "deleted"])
def test_a_file_that_somebody_changed_stops_everything(tmp_path: Path, again: dict[str, str]) -> None:
    write(tmp_path, a="1", pack__b="2")
    changed = tmp_path / ("a" if again["a"] == "2" else "pack/b")
    changed.write_text("filled in")

    with pytest.raises(Failure, match="was changed since it was written"):
        write(tmp_path, ("pack",), **again)

    assert changed.read_text() == "filled in"


def test_a_run_that_was_killed_half_way_is_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, a="1", b="1")
    replace, left = Path.replace, [2]

    def replace_few(self: Path, target: Path) -> Path:
        # The record of what is about to be written, and the first file.
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return replace(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", replace_few)
        with pytest.raises(KeyboardInterrupt):
            write(tmp_path, a="2", b="2")
    assert [(tmp_path / name).read_text() for name in "ab"] == ["2", "1"]

    assert write(tmp_path, a="2", b="2") == ["a", "b"]


def test_a_folder_that_cannot_be_written_to_and_a_broken_record_are_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Failure, match="name another folder"):
        write(tmp_path / "file", a="1")
    (tmp_path / ".cash-flow-files.json").write_text("[")
    with pytest.raises(Failure, match="not readable any more"):
        write(tmp_path, a="1")
