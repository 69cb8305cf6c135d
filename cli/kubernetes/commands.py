"""All commands of ``k8s``: they drive the manifests with kubectl, and Minikube where it is there."""

import contextlib
import socket
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.frame import SHARED, Command, frame
from cli.terminal.endings import ended_in_order
from cli.terminal.output import ExitCode, Json, fail, note, say, show_json

if TYPE_CHECKING:
    from cli.kubernetes.clusters import Cluster
    from cli.kubernetes.forwarding import Forward
    from cli.kubernetes.kubectl import Kubectl
    from cli.kubernetes.manifests import Manifests
    from cli.kubernetes.pods import Workload

Context = Annotated[
    str | None, typer.Option("--context", metavar="NAME", help="A context of kubectl; the current one when left out.")
]
Overlay = Annotated[
    str, typer.Option("--overlay", metavar="NAME", help="An overlay in k8s/overlays, or a path with a / to one.")
]
Image = Annotated[
    str | None,
    typer.Option(
        "--image", help="A published image, such as docker.io/ann/cash-flow:1.2; else it is built and loaded."
    ),
]
Timeout = Annotated[float, typer.Option("--timeout", min=1, metavar="SECONDS", help="How long to wait for each step.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]

_DEFAULT_OVERLAY = "minikube"
_DEFAULT_TIMEOUT_S = 300.0
_DELETE_WITHIN_S = 300.0
_LOOK_EVERY_S = 0.5


def start(
    overlay: Overlay = _DEFAULT_OVERLAY,
    context: Context = None,
    image: Image = None,
    no_secrets: Annotated[
        bool, typer.Option("--no-secrets", help="Make no secrets: the cluster has them from elsewhere.")
    ] = False,
    timeout_s: Timeout = _DEFAULT_TIMEOUT_S,
) -> None:
    """Bring the system up in a cluster, and wait until it is ready.

    Builds the image and loads it into Minikube, makes namespace and secrets where they are missing, starts the servers,
    runs the migration, then starts or updates the processes. It can be repeated at any time.

    A context that does not look like a cluster of this machine is refused unless --context names it.

    Examples:
        k8s start
        k8s start --overlay production --context prod --image registry.example.org/team/cash-flow:1.2 --no-secrets
    """
    from cli.kubernetes.manifests import FIRST, PROCESSES, find_overlay, with_image
    from cli.kubernetes.rollout import wait_for
    from cli.kubernetes.secrets import ensure_secrets

    folder = find_overlay(overlay)
    cluster = _meant(context)
    kubectl = cluster.kubectl
    note(f"Kubernetes {cluster.version} at {cluster.server}, context {cluster.context}.")
    wanted = image or _loaded_image(cluster)
    _ensure_namespace(kubectl)
    ensured = None if no_secrets else ensure_secrets(kubectl)
    if ensured and ensured.are_new:
        note("Made passwords and keys; they are in the cluster only.")
    with with_image(kubectl, folder, wanted, ensured.states if ensured else None) as manifests:
        note("Starting the servers.")
        manifests.apply(FIRST)
        _wake(kubectl, processes=False)
        wait_for(kubectl, lambda each: not _is_of_step(each), timeout_s)
        _migrate(manifests, timeout_s)
        note(f"Starting the processes of {wanted}.")
        manifests.apply(PROCESSES)
        _wake(kubectl, processes=True)
        wait_for(kubectl, lambda each: True, timeout_s)
    _show_all(kubectl)
    say("Reach it:  k8s forward")
    say("Play:      cash test -e kube")


def stop(context: Context = None, timeout_s: Timeout = _DEFAULT_TIMEOUT_S) -> None:
    """Stop every process and server in the cluster; data stays.

    The processes stop first, while the servers still answer them. `k8s start` brings everything back.

    Examples:
        k8s stop
    """
    from cli.kubernetes.pods import look

    kubectl = _meant(context).kubectl
    _check_deployed(kubectl)
    running = [each for each in look(kubectl).workloads if each.kind != "Job" and each.replicas]
    if not running:
        say("Nothing was running.")
        return
    for step in (True, False):
        _scale_to_nothing(kubectl, [each for each in running if _is_of_step(each) is step], timeout_s)
    say("Everything is stopped; the data stays. Start again with `k8s start`.")


def status(context: Context = None, json: Json = False) -> None:
    """Show the pods; the exit code is 0 only when all is ready.

    Examples:
        k8s status
    """
    from cli.kubernetes.kubectl import Kubectl
    from cli.kubernetes.pods import look
    from cli.kubernetes.rollout import show_pods, why_in_vain

    kubectl = Kubectl(context)
    _check_deployed(kubectl)
    seen = look(kubectl)
    if json:
        show_json([asdict(pod) for pod in seen.pods])
    elif seen.pods:
        show_pods(seen.pods)
    if not seen.workloads:
        fail(f"nothing runs in the namespace {kubectl.namespace}; start it with `k8s start`", ExitCode.NOT_READY)
    if seen.is_stopped:
        fail("it is stopped; start it with `k8s start`", ExitCode.NOT_READY)
    if failure := why_in_vain(seen, seen.workloads):
        fail(str(failure), ExitCode.NOT_READY)
    if waiting := [each.name for each in seen.workloads if not each.done]:
        fail(f"not ready: {', '.join(waiting)}; see `k8s logs {waiting[0]}`", ExitCode.NOT_READY)


def logs(
    service: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="Pods whose names begin so, such as gateway; all when left out."),
    ] = None,
    follow_on: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C, with pods that come.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="Last lines of each to begin with.")] = 20,
    context: Context = None,
) -> None:
    """Show what the pods say, a coloured name before each line.

    Examples:
        k8s logs
        k8s logs gateway -f
    """
    from cli.kubernetes.kubectl import Kubectl
    from cli.kubernetes.logs import PodLogs, pod_names

    kubectl = Kubectl(context)
    _check_deployed(kubectl)
    names = pod_names(kubectl, service or "")
    if not names:
        there = ", ".join(pod_names(kubectl)) or "none: start it with `k8s start`"
        called = f" whose name begins with '{service}'" if service else ""
        fail(f"there is no pod{called}; there are: {there}", ExitCode.NOT_FOUND)
    if not follow_on:
        PodLogs(kubectl).show(names, lines)
        return
    with contextlib.closing(PodLogs(kubectl)) as followed:
        followed.follow(service or "", lines)


