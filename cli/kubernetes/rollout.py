"""Waiting until what was applied is there, with the pods before one's eyes."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.live import Live
from rich.text import Text

from cli.kubernetes.kubectl import Kubectl
from cli.kubernetes.pods import TERMINATING, Namespace, Pod, Workload, duration, look
from cli.terminal.output import ExitCode, Failure, Output, fitting_table, note, printable, show_table

Wanted = Callable[[Workload], bool]
Show = Callable[[Sequence[Pod]], None]

#: Seconds between two looks at the cluster.
_LOOK_EVERY_S = 1.0
_LAST_WORDS = 10
_COLUMNS = ("NAME", "READY", "STATUS", "RESTARTS", "AGE")
_LOOKS: Mapping[str, tuple[str, ...]] = {
    "right": ("RESTARTS",),
    "whole": ("READY", "STATUS", "AGE"),
    "spare": ("RESTARTS", "AGE", "READY"),
}


def wait_for(kubectl: Kubectl, wanted: Wanted, timeout_s: float, *, none_ending: bool = False) -> None:
    """Wait until the workloads that are wanted are done; a table of all pods shows how far they are.

    Fails as soon as waiting is in vain: an image that cannot be pulled, a process that ends again and again, a job that
    failed; and after ``timeout_s``, telling what is missing. With ``none_ending`` it waits, too, until no pod is left
    that was told to stop.
    """
    until = time.monotonic() + timeout_s
    with _shown() as show:
        while True:
            seen = look(kubectl)
            show(seen.pods)
            waited_for = [each for each in seen.workloads if wanted(each)]
            ending = none_ending and any(pod.status == TERMINATING for pod in seen.pods)
            if all(each.done for each in waited_for) and not ending:
                return
            failure = why_in_vain(seen, waited_for)
            if failure is None and time.monotonic() > until:
                failure = _too_late(kubectl, seen, waited_for, timeout_s)
            if failure is not None:
                break
            time.sleep(_LOOK_EVERY_S)
    show_pods(seen.pods)
    for pod in _of(waited_for, seen.pods):
        if pod.hopeless or pod.status == "Error":
            _show_last_words(kubectl, pod)
            break
    raise failure


def show_pods(pods: Sequence[Pod]) -> None:
    """Print the pods as ``kubectl get pods`` does; a narrow terminal gets fewer columns."""
    rows = [_cells(pod) for pod in pods]
    show_table(
        _COLUMNS, rows, right=("RESTARTS",), whole=("READY", "STATUS", "AGE"), spare=("RESTARTS", "AGE", "READY")
    )


def why_in_vain(seen: Namespace, waited_for: Sequence[Workload]) -> Failure | None:
    """Return why waiting for workloads would be in vain, ``None`` where it may help."""
    for workload in waited_for:
        if workload.failed:
            return Failure(f"the job {workload.name} failed; see `k8s logs {workload.name}`")
    for pod in _of(waited_for, seen.pods):
        if pod.hopeless:
            return Failure(f"{pod.name} will not start ({_reason(pod)}); see `k8s logs {pod.name}`")
    return None


def _too_late(kubectl: Kubectl, seen: Namespace, waited_for: Sequence[Workload], timeout_s: float) -> Failure:
    pods = [pod for pod in _of(waited_for, seen.pods) if not pod.is_well]
    missing = [f"{pod.name} ({_reason(pod)})" for pod in pods]
    if pods and not pods[0].why and (warning := _newest_warning(kubectl, pods[0].name)):
        missing[0] = f"{pods[0].name} ({pods[0].status}: {warning})"
    missing = missing or [each.name for each in waited_for if not each.done]
    more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    return Failure(
        f"not everything is ready after {timeout_s:g} s: {missing[0]}{more}; see `k8s status`, or give it longer with "
        "--timeout",
        ExitCode.NOT_READY,
    )


def _newest_warning(kubectl: Kubectl, pod: str) -> str:
    """Return what the cluster last warned of about a pod, such as a secret that is not there; empty where nothing."""
    try:
        events = kubectl.get("events", f"--field-selector=type=Warning,involvedObject.name={pod}")["items"]
    except Failure:
        return ""
    newest: Mapping[str, Any] = max(
        events, key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime") or ""), default={}
    )
    return " ".join(printable(str(newest.get("message", ""))).split())


def _of(workloads: Sequence[Workload], pods: Sequence[Pod]) -> list[Pod]:
    names = {each.name for each in workloads}
    return [pod for pod in pods if pod.workload in names]


def _reason(pod: Pod) -> str:
    return printable(f"{pod.status}: {pod.why}" if pod.why else pod.status)


def _show_last_words(kubectl: Kubectl, pod: Pod) -> None:
    """Print what a pod said before it ended, where it said something."""
    for words in (("--previous",), ()):
        answer = kubectl.ask("logs", pod.name, "--all-containers", f"--tail={_LAST_WORDS}", *words)
        if answer.ok and answer.out.strip():
            note(f"The last it said:\n{answer.out.rstrip()}")
            return


@contextmanager
def _shown() -> Iterator[Show]:
    """Lend what shows pods while they change: a table in one place at a terminal, a line for each change elsewhere."""
    output = Output(stderr=True)
    if output.is_terminal:
        with Live(console=output, transient=True, auto_refresh=False) as live:
            yield lambda pods: live.update(
                fitting_table(_COLUMNS, [_cells(pod) for pod in pods], **_LOOKS), refresh=True
            )
        return
    told: dict[str, str] = {}

    def tell(pods: Sequence[Pod]) -> None:
        for pod in pods:
            words = f"{pod.name}  {pod.ready}/{pod.containers}  {pod.status}"
            if told.get(pod.name) != words:
                told[pod.name] = words
                note(words)

    yield tell


def _cells(pod: Pod) -> list[Text]:
    style = "green" if pod.is_well else "bold red" if pod.hopeless else "yellow"
    texts = [pod.name, f"{pod.ready}/{pod.containers}", pod.status, str(pod.restarts), duration(pod.age_s)]
    return [Text(printable(text), style=style if text is pod.status else "") for text in texts]
