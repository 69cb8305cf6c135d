"""The command that builds the container image and publishes it."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.terminal.output import fail, note, say

if TYPE_CHECKING:
    from cli.images.containers import Engine


def register(app: typer.Typer) -> None:
    """Add this command to ``cash``."""
    app.command("build")(build)


def build(
    push: Annotated[bool, typer.Option("--push", help="Publish it, too.")] = False,
    tag: Annotated[
        str | None, typer.Option("--tag", help="Without it: the project's version and the git commit.")
    ] = None,
    registry: Annotated[
        str | None,
        typer.Option(
            "--registry",
            metavar="HOST/ACCOUNT",
            help="Where to publish it. Without it: CASH_REGISTRY, else the account signed in to Docker Hub.",
        ),
    ] = None,
) -> None:
    """Build the container image and publish it.

    One image holds every process; which one a container runs is its command. It is built by Docker, or podman where
    there is no Docker, from infra/Containerfile.

    Examples:
        cash build
        cash build --tag 1.2.0 --push --registry docker.io/ann
    """
    from cli.images.containers import find_engine
    from cli.images.image_tags import DOCKER_HUB, checked_tag, default_tag, repository_in
    from infra.local.processes import PROJECT

    containerfile = find_containerfile(PROJECT)
    wanted = checked_tag(tag) if tag else default_tag(PROJECT)
    named = registry or os.environ.get("CASH_REGISTRY")
    repository = repository_in(named) if named else None
    engine = find_engine()
    if push and repository is None:
        repository = repository_in(_hub_account(engine))
    if push and (repository or "").startswith(f"{DOCKER_HUB}/") and not engine.is_signed_in(DOCKER_HUB):
        # Said before a long build whose push would be refused; other registries may well let anybody in.
        fail(f"nobody is signed in to Docker Hub; run `{engine.name} login`, then try again")
    image = build_image(engine, containerfile, PROJECT, wanted, repository)
    say(f"Built {image}.")
    if push and repository is not None:
        name = f"{repository}:{wanted}"
        engine.push(name, repository.partition("/")[0])
        say(f"Published {engine.digest(name) or name}.")
    else:
        note("Publish it with: cash build --push")


def find_containerfile(project: Path) -> Path:
    """Return what the image is built from; fails where a folder has none."""
    containerfile = project / "infra" / "Containerfile"
    if not containerfile.is_file():
        fail(f"there is no {containerfile} to build from; run this in a checkout of cash-flow that has one")
    return containerfile


def build_image(engine: "Engine", containerfile: Path, project: Path, tag: str, repository: str | None = None) -> str:
    """Build the image under its own name, and that of a registry where given; return the former."""
    from cli.images.image_tags import IMAGE, own_revision
    from infra.version import own_version

    names = [f"{IMAGE}:{tag}", *([f"{repository}:{tag}"] if repository else [])]
    labels = {
        "version": own_version(),
        "revision": own_revision(project) or "unknown",
    }
    note(f"Building {' and '.join(names)} with {engine.name}.")
    engine.build(containerfile, project, names, labels)
    return names[0]


def _hub_account(engine: "Engine") -> str:
    from cli.images.image_tags import DOCKER_HUB

    account = engine.account(DOCKER_HUB)
    if account is None:
        fail(
            f"nobody is signed in to Docker Hub, so it is not known where to publish; `{engine.name} login`, or name a "
            "place with --registry or CASH_REGISTRY"
        )
    return f"{DOCKER_HUB}/{account}"