def forward(
    port: Annotated[
        int | None, typer.Option("--port", min=1, max=65535, help="For the API; 8000 or a free one when left out.")
    ] = None,
    context: Context = None,
) -> None:
    """Open ports of this machine to the API and the mailbox.

    They lead into the cluster until Ctrl-C, and are opened again when a pod goes.

    Examples:
        k8s forward
        k8s forward --port 8080
    """
    from cli.connection.servers import GATEWAY, GATEWAY_PORT, GATEWAY_SERVICE_PORT, MAILBOX, MAILBOX_PORT
    from cli.kubernetes.forwarding import Forward
    from cli.kubernetes.kubectl import Kubectl

    kubectl = Kubectl(context)
    _check_deployed(kubectl)
    if port is not None and not _is_free(port):
        fail(f"port {port} is taken on this machine; name another with --port", ExitCode.USAGE)
    with contextlib.ExitStack() as opened:
        gateway = Forward(
            kubectl, GATEWAY, GATEWAY_SERVICE_PORT, local_port=port or (GATEWAY_PORT if _is_free(GATEWAY_PORT) else 0)
        )
        opened.callback(gateway.close)
        gateway.open()
        forwards = {"API": gateway}
        if kubectl.has("service", MAILBOX):
            free = MAILBOX_PORT if _is_free(MAILBOX_PORT) else 0
            forwards["mailbox"] = mailbox = Forward(kubectl, MAILBOX, MAILBOX_PORT, local_port=free)
            opened.callback(mailbox.close)
            mailbox.open()
        # Ctrl-C is how this ends, not how it fails.
        with contextlib.suppress(KeyboardInterrupt):
            say(f"  API      {gateway.url}/api/v1")
            say(f"  Its docs {gateway.url}/docs")
            if "mailbox" in forwards:
                say(f"  Mailbox  {forwards['mailbox'].url}/")
            note(f"Ctrl-C ends it. In another terminal: cash login --url {gateway.url}")
            _watch(forwards)


def migrate(
    overlay: Overlay = _DEFAULT_OVERLAY,
    context: Context = None,
    image: Image = None,
    timeout_s: Timeout = _DEFAULT_TIMEOUT_S,
) -> None:
    """Run the migration of the databases once more.

    Examples:
        k8s migrate
    """
    from cli.kubernetes.manifests import find_overlay, with_image

    folder = find_overlay(overlay)
    cluster = _meant(context)
    _check_deployed(cluster.kubectl)
    with with_image(cluster.kubectl, folder, image or _loaded_image(cluster)) as manifests:
        _migrate(manifests, timeout_s)
    say("The databases are migrated.")


def destroy(context: Context = None, yes: Yes = False) -> None:
    """Delete the namespace with all its data: databases, topics, secrets.

    Examples:
        k8s destroy
    """
    from cli.terminal.prompts import confirm

    cluster = _meant(context)
    kubectl = cluster.kubectl
    namespace = kubectl.namespace
    if not kubectl.has("namespace", namespace):
        say("There is nothing to delete.")
        return
    volumes = len(kubectl.get("persistentvolumeclaims")["items"])
    what = f"the namespace {namespace} of {cluster.context} ({cluster.server}) with {volumes} volumes of data"
    if not yes and not confirm(f"Delete {what} and its secrets?"):
        fail("nothing was deleted")
    note("Deleting; that takes a moment.")
    kubectl.tell("delete", "namespace", namespace, "--wait=true", within_s=_DELETE_WITHIN_S)
    say(f"Deleted {what}.")


