"""The manifests in ``k8s/``: which overlay is meant, with which image, and what comes before what."""

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.images.image_tags import IMAGE
from cli.kubernetes.kubectl import Kubectl
from cli.terminal.output import ExitCode, fail
from infra.local.processes import PROJECT

#: The label that says when a manifest is applied; what has none (namespace, servers, settings) comes first.
#: ``operating`` is what looks after the processes, and comes with them.
STEP = "cash-flow/step"
FIRST, MIGRATION, PROCESSES = f"!{STEP}", f"{STEP}=migration", f"{STEP} in (process, operating)"
_OVERLAYS = PROJECT / "k8s" / "overlays"
_KUSTOMIZATION = "kustomization.yaml"
_APPLY_WITHIN_S = 120.0
#: On a pod: the state of the secrets it was started with. Another one is another pod.
_SECRETS = "cash-flow/secrets"


def find_overlay(name: str) -> Path:
    """Return an overlay's folder: by its name in ``k8s/overlays``, or as a path."""
    folder = Path(name).expanduser().absolute() if os.sep in name else _OVERLAYS / name
    if not (folder / _KUSTOMIZATION).is_file():
        there = sorted(each.parent.name for each in _OVERLAYS.glob(f"*/{_KUSTOMIZATION}"))
        known = f"there are: {', '.join(there)}" if there else "this checkout has no manifests yet (see k8s/README.md)"
        fail(f"{folder} has no {_KUSTOMIZATION}, so there is nothing to apply; {known}", ExitCode.NOT_FOUND)
    return folder


@dataclass(frozen=True, slots=True)
class Manifests:
    """An overlay whose manifests run one image; made by :func:`with_image`."""

    kubectl: Kubectl
    folder: Path

    def apply(self, selector: str) -> None:
        """Apply the manifests that a selector means."""
        # By the server, which knows whose each field is: what the manifests say is theirs again, be it the number of
        # pods after `k8s stop`, and what they leave out stays an autoscaler's.
        words = ("--server-side", "--force-conflicts", f"--kustomize={self.folder}", f"--selector={selector}")
        self.kubectl.tell("apply", *words, within_s=_APPLY_WITHIN_S)


@contextmanager
def with_image(
    kubectl: Kubectl, overlay: Path, image: str, secrets: Mapping[str, str] | None = None
) -> Iterator[Manifests]:
    """Lend an overlay in which every ``cash-flow`` image is the given one; the overlay itself stays as it is.

    ``secrets`` says, by workload, in which state its secrets are: whose have changed is started anew.
    """
    name, _, tag = image.rpartition(":")
    with tempfile.TemporaryDirectory(prefix="cash-flow-k8s-") as made:
        folder = Path(made).resolve()
        kustomization = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            # kustomize takes no absolute path here.
            "resources": [os.path.relpath(overlay.resolve(), folder)],
            "images": [{"name": IMAGE, "newName": name, "newTag": tag}],
            "patches": [
                _secrets_patch(kind, owner, state)
                for owner, state in (secrets or {}).items()
                for kind in ("Deployment", "StatefulSet")
            ],
        }
        (folder / _KUSTOMIZATION).write_text(json.dumps(kustomization), "utf-8")
        yield Manifests(kubectl, folder)


def _secrets_patch(kind: str, owner: str, state: str) -> dict[str, Any]:
    """Return a patch that notes the state of its secrets on a workload, where there is one of that kind and name."""
    noted = {"metadata": {"annotations": {_SECRETS: state}}}
    patch = {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": owner}, "spec": {"template": noted}}
    return {"target": {"kind": kind, "name": f"^{owner}$"}, "patch": json.dumps(patch)}
