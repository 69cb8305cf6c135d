"""The system in containers, by compose or Kubernetes: where everything is, and which files each is given as secrets."""

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from infra.deployment.certificates import Certified, certify, make_authority
from infra.deployment.recipes import NAMES, Address, Places, Recipes
from infra.deployment.secrets import DEPLOYED_NAMES, Secrets, filled_up

#: Where a container finds its secrets, a file each. The image says so in ``CASH_SECRETS_FOLDER``.
SECRETS_FOLDER = Path("/run/secrets/cash-flow")
AUTHORITY_FILE = "ca.crt"
HTTP_PORT = 8000
#: Holds everything the others are made from, and is given to nobody but whoever makes them.
GENERATED = "generated"
PROCESSES = (
    "gateway",
    "identity-consumer",
    "ledger-consumer",
    "ledger-consumer-bulk",
    "relay",
    "celery-worker",
    "celery-beat",
)
DEPLOYED = Places(
    public_url="http://localhost:8000",
    http={process: Address("0.0.0.0", HTTP_PORT) for process in PROCESSES},  # noqa: S104 - a container's own
    kafka=Address("kafka", 9092),
    redis=Address("redis", 6379),
    databases={"users": Address("user-db", 5432), "ledger": Address("tx-db", 5432)},
    superusers={"users": "USERS_POSTGRES_PASSWORD", "ledger": "LEDGER_POSTGRES_PASSWORD"},
    smtp=Address("mailpit", 1025),
    sender="cash-flow <no-reply@cash-flow.local>",
    ca_file=SECRETS_FOLDER / AUTHORITY_FILE,
    drain_s=5,
)
"""Both name their servers alike, in networks of their own."""

#: By server: which of its files has which secret.
_SERVERS: Mapping[str, Mapping[str, str]] = {
    "kafka": {
        name: name for name in ("KAFKA_BROKER_PASSWORD", "KAFKA_CONTROLLER_PASSWORD", "KAFKA_ADMINISTRATOR_PASSWORD")
    },
    "redis": {"REDIS_PASSWORD": "REDIS_PASSWORD"},
    "user-db": {"POSTGRES_PASSWORD": "USERS_POSTGRES_PASSWORD"},
    "tx-db": {"POSTGRES_PASSWORD": "LEDGER_POSTGRES_PASSWORD"},
    "grafana": {"GRAFANA_PASSWORD": "GRAFANA_PASSWORD"},
}
CERTIFIED = ("kafka", "redis", "user-db", "tx-db")


def complete(known: Mapping[str, str], key_id: str) -> Secrets:
    """Return secrets with those made that are missing, and certificates that are missing or about to end.

    An authority that is missing is made anew, and so are all certificates.
    """
    secrets = filled_up(known, DEPLOYED_NAMES, key_id)
    authority = _certified(secrets, "ca")
    fresh = authority is None or authority.is_due()
    if authority is None or fresh:
        authority = make_authority()
    certified = {"ca": authority}
    for server in CERTIFIED:
        known_one = None if fresh else _certified(secrets, server)
        certified[server] = known_one if known_one and not known_one.is_due() else certify(authority, _hosts(server))
    return Secrets(
        {**secrets, **{name: text for owner, each in certified.items() for name, text in _entries(owner, each)}}
    )


def files_by_owner(secrets: Secrets) -> dict[str, dict[str, str]]:
    """Return the files of every process, step and server, by its name, and all there is as :data:`GENERATED`."""
    recipes = Recipes(secrets, DEPLOYED)
    authority = {AUTHORITY_FILE: secrets["ca.crt"]}
    told = {name: recipes.secrets_of(name) | authority for name in NAMES if name != "ledger-consumer-bulk"}
    return told | {server: _server_files(server, secrets) for server in _SERVERS} | {GENERATED: dict(secrets)}


def _server_files(server: str, secrets: Secrets) -> dict[str, str]:
    files = {file: secrets[name] for file, name in _SERVERS[server].items()}
    if server in CERTIFIED:
        certificate, key = secrets[f"{server}.crt"], secrets[f"{server}.key"]
        # Kafka's key store in PEM is one file.
        files |= {
            AUTHORITY_FILE: secrets["ca.crt"],
            "tls.crt": certificate,
            "tls.key": key,
            "tls.pem": key + certificate,
        }
    if server == "redis":
        # By its hash, in the form of Redis's access control list: no start script has to hand the password over.
        hashed = sha256(secrets["REDIS_PASSWORD"].encode()).hexdigest()
        files["users.acl"] = f"user default on #{hashed} ~* &* +@all\n"
    return files


def _hosts(server: str) -> list[str]:
    # The second is its whole name in the cluster; its own health check asks it at the last two.
    return [server, f"{server}.cash-flow.svc.cluster.local", "localhost", "127.0.0.1"]


def _certified(secrets: Mapping[str, str], owner: str) -> Certified | None:
    certificate, key = secrets.get(f"{owner}.crt"), secrets.get(f"{owner}.key")
    return Certified(certificate, key) if certificate and key else None


def _entries(owner: str, certified: Certified) -> list[tuple[str, str]]:
    return [(f"{owner}.crt", certified.certificate), (f"{owner}.key", certified.key)]
