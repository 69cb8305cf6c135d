"""How images are called: by the project's version and what is in its folder."""

import re
import tempfile
from pathlib import Path

from cli.connection.programs import ask, find_program
from cli.terminal.output import ExitCode, fail
from infra.version import own_version

DOCKER_HUB = "docker.io"
#: The image has this name everywhere; the manifests know it by it.
IMAGE = "cash-flow"
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_REPOSITORY = re.compile(r"[a-z0-9.-]+(:[0-9]+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)+")


def checked_tag(tag: str) -> str:
    """Return a tag; refuses what no registry takes."""
    if not _TAG.fullmatch(tag):
        fail(f"'{tag}' is no tag of an image; it has letters, digits, '.', '-' and '_' only", ExitCode.USAGE)
    return tag


def repository_in(registry: str) -> str:
    """Return the image's name in a registry, such as ``docker.io/ann`` or ``registry.example.org/team``.

    A word without a dot is an account of Docker Hub, as it is to Docker.
    """
    host, _, account = registry.rstrip("/").partition("/")
    is_host = "." in host or ":" in host or host == "localhost"
    place = f"{host}/{account}".rstrip("/") if is_host else f"{DOCKER_HUB}/{registry.rstrip('/')}"
    name = f"{place}/{IMAGE}"
    if not _REPOSITORY.fullmatch(name) or place == DOCKER_HUB:
        fail(
            f"'{registry}' is no place for an image; it looks like docker.io/ann or registry.example.org/team",
            ExitCode.USAGE,
        )
    return name


def own_revision(project: Path) -> str | None:
    """Return what stands in a checkout: its commit, with the state of its files where they differ from it.

    Two states of the files are never called the same. ``None`` where the folder is no checkout of its own.
    """
    git = find_program("git")
    if git is None:
        return None
    top = ask([git, "rev-parse", "--show-toplevel"], folder=project)
    commit = ask([git, "rev-parse", "--short=7", "HEAD"], folder=project)
    if not top.ok or not commit.ok or Path(top.out.strip()) != project.resolve():
        return None
    if not ask([git, "status", "--porcelain"], folder=project).out:
        return commit.out.strip()
    with tempfile.TemporaryDirectory() as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        added = ask([git, "add", "--all"], folder=project, settings=index)
        tree = ask([git, "write-tree"], folder=project, settings=index)
    return f"{commit.out.strip()}-{tree.out[:7] if added.ok and tree.ok else 'changed'}"


def default_tag(project: Path) -> str:
    """Return the tag for what is in a folder: the version, and the revision where it is known."""
    version = own_version().replace("+", "-")
    revision = own_revision(project)
    return version if revision is None else f"{version}-{revision}"
