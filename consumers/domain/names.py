"""Names that only one person can have: usernames and e-mail addresses, as one batch sees them."""

from dataclasses import dataclass, field
from typing import Literal
from uuid import UUID

NameKind = Literal["email", "username"]
Name = tuple[NameKind, str]
"""A name by its kind and the key under which it is unique."""


@dataclass(slots=True)
class Names:
    """Who has which name, shared by all registrations of a batch, so that two that want one name see each other.

    ``taken`` had an owner before the batch. ``claimed`` are held for the batch against everybody else; the first
    registration that is decided to deserve one becomes its owner, and what nobody was given is released again.
    """

    taken: set[Name] = field(default_factory=set)
    claimed: set[Name] = field(default_factory=set)
    owners: dict[Name, UUID] = field(default_factory=dict)

    def has_owner(self, kind: NameKind, key: str) -> bool:
        """Say whether somebody has the name already."""
        return (kind, key) in self.taken or (kind, key) in self.owners

    def is_free(self, kind: NameKind, key: str) -> bool:
        """Say whether the name can be given in this batch."""
        return (kind, key) in self.claimed and (kind, key) not in self.owners

    def give(self, kind: NameKind, key: str, registration_id: UUID) -> None:
        """Make a registration the owner of a free name."""
        self.owners[kind, key] = registration_id

    @property
    def released(self) -> set[Name]:
        """What was claimed and given to nobody."""
        return self.claimed - self.owners.keys()
