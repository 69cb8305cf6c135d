"""The container engine of this machine: images built and pushed, and the services that a compose file runs in it."""

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from cli.connection.programs import Answer, ask, find_program, follow
from cli.images.image_tags import DOCKER_HUB
from cli.terminal.output import ExitCode, Failure, fail

#: What the compose file calls the project; COMPOSE_PROJECT_NAME names another.
PROJECT_NAME = "cash-flow"
_NO_ENGINE = ("cannot connect to", "is the docker daemon running", "connection refused", "failed to connect to the")
_NO_COMPOSE = ("unknown command", "is not a docker command", "unknown shorthand flag")
_DENIED = ("denied", "unauthorized", "authentication required", "no basic auth", "forbidden", "insufficient_scope")
_NO_REGISTRY = ("no such host", "connection refused", "timeout", "server misbehaving", "network is unreachable")
_LABEL = "org.opencontainers.image"


class Engine:
    """Docker, or podman where there is no Docker; it runs and answers."""

    def __init__(self, program: str) -> None:
        self.program = program
        answer = ask([program, "version"])
        if not answer.ok:
            raise engine_failure(answer) or Failure(f"{self.name} does not work here ({answer.complaint})")

    @property
    def name(self) -> str:
        """How it is called."""
        return Path(self.program).name

    def account(self, registry: str) -> str | None:
        """Return who is signed in to a registry, ``None`` where nobody is or the engine does not tell."""
        if self.name == "podman":
            question = ["login", "--get-login", registry]
        elif registry == DOCKER_HUB:
            question = ["info", "--format", "{{.UserName}}"]
        else:
            return None
        answer = ask([self.program, *question])
        return answer.out.strip() or None if answer.ok else None

    def is_signed_in(self, registry: str) -> bool:
        """Return whether credentials for a registry are kept here; a helper that keeps them is asked by the engine."""
        if self.name == "podman":
            return self.account(registry) is not None
        folder = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
        try:
            told = json.loads((folder / "config.json").read_text("utf-8"))
        except (OSError, ValueError):
            return False
        # Docker's own registry is called by the address of an older one there.
        kept = (*told.get("auths", ()), *told.get("credHelpers", ()))
        return bool(told.get("credsStore")) or any(registry in place for place in kept)

    def build(self, containerfile: Path, context: Path, names: Sequence[str], labels: Mapping[str, str]) -> None:
        """Build an image under one or several names; what the engine says of it goes to stderr."""
        named = {f"{_LABEL}.{name}": value for name, value in labels.items()}
        if self.name == "docker" and not self._can(["buildx", "version"]) and self._can(["compose", "version"]):
            built = self._composed(containerfile, context, names, named)
        else:
            built = self._built(containerfile, context, names, named)
        if not built:
            fail("the image could not be built; what is wrong stands above")

    def _can(self, words: Sequence[str]) -> bool:
        return ask([self.program, *words]).ok

    def _built(self, containerfile: Path, context: Path, names: Sequence[str], labels: Mapping[str, str]) -> bool:
        command = [self.program, "build"]
        if self.name == "podman":
            # The OCI format of podman has no health checks.
            command += ["--format", "docker"]
        elif self._can(["buildx", "version"]):
            # It would keep the image to itself without --load where it builds in a container.
            command = [self.program, "buildx", "build", "--load"]
        command += [f"--file={containerfile}", *(f"--tag={name}" for name in names)]
        command += [f"--label={name}={value}" for name, value in labels.items()]
        # An old docker has BuildKit itself, but builds without it unless it is told to.
        return follow([*command, str(context)], settings={"DOCKER_BUILDKIT": "1"}) == 0

    def _composed(self, containerfile: Path, context: Path, names: Sequence[str], labels: Mapping[str, str]) -> bool:
        """Build by compose, which brings a BuildKit of its own where docker has no plugin for it."""
        build = {"context": str(context), "dockerfile": str(containerfile), "tags": names[1:], "labels": labels}
        project = json.dumps({"services": {PROJECT_NAME: {"image": names[0], "build": build}}})
        with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
            # Compose would take a dollar sign for the name of a variable.
            file.write(project.replace("$", "$$"))
            file.flush()
            return follow([self.program, "compose", f"--file={file.name}", "build"]) == 0

    def push(self, name: str, registry: str) -> None:
        """Publish an image; fails, saying what to do, where the registry does not take it."""
        complaint: list[str] = []
        if follow([self.program, "push", name], complaint) == 0:
            return
        said = " ".join(complaint).lower()
        last = Answer(1, "", "\n".join(complaint)).complaint
        if any(sign in said for sign in _DENIED):
            fail(
                f"{registry} did not take {name} ({last}); sign in as somebody who may push there: "
                f"`{self.name} login{'' if registry == DOCKER_HUB else f' {registry}'}`",
                ExitCode.REFUSED,
            )
        if any(sign in said for sign in _NO_REGISTRY):
            fail(
                f"{registry} does not answer ({last}); check its name and your connection, then try again",
                ExitCode.UNREACHABLE,
            )
        fail(f"{name} could not be pushed ({last}); try again")

    def digest(self, name: str) -> str | None:
        """Return the name and digest under which a pushed image stays the same for ever."""
        answer = ask([self.program, "image", "inspect", "--format", '{{join .RepoDigests "\\n"}}', name])
        repository = name.rpartition(":")[0].removeprefix(f"{DOCKER_HUB}/")
        return next(
            (line for line in answer.out.split() if line.removeprefix(f"{DOCKER_HUB}/").startswith(repository)), None
        )


