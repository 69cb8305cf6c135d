"""Bringing a cluster's access rules to what ``access.py`` says: what is missing is added, what is too much removed."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from infra.kafka.access import USERS, Rule
from infra.kafka.administration import answer_of, until

if TYPE_CHECKING:
    from confluent_kafka.admin import AclBinding, AclBindingFilter, AdminClient


@dataclass
class AccessChanged:
    """What was done, in sentences: rules added and removed, and others' rules that let anybody in.

    ``count`` is how many rules there are of ours now; ``is_new`` says that there were none before.
    """

    count: int
    is_new: bool

    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    open_to_all: list[str] = field(default_factory=list)


def ensure_access(admin: "AdminClient", rules: Collection[Rule]) -> AccessChanged:
    """Let our users do what these rules say and nothing else; the rules of other users stay as they are.

    Raises:
        Unavailable: Kafka does not answer, or refuses.
    """
    wanted = {_binding(rule) for rule in rules}
    there = _list(admin)
    ours = {binding for binding in there if binding.principal in {_principal(user) for user in USERS}}
    missing, too_much = sorted(wanted - ours, key=_sentence), sorted(ours - wanted, key=_sentence)
    if missing:
        for binding, created in admin.create_acls(missing).items():
            answer_of(created, f"let {_sentence(binding)}")
    if too_much:
        for found, deleted in admin.delete_acls([_filter(binding) for binding in too_much]).items():
            answer_of(deleted, f"no longer let {_sentence(found)}")
    if missing or too_much:
        until(lambda: wanted <= _list(admin) and not _list(admin) & set(too_much), "see the rules that were made")
    return AccessChanged(
        count=len(wanted),
        is_new=not ours,
        added=_sentences(missing),
        removed=_sentences(too_much),
        open_to_all=_sentences([binding for binding in there if binding.principal == _principal("*")]),
    )


def _binding(rule: Rule) -> "AclBinding":
    from confluent_kafka.admin import AclBinding, AclOperation, AclPermissionType, ResourcePatternType, ResourceType

    return AclBinding(
        ResourceType[rule.kind.name],
        rule.name,
        ResourcePatternType.LITERAL,
        _principal(rule.user),
        "*",
        AclOperation[rule.operation.name],
        AclPermissionType.ALLOW,
    )


def _principal(user: str) -> str:
    return f"User:{user}"


def _list(admin: "AdminClient") -> "set[AclBinding]":
    from confluent_kafka.admin import (
        AclBindingFilter,
        AclOperation,
        AclPermissionType,
        ResourcePatternType,
        ResourceType,
    )

    everything = AclBindingFilter(
        ResourceType.ANY, None, ResourcePatternType.ANY, None, None, AclOperation.ANY, AclPermissionType.ANY
    )
    return set(answer_of(admin.describe_acls(everything), "list the access rules"))


def _filter(binding: "AclBinding") -> "AclBindingFilter":
    from confluent_kafka.admin import AclBindingFilter

    return AclBindingFilter(
        binding.restype,
        binding.name,
        binding.resource_pattern_type,
        binding.principal,
        binding.host,
        binding.operation,
        binding.permission_type,
    )


def _sentence(binding: "AclBinding") -> str:
    """Return what a rule of a cluster says, whoever made it."""
    return f"{_who_may(binding)} {_name(binding)}"


def _sentences(bindings: "Iterable[AclBinding]") -> list[str]:
    """Return what rules say, those together that differ in a name only."""
    named: dict[str, list[str]] = {}
    for binding in sorted(bindings, key=_sentence):
        named.setdefault(_who_may(binding), []).append(_name(binding))
    return [f"{who_may}{'s' if len(names) > 1 else ''} {', '.join(names)}" for who_may, names in named.items()]


def _who_may(binding: "AclBinding") -> str:
    user, operation = binding.principal.removeprefix("User:"), binding.operation.name.replace("_", " ").lower()
    may = "may" if binding.permission_type.name == "ALLOW" else "may not"
    return f"{user} {may} {operation} {binding.restype.name.lower()}"


def _name(binding: "AclBinding") -> str:
    return binding.name if binding.resource_pattern_type.name == "LITERAL" else f"{binding.name}…"
