"""Kafka's users: each signs in by SCRAM-SHA-512 with a password of its own."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from infra.kafka.administration import answer_of, until
from infra.settings import Settings

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

#: How often a password is hashed before it is kept, or compared: Kafka's least, which these passwords, made by chance
#: and never typed, need no more of.
_ITERATIONS = 4096


class KafkaUserPasswords(Settings):
    """The passwords that Kafka's users get (``CASH_KAFKA_GATEWAY_PASSWORD`` and so on).

    Users of a password that is not given are not made, and removed where they are.
    """

    model_config = SettingsConfigDict(env_prefix="CASH_KAFKA_")

    gateway_password: SecretStr = Field(description="Writes submissions and reads the ledger's journal.")
    identity_consumer_password: SecretStr = Field(description="Takes what people ask about themselves.")
    ledger_consumer_password: SecretStr = Field(description="Takes what people and imports ask of the books.")
    relay_password: SecretStr = Field(description="Writes the journals.")
    operator_password: SecretStr = Field(description="Of the commands that look after the system.")
    importer_password: SecretStr | None = Field(None, description="Writes ledger.bulk. Absent: nobody imports.")
    simulator_password: SecretStr | None = Field(
        None, description="Of `cash sim --via kafka`, which asks in people's names. Absent: nobody simulates."
    )
    broker_password: SecretStr | None = Field(
        None,
        description="The broker's own, as it was given when its storage was formatted. With it the administrator is "
        "made, or gets the password it signs in with here, where it cannot sign in.",
    )

    def by_user(self) -> dict[str, str | None]:
        """Return the password of each user who has rules, ``None`` for one who is not to be there."""
        secrets: dict[str, SecretStr | None] = {
            "gateway": self.gateway_password,
            "identity-consumer": self.identity_consumer_password,
            "ledger-consumer": self.ledger_consumer_password,
            "relay": self.relay_password,
            "operator": self.operator_password,
            "importer": self.importer_password,
            "simulator": self.simulator_password,
        }
        return {user: secret.get_secret_value() if secret else None for user, secret in secrets.items()}


@dataclass
class UsersChanged:
    """What was done: users who were made, who were there and got their password once more, and who were removed."""

    made: list[str] = field(default_factory=list)
    renewed: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)


def ensure_users(admin: "AdminClient", passwords: Mapping[str, str | None]) -> UsersChanged:
    """Give these users their passwords, and remove those without one; users who are not named stay as they are.

    A password cannot be read back, so whether it changed is not known: each is set. That disturbs nobody who is signed
    in, nor anybody who signs in with the same one meanwhile.

    Raises:
        Unavailable: Kafka does not answer, or refuses.
    """
    # Imported here: only this step needs it.
    from confluent_kafka.admin import (
        ScramCredentialInfo,
        ScramMechanism,
        UserScramCredentialAlteration,
        UserScramCredentialDeletion,
        UserScramCredentialUpsertion,
    )

    mechanism = ScramMechanism.SCRAM_SHA_512
    known = _known(admin)
    wanted = {user: password for user, password in passwords.items() if password is not None}
    removed = sorted(known & passwords.keys() - wanted.keys())
    alterations: list[UserScramCredentialAlteration] = [
        UserScramCredentialUpsertion(user, ScramCredentialInfo(mechanism, _ITERATIONS), password.encode())
        for user, password in wanted.items()
    ]
    alterations += [UserScramCredentialDeletion(user, mechanism) for user in removed]
    for user, answer in admin.alter_user_scram_credentials(alterations).items():
        answer_of(answer, f"set the password of {user}")
    until(lambda: wanted.keys() <= _known(admin) and not _known(admin) & set(removed), "see the users that were made")
    return UsersChanged(sorted(wanted.keys() - known), sorted(wanted.keys() & known), removed)


def _known(admin: "AdminClient") -> set[str]:
    answer = admin.describe_user_scram_credentials()
    assert not isinstance(answer, dict)  # it is one only where users were named
    return set(answer_of(answer, "list the users"))
