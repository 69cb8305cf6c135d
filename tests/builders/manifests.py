"""The manifests as kustomize builds them, in as far as ours use it: machines that run the tests need no kubectl.

A field of a kustomization that is not understood here is refused, so that what is tested is what is applied; where
there is a kubectl, a test compares the two.
"""

import copy
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

Thing = dict[str, Any]

#: By the field of a pod that is a list: what tells its entries apart when a patch is laid over it.
KEYS: Mapping[str, str] = {
    "containers": "name",
    "initContainers": "name",
    "volumes": "name",
    "env": "name",
    "volumeMounts": "mountPath",
    "ports": "containerPort",
}
_WITHOUT_NAMESPACE = frozenset({"Namespace"})


def build(folder: Path, *components: Path) -> list[Thing]:
    """Return what ``kubectl kustomize`` prints of a folder, but with the plain names of generated ConfigMaps.

    ``components`` are laid over it, as by an overlay that names it and them.
    """
    things = _build(folder, [])
    for component in components:
        things = _build(component, things)
    return things


def things_in(path: Path) -> list[Thing]:
    """Return the documents of a file of manifests."""
    return [each for each in yaml.safe_load_all(path.read_text()) if each is not None]


def _build(folder: Path, so_far: list[Thing]) -> list[Thing]:
    told = yaml.safe_load((folder / "kustomization.yaml").read_text())
    assert told.pop("kind") in ("Kustomization", "Component")
    del told["apiVersion"]
    things = [*so_far]
    for name in told.pop("resources", ()):
        path = folder / name
        things += _build(path, []) if path.is_dir() else things_in(path)
    for name in told.pop("components", ()):
        things = _build(folder / name, things)
    for each in told.pop("configMapGenerator", ()):
        _generate(folder, each, things)
    for patch in told.pop("patches", ()):
        _patch(folder, patch, things)
    if namespace := told.pop("namespace", None):
        for thing in things:
            if thing["kind"] not in _WITHOUT_NAMESPACE:
                thing["metadata"]["namespace"] = namespace
    for labels in told.pop("labels", ()):
        _label(labels, things)
    for replicas in told.pop("replicas", ()):
        for thing in _named(things, replicas["name"], ("Deployment", "StatefulSet")):
            thing["spec"]["replicas"] = replicas["count"]
    assert not told, f"{folder}/kustomization.yaml says {', '.join(told)}, which {Path(__file__).name} does not know"
    return things


def _generate(folder: Path, told: Thing, things: list[Thing]) -> None:
    data: dict[str, str] = {}
    for name in told.get("envs", ()):
        lines = (folder / name).read_text().splitlines()
        data |= dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    for name in told.get("files", ()):
        key, _, path = name.rpartition("=")
        data[key or Path(path).name] = (folder / path).read_text()
    assert told.keys() <= {"name", "behavior", "envs", "files", "options"}, told
    made: Thing = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": told["name"]}, "data": data}
    if labels := told.get("options", {}).get("labels"):
        made["metadata"]["labels"] = dict(labels)
    match told.get("behavior"):
        case None:
            things.append(made)
        case "replace" | "merge" as behavior:
            (known,) = _named(things, told["name"], ("ConfigMap",))
            known["data"] = data if behavior == "replace" else known["data"] | data
        case other:
            raise AssertionError(f"ConfigMaps are not made by {other} here")


def _patch(folder: Path, told: Thing, things: list[Thing]) -> None:
    assert told.keys() <= {"path", "target"}, told
    (patch,) = things_in(folder / told["path"])
    target = told.get("target", {"kind": patch["kind"], "name": patch["metadata"]["name"]})
    wanted = [thing for thing in things if _is_target(target, thing)]
    assert wanted, f"{told['path']} changes nothing"
    for thing in wanted:
        over = copy.deepcopy(patch)
        over["metadata"].pop("name")
        thing.update(_merged(thing, over))


def _is_target(target: Thing, thing: Thing) -> bool:
    labels = thing["metadata"].get("labels", {})
    asked = {"kind": thing["kind"], "name": thing["metadata"]["name"]}
    for field, value in target.items():
        if field == "labelSelector":
            key, _, wanted = value.partition("=")
            if labels.get(key) != wanted:
                return False
        elif asked[field] != value:
            return False
    return True


def _merged(under: Any, over: Any, field: str = "") -> Any:
    """Return what a strategic merge makes of a value and of what is laid over it."""
    if isinstance(under, dict) and isinstance(over, dict):
        return {
            key: _merged(under.get(key), over.get(key, under.get(key)), key) if key in over else under[key]
            for key in [*under, *(key for key in over if key not in under)]
        }
    if isinstance(under, list) and isinstance(over, list) and (key := KEYS.get(field)):
        there = {each[key]: each for each in under}
        for each in over:
            there[each[key]] = _merged(there.get(each[key]), each)
        return list(there.values())
    return copy.deepcopy(over)


def _label(told: Thing, things: list[Thing]) -> None:
    assert told.keys() == {"pairs", "includeTemplates"}, told
    for thing in things:
        thing["metadata"].setdefault("labels", {}).update(told["pairs"])
        if template := _template(thing):
            template.setdefault("metadata", {}).setdefault("labels", {}).update(told["pairs"])
        if job := thing.get("spec", {}).get("jobTemplate"):
            job.setdefault("metadata", {}).setdefault("labels", {}).update(told["pairs"])
        for claim in thing.get("spec", {}).get("volumeClaimTemplates", ()):
            claim["metadata"].setdefault("labels", {}).update(told["pairs"])


def _named(things: list[Thing], name: str, kinds: tuple[str, ...]) -> list[Thing]:
    found = [each for each in things if each["kind"] in kinds and each["metadata"]["name"] == name]
    assert found, f"there is no {' or '.join(kinds)} {name}"
    return found


def _template(thing: Thing) -> Thing | None:
    spec = thing.get("spec", {})
    found: Thing | None = spec.get("jobTemplate", {}).get("spec", spec).get("template")
    return found


def pods(things: list[Thing]) -> Iterator[tuple[Thing, Thing]]:
    """Yield each workload with the template of its pods."""
    for thing in things:
        if template := _template(thing):
            yield thing, template


def of_kind(things: list[Thing], kind: str) -> dict[str, Thing]:
    """Return the things of a kind by their names."""
    return {each["metadata"]["name"]: each for each in things if each["kind"] == kind}


def each_container(template: Thing) -> Iterator[Thing]:
    """Yield a pod's containers, those that run first included."""
    yield from template["spec"].get("initContainers", ())
    yield from template["spec"]["containers"]


def settings_of(container: Thing, config: Mapping[str, Thing]) -> dict[str, str]:
    """Return a container's environment: what its ConfigMaps say, then what it says itself."""
    told: dict[str, str] = {}
    for source in container.get("envFrom", ()):
        told |= config[source["configMapRef"]["name"]]["data"]
    return told | {each["name"]: each["value"] for each in container.get("env", ())}


def chosen(labels: Mapping[str, str]) -> Callable[[Thing], bool]:
    """Return what says whether a selector means a pod of these labels; ours are plain."""

    def means(selector: Thing) -> bool:
        assert selector.keys() <= {"matchLabels"}, selector
        wanted: Mapping[str, str] = selector.get("matchLabels", {})
        return wanted.items() <= labels.items()

    return means
