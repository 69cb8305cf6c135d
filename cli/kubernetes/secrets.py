"""Passwords and keys of a cluster: made there once, each process given its own; they travel by standard input only."""

import base64
import json
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from cli.kubernetes.kubectl import Kubectl, NotFound
from cli.terminal.output import fail
from infra.local.environment import Environments
from infra.local.secrets import NAMES, PASSWORDS, Secrets, filled_up

#: Holds them all and is given to no pod; those of the processes are made from it.
GENERATED = "generated"
#: For the servers themselves: which passwords their users have.
SERVERS = "servers"
#: The processes, and the steps before them.
_TOLD = (
    "gateway",
    "identity-consumer",
    "ledger-consumer",
    "relay",
    "celery-worker",
    "celery-beat",
    "bootstrap",
    "migrate",
    "topics",
)


def ensure_secrets(kubectl: Kubectl) -> bool:
    """Make the secrets that the namespace does not have; return whether it had none.

    Data made under lost secrets cannot be opened again: volumes without secrets are refused.
    """
    known = _find(kubectl)
    if known is None and kubectl.get("persistentvolumeclaims")["items"]:
        fail(
            f"the secret {GENERATED} of the namespace {kubectl.namespace} is gone, but data made with it is there; put "
            "it back, or start over with `k8s destroy`"
        )
    secrets = Secrets(known or {})
    if not secrets.keys() >= set(NAMES):
        secrets = filled_up(secrets, key_id="cluster-1")
    wanted = {GENERATED: secrets, **secrets_by_process(secrets)}
    made = {"apiVersion": "v1", "kind": "List", "items": [_secret(kubectl, *each) for each in wanted.items()]}
    # The client's own way of applying would keep a second copy of them, in an annotation.
    kubectl.tell("apply", "--server-side", "--force-conflicts", "--filename=-", said=json.dumps(made))
    return known is None


def secrets_by_process(secrets: Secrets) -> dict[str, dict[str, str]]:
    """Return what each process is told as a secret, by the names of its settings; and what the servers are told."""
    environments = Environments(secrets, defaultdict(int))
    values = set(secrets.values())
    told = {
        process: {name: value for name, value in environments.of(process).items() if value in values}
        for process in _TOLD
    }
    return {
        **{process: own for process, own in told.items() if own},
        SERVERS: {name: secrets[name] for name in PASSWORDS},
    }


def _find(kubectl: Kubectl) -> dict[str, str] | None:
    try:
        found = kubectl.get("secret", GENERATED)
    except NotFound:
        return None
    return {name: base64.b64decode(value).decode() for name, value in found.get("data", {}).items()}


def _secret(kubectl: Kubectl, name: str, values: Mapping[str, str]) -> dict[str, Any]:
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    metadata = {"name": name, "namespace": kubectl.namespace, "labels": {"app.kubernetes.io/part-of": "cash-flow"}}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque", "data": data}