def find_engine() -> Engine:
    """Return the engine of this machine; fails, saying what to do, where there is none or it does not run."""
    program = find_program("docker") or find_program("podman")
    if program is None:
        fail("there is neither docker nor podman on this machine; install one of them, then try again")
    return Engine(program)


def published_address(services: Sequence[str], port: int) -> str:
    """Return ``host:port`` of this machine at which a port of compose's is published; fails where it is not.

    Args:
        services: the first of these that publishes it; the last is the one that is expected to.
        port: as it is called in the container.
    """
    docker = find_program("docker")
    if docker is None:
        fail("there is no docker on this machine; install Docker, or name the API with --url")
    project = os.environ.get("COMPOSE_PROJECT_NAME") or PROJECT_NAME
    *preferred, expected = services
    for service in preferred:
        answer = _ask_port(docker, project, service, port)
        if wrong := engine_failure(answer):
            raise wrong
        if address := _address(answer):
            return address
    answer = _ask_port(docker, project, expected, port)
    if not answer.ok:
        raise _no_port(answer, project, expected)
    return _address(answer) or fail(
        f"the service {expected} of the compose project {project} does not publish its port {port}; "
        "publish it in compose.yaml, or name the API with --url",
        ExitCode.NOT_READY,
    )


def _ask_port(docker: str, project: str, service: str, port: int) -> Answer:
    # By the project's name, so that it does not matter in which folder somebody is.
    return ask([docker, "compose", "-p", project, "port", service, str(port)])


def _address(answer: Answer) -> str | None:
    found = answer.out.strip().splitlines()[-1].strip() if answer.ok and answer.out.strip() else ""
    host, _, number = found.rpartition(":")
    if not number.isdecimal() or number == "0":
        return None
    # What listens everywhere listens on the loopback interface too.
    return f"{'127.0.0.1' if host.strip('[]') in ('', '0.0.0.0', '::') else host}:{number}"  # noqa: S104 - compared


def engine_failure(answer: Answer) -> Failure | None:
    """Return what is wrong with the engine itself, ``None`` where it answered something else."""
    said = "" if answer.ok else answer.err.lower()
    if "permission denied" in said and "sock" in said:
        return Failure("you may not use the container engine; see whether `docker ps` works for you, then try again")
    if any(sign in said for sign in _NO_ENGINE):
        return Failure("the container engine does not answer; start Docker, then try again", ExitCode.UNREACHABLE)
    return None


def _no_port(answer: Answer, project: str, service: str) -> Failure:
    if wrong := engine_failure(answer):
        return wrong
    said = answer.err.lower()
    if any(sign in said for sign in _NO_COMPOSE):
        return Failure("this docker has no `docker compose`; install its compose plugin, or name the API with --url")
    if "no such service" in said or "no container found" in said or "not running" in said or "not found" in said:
        return Failure(
            f"the service {service} of the compose project {project} is not running; start it with "
            "`docker compose up -d --wait` in the project's folder, or name the API with --url",
            ExitCode.NOT_READY,
        )
    return Failure(f"docker could not say where {service} is ({answer.complaint}); name the API with --url")
