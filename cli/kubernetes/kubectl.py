"""kubectl as the commands use it: one namespace, answers as JSON, complaints as one sentence that says what to do."""

import json
from collections.abc import Sequence
from typing import Any, NoReturn

from cli.connection.programs import Answer, ask, find_program
from cli.terminal.output import ExitCode, Failure, fail

NAMESPACE = "cash-flow"
_NO_CONTEXT = ("current-context is not set", "current-context must exist", "context was not found", "does not exist")
_NO_ANSWER = (
    "the connection to the server",
    "unable to connect to the server",
    "connection refused",
    "i/o timeout",
    "no such host",
    "tls handshake",
    "x509",
)
_NOT_SIGNED_IN = ("unauthorized", "must be logged in", "getting credentials")


class NotFound(Failure):
    """The cluster answered that there is no such thing."""


class Kubectl:
    """Runs kubectl for one context (the current one where none is said) and one namespace."""

    def __init__(self, context: str | None = None, namespace: str = NAMESPACE) -> None:
        found = find_program("kubectl")
        if found is None:
            fail("there is no kubectl on this machine; install it (kubernetes.io/docs/tasks/tools), then try again")
        self.program = found
        self.context = context
        self.namespace = namespace

    def command(self, *words: str) -> list[str]:
        """Return the words of a call in this context and namespace."""
        context = ["--context", self.context] if self.context else []
        return [self.program, *context, "--namespace", self.namespace, *words]

    def ask(self, *words: str, said: str = "", within_s: float = 30.0) -> Answer:
        """Make a call and return its answer, whatever it is."""
        return ask(self.command(*words), said=said, within_s=within_s)

    def tell(self, *words: str, said: str = "", within_s: float = 30.0) -> str:
        """Make a call and return what it printed; fails where it could not be done."""
        answer = self.ask(*words, said=said, within_s=within_s)
        if not answer.ok:
            self.explain(answer, words)
        return answer.out

    def get(self, *words: str) -> dict[str, Any]:
        """Return what ``get`` answers as JSON.

        Raises:
            NotFound: there is no such thing.
        """
        # A cluster that does not answer would be asked for half a minute otherwise.
        out = self.tell("get", *words, "--output", "json", "--request-timeout", "10s")
        try:
            read: dict[str, Any] = json.loads(out)
        except ValueError:
            fail(f"kubectl get {' '.join(words)} did not answer JSON; see whether it does when you run it yourself")
        return read

    def has(self, *words: str) -> bool:
        """Return whether there is such a thing."""
        try:
            self.get(*words)
        except NotFound:
            return False
        return True

    def not_deployed(self, service: str | None = None) -> Failure:
        """Return why there is no such service, or nothing at all where none is named."""
        if service is not None and self.has("namespace", self.namespace):
            what = f"the namespace {self.namespace} has no service {service}"
        else:
            what = f"the cluster has no namespace {self.namespace}"
        return Failure(
            f"{what}; start the system there with `k8s start`, or choose another cluster with "
            "`kubectl config use-context`",
            ExitCode.NOT_READY,
        )

    def explain(self, answer: Answer, words: Sequence[str]) -> NoReturn:
        """Fail with what an answer complains about, in words that say what to do."""
        said = answer.err.lower()
        if any(sign in said for sign in _NOT_SIGNED_IN):
            fail(f"the cluster does not know you ({answer.complaint}); sign in to it, then try again")
        if any(sign in said for sign in _NO_CONTEXT) and "namespace" not in said:
            fail(
                f"kubectl has no cluster to talk to ({answer.complaint}); start one (`minikube start`), or choose one "
                "with `kubectl config use-context`",
                ExitCode.UNREACHABLE,
            )
        if any(sign in said for sign in _NO_ANSWER):
            fail(
                f"the cluster does not answer ({answer.complaint}); start it (`minikube start`), or see "
                "`kubectl config current-context`",
                ExitCode.UNREACHABLE,
            )
        if "(notfound)" in said:
            raise NotFound(answer.complaint.removeprefix("Error from server (NotFound): "), ExitCode.NOT_FOUND)
        if "(forbidden)" in said:
            fail(f"the cluster says you may not do that ({answer.complaint}); ask who runs it", ExitCode.REFUSED)
        fail(f"`kubectl {words[0]}` failed ({answer.complaint})")
