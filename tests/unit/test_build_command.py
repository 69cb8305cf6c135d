"""`cash build`: how the image is called, what the engine is asked, and what it says where something is missing."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.images import build
from cli.images.image_tags import default_tag, repository_in
from cli.terminal.output import ExitCode, Failure
from infra.local import processes
from infra.version import own_version
from tests.builders.machines import Machine, a_machine
from tests.builders.terminal import Ended, Terminal


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with a_machine(tmp_path) as made:
        yield made


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "project"
    (folder / "infra").mkdir(parents=True)
    (folder / "infra" / "Containerfile").write_text("FROM scratch\n")
    monkeypatch.setattr(processes, "PROJECT", folder)
    return folder


@pytest.fixture
def terminal(machine: Machine, tmp_path: Path) -> Terminal:
    own = {"CASH_CONFIG_HOME": str(tmp_path), "DOCKER_CONFIG": str(tmp_path / "docker")}
    return Terminal({"PATH": str(machine.programs), "HOME": str(tmp_path), **own})


def add_engine(machine: Machine, name: str = "docker", *, push: str = "", more: str = "") -> None:
    """An engine that does everything, writes down what it was asked, and pushes as told."""
    machine.add(
        name,
        f'echo "$@" >> {machine.programs}/asked\n{more}\ncase "$1" in push) {push or "true"};;'
        ' image) echo "docker.io/ann/cash-flow@sha256:123";; esac',
    )


def sign_in(tmp_path: Path) -> None:
    (tmp_path / "docker").mkdir()
    (tmp_path / "docker" / "config.json").write_text(json.dumps({"auths": {"https://docker.io/v1/": {}}}))


def asked(machine: Machine) -> str:
    return (machine.programs / "asked").read_text()


def test_an_image_is_built_under_its_name_and_that_of_the_registry(
    machine: Machine, project: Path, terminal: Terminal
) -> None:
    add_engine(machine)

    ended = terminal.cash("build", "--tag", "1.2", "--registry", "registry.example.org/team")

    assert ended.code == ExitCode.OK, ended.err
    assert ended.out == "Built cash-flow:1.2.\n"
    line = next(line for line in asked(machine).splitlines() if line.startswith("buildx build"))
    assert f"--file={project}/infra/Containerfile" in line
    assert "--tag=cash-flow:1.2 --tag=registry.example.org/team/cash-flow:1.2" in line
    assert f"image.version={own_version()}" in line
    assert line.endswith(str(project))
    assert "push" not in asked(machine)


def test_compose_builds_where_docker_has_no_plugin_for_it(machine: Machine, project: Path, terminal: Terminal) -> None:
    told = f'case "$2" in --file=*) /bin/cat "${{2#--file=}}" >> {machine.programs}/asked; esac'
    add_engine(machine, more=f'test "$1" != buildx || exit 1\n{told}')

    ended = terminal.cash("build", "--tag", "1.2", "--registry", "registry.example.org/a")

    assert ended.out == "Built cash-flow:1.2.\n", ended.err
    said = next(line for line in asked(machine).splitlines() if line.startswith("{"))
    service = json.loads(said)["services"]["cash-flow"]
    assert service["image"] == "cash-flow:1.2"
    assert service["build"]["tags"] == ["registry.example.org/a/cash-flow:1.2"]
    assert service["build"]["dockerfile"] == f"{project}/infra/Containerfile"
    assert service["build"]["labels"]["org.opencontainers.image.version"] == own_version()


def test_an_old_docker_builds_with_the_builder_it_has(machine: Machine, project: Path, terminal: Terminal) -> None:
    told = f'echo "$DOCKER_BUILDKIT $1" >> {machine.programs}/asked'
    add_engine(machine, more=f'test "$1" != buildx -a "$1" != compose || exit 1\n{told}')

    assert terminal.cash("build", "--tag", "1.2").code == ExitCode.OK
    assert "1 build" in asked(machine)


def test_podman_builds_where_there_is_no_docker(machine: Machine, project: Path, terminal: Terminal) -> None:
    add_engine(machine, "podman")

    assert terminal.cash("build", CASH_REGISTRY="ann").code == ExitCode.OK
    assert "build --format docker" in asked(machine)
    assert f"--tag=docker.io/ann/cash-flow:{own_version()}" in asked(machine)


def test_an_image_is_published_and_its_lasting_name_told(
    machine: Machine, project: Path, terminal: Terminal, tmp_path: Path
) -> None:
    sign_in(tmp_path)
    add_engine(machine)

    ended = terminal.cash("build", "--push", "--tag", "1.2", "--registry", "docker.io/ann")

    assert ended.code == ExitCode.OK, ended.err
    assert "Published docker.io/ann/cash-flow@sha256:123." in ended.out
    assert "push docker.io/ann/cash-flow:1.2" in asked(machine)


def test_docker_hub_tells_where_to_publish_by_who_is_signed_in(
    machine: Machine, project: Path, terminal: Terminal, tmp_path: Path
) -> None:
    sign_in(tmp_path)
    add_engine(machine, more='test "$1" = info && echo ann')

    assert terminal.cash("build", "--push", "--tag", "1").code == ExitCode.OK
    assert "push docker.io/ann/cash-flow:1" in asked(machine)


ELSEWHERE = ("--push", "--registry", "registry.example.org/team")


@pytest.mark.parametrize(
    ("docker", "words", "sentence", "code"),
    [
        (None, (), "neither docker nor podman", ExitCode.FAILED),
        ("echo 'Cannot connect to the Docker daemon at unix:///x.' >&2; exit 1", (), "start Docker", 3),
        ("echo 'permission denied while connecting to unix:///docker.sock' >&2; exit 1", (), "you may not use", 1),
        ("echo broken >&2; exit 1", (), "docker does not work here (broken)", ExitCode.FAILED),
        ('test "$1" != buildx -a "$1" != compose -a "$1" != build', (), "could not be built", ExitCode.FAILED),
        ('test "$1" != buildx -a "$3" != build', (), "could not be built", ExitCode.FAILED),
        ('test "$2" != build', (), "could not be built", ExitCode.FAILED),
        ("true", ("--push",), "nobody is signed in to Docker Hub", ExitCode.FAILED),
        ("true", ("--push", "--registry", "ann"), "run `docker login`", ExitCode.FAILED),
        (
            'test "$1" != push || { echo "denied: requested access to the resource is denied" >&2; exit 1; }',
            ELSEWHERE,
            "`docker login registry.example.org`",
            ExitCode.REFUSED,
        ),
        (
            'test "$1" != push || { echo "dial tcp: lookup x: no such host" >&2; exit 1; }',
            ELSEWHERE,
            "registry.example.org does not answer",
            ExitCode.UNREACHABLE,
        ),
        ('test "$1" != push || { echo "EOF" >&2; exit 1; }', ELSEWHERE, "could not be pushed (EOF)", 1),
        ("true", ("--tag", "a b"), "no tag of an image", ExitCode.USAGE),
        ("true", ("--registry", "docker.io"), "looks like docker.io/ann", ExitCode.USAGE),
        ("true", ("--registry", "HTTP://x"), "looks like docker.io/ann", ExitCode.USAGE),
    ],
)
def test_what_is_missing_is_one_sentence(
    machine: Machine,
    project: Path,
    terminal: Terminal,
    docker: str | None,
    words: tuple[str, ...],
    sentence: str,
    code: int,
) -> None:
    if docker:
        machine.add("docker", docker)

    ended = terminal.cash("build", *words)

    assert sentence in last_line(ended)
    assert ended.code == code


def test_a_folder_without_a_containerfile_is_said_before_anything_else(
    machine: Machine, project: Path, terminal: Terminal
) -> None:
    (project / "infra" / "Containerfile").unlink()

    ended = terminal.cash("build")

    assert "Containerfile to build from" in last_line(ended)
    assert ended.code == ExitCode.FAILED


def last_line(ended: Ended) -> str:
    return ended.err.splitlines()[-1]


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("registry", "name"),
    [
        ("docker.io/ann", "docker.io/ann/cash-flow"),
        ("ann", "docker.io/ann/cash-flow"),
        ("localhost:5000", "localhost:5000/cash-flow"),
        ("registry.example.org/a/b/", "registry.example.org/a/b/cash-flow"),
        ("Ann", None),
        ("docker.io", None),
        ("", None),
        ("-x", None),
        ("a b/c", None),
    ],
)
def test_a_registry_becomes_the_images_name(registry: str, name: str | None) -> None:
    if name is None:
        with pytest.raises(Failure):
            repository_in(registry)
    else:
        assert repository_in(registry) == name


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_the_tag_says_the_commit_and_changed_files_never_have_the_tag_of_others(tmp_path: Path) -> None:
    def git(*words: str) -> None:
        author = ["-c", "user.name=ann", "-c", "user.email=ann@example.org"]
        subprocess.run(["git", *author, *words], cwd=tmp_path, check=True, capture_output=True)

    assert default_tag(tmp_path) == own_version()
    git("init")
    (tmp_path / "file").write_text("1")
    git("add", ".")
    git("commit", "-m", "first")
    committed = default_tag(tmp_path)
    tags = [committed]
    for text in ("2", "3"):
        (tmp_path / "file").write_text(text)
        tags.append(default_tag(tmp_path))
        assert default_tag(tmp_path) == tags[-1]
    (tmp_path / "untracked").write_text("")
    tags.append(default_tag(tmp_path))

    assert len(set(tags)) == 4
    assert all(tag.startswith(committed) for tag in tags)
    assert subprocess.run(["git", "diff", "--cached", "--quiet"], cwd=tmp_path, check=False).returncode == 0


def test_the_project_of_a_build_is_this_one() -> None:
    assert (processes.PROJECT / "cli" / "images" / "build.py").samefile(build.__file__)