class _Command(Command):
    """A command of ``k8s``; of the options that commands of ``cash`` share it takes those about how things look."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.params = [each for each in self.params if SHARED.get(each.name) is not each or each.name == "output"]


app = typer.Typer(
    name="k8s",
    help="Run the system in a Kubernetes cluster: the manifests in k8s/, driven by kubectl.",
    add_completion=False,
)
for _command in (start, status, logs, forward, stop, migrate, destroy):
    app.command(cls=_Command)(_command)
frame(app)


def run(words: Sequence[str]) -> object:
    """Run a command line; what it raises, or the exit code it returns, is for ``guard``."""
    # Whoever ends us leaves no kubectl behind, and no half of a file.
    with ended_in_order():
        return app(list(words), prog_name="k8s", standalone_mode=False)


def _meant(context: str | None) -> "Cluster":
    from cli.kubernetes.clusters import check_meant, find_cluster

    cluster = find_cluster(context)
    check_meant(cluster, named=context is not None)
    return cluster


def _check_deployed(kubectl: "Kubectl") -> None:
    if not kubectl.has("namespace", kubectl.namespace):
        raise kubectl.not_deployed()


def _loaded_image(cluster: "Cluster") -> str:
    """Return the image of this checkout, built and loaded where the cluster does not have it."""
    from cli.images.build import build_image, find_containerfile
    from cli.images.containers import find_engine
    from cli.images.image_tags import IMAGE, default_tag
    from infra.local.processes import PROJECT

    tag = default_tag(PROJECT)
    image = f"{IMAGE}:{tag}"
    if cluster.has_image(image):
        note(f"The cluster has {image} already.")
        return image
    containerfile = find_containerfile(PROJECT)
    build_image(find_engine(), containerfile, PROJECT, tag)
    if not cluster.has_image(image):
        cluster.load_image(image)
    return image


def _ensure_namespace(kubectl: "Kubectl") -> None:
    from json import dumps

    if kubectl.has("namespace", kubectl.namespace):
        return
    # From the first moment no pod in it may do what the strictest standard forbids.
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": kubectl.namespace, "labels": labels}}
    kubectl.tell("apply", "--server-side", "--filename=-", said=dumps(namespace))


def _migrate(manifests: "Manifests", timeout_s: float) -> None:
    from cli.kubernetes.manifests import MIGRATION, STEP
    from cli.kubernetes.rollout import wait_for

    note("Migrating the databases.")
    # A job cannot be changed, only made anew.
    manifests.kubectl.tell("delete", "jobs", f"--selector={MIGRATION}", "--ignore-not-found", "--wait=true")
    manifests.apply(MIGRATION)
    wait_for(manifests.kubectl, lambda each: each.labels.get(STEP) == "migration", timeout_s)


def _wake(kubectl: "Kubectl", *, processes: bool) -> None:
    """Give what `k8s stop` scaled to nothing a pod again, where its manifest leaves their number to an autoscaler."""
    from cli.kubernetes.pods import look

    lasting = [each for each in look(kubectl).workloads if each.kind != "Job" and _is_of_step(each) is processes]
    asleep = [each for each in lasting if each.replicas == 0]
    if asleep:
        kubectl.tell("scale", "--replicas=1", *(_reference(each) for each in asleep))


def _scale_to_nothing(kubectl: "Kubectl", workloads: "Sequence[Workload]", timeout_s: float) -> None:
    from cli.kubernetes.rollout import wait_for

    if not workloads:
        return
    names = {each.name for each in workloads}
    note(f"Stopping {', '.join(sorted(names))}.")
    kubectl.tell("scale", "--replicas=0", *(_reference(each) for each in workloads))
    wait_for(kubectl, lambda each: each.name in names, timeout_s, none_ending=True)


def _reference(workload: "Workload") -> str:
    return f"{workload.kind.lower()}/{workload.name}"


def _is_of_step(workload: "Workload") -> bool:
    from cli.kubernetes.manifests import STEP

    return STEP in workload.labels


def _show_all(kubectl: "Kubectl") -> None:
    from cli.kubernetes.pods import look
    from cli.kubernetes.rollout import show_pods

    show_pods(look(kubectl).pods)


def _watch(forwards: "dict[str, Forward]") -> None:
    """Say when a forward is lost and when it is there again, for ever."""
    lost: set[str] = set()
    while True:
        time.sleep(_LOOK_EVERY_S)
        for name, each in forwards.items():
            if not each.is_open and name not in lost:
                lost.add(name)
                note(f"The connection to the {name} was lost ({each.why or 'kubectl ended'}); opening it again.")
            elif each.is_open and name in lost:
                lost.discard(name)
                note(f"The connection to the {name} is there again.")


def _is_free(port: int) -> bool:
    from infra.local.ports import LOOPBACK

    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
