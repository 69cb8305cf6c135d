"""Passwords, keys, certificates of a cluster: made there once, to each its own; they travel by standard input only."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from cli.kubernetes.kubectl import Kubectl, NotFound
from cli.terminal.output import fail
from infra.deployment.containers import GENERATED, complete, files_by_owner


@dataclass(frozen=True, slots=True)
class Ensured:
    """What became of the secrets: whether there were none, and by owner what tells one state of them from another."""

    are_new: bool
    states: Mapping[str, str]


def ensure_secrets(kubectl: Kubectl) -> Ensured:
    """Make the secrets that the namespace does not have.

    Data made under lost secrets cannot be opened again: volumes without secrets are refused.
    """
    known = _find(kubectl)
    if known is None and kubectl.get("persistentvolumeclaims")["items"]:
        fail(
            f"the secret {GENERATED} of the namespace {kubectl.namespace} is gone, but data made with it is there; put "
            "it back, or start over with `k8s destroy`"
        )
    wanted = files_by_owner(complete(known or {}, key_id="cluster-1"))
    made = {"apiVersion": "v1", "kind": "List", "items": [_secret(kubectl, *each) for each in wanted.items()]}
    # The client's own way of applying would keep a second copy of them, in an annotation.
    kubectl.tell("apply", "--server-side", "--force-conflicts", "--filename=-", said=json.dumps(made))
    states = {owner: _state(files) for owner, files in wanted.items()}
    # The same user, who mounts the same secret.
    states["ledger-consumer-bulk"] = states["ledger-consumer"]
    return Ensured(known is None, states)


def _state(files: Mapping[str, str]) -> str:
    """Return a hash: of passwords that nobody can guess, so it tells nothing but whether they are the same."""
    return sha256(json.dumps(dict(files), sort_keys=True).encode()).hexdigest()[:16]


def _find(kubectl: Kubectl) -> dict[str, str] | None:
    try:
        found = kubectl.get("secret", GENERATED)
    except NotFound:
        return None
    return {name: base64.b64decode(value).decode() for name, value in found.get("data", {}).items()}


def _secret(kubectl: Kubectl, name: str, files: Mapping[str, str]) -> dict[str, Any]:
    data = {file: base64.b64encode(content.encode()).decode() for file, content in files.items()}
    metadata = {"name": name, "namespace": kubectl.namespace, "labels": {"app.kubernetes.io/part-of": "cash-flow"}}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque", "data": data}
