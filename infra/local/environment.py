"""Where everything of the local stack is, and running a program in the place of one of its processes."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence

from infra.deployment.recipes import NAMES, Address, Places, Recipes
from infra.local.home import Home
from infra.local.ports import LOOPBACK, PREFERRED, read_ports
from infra.local.secrets import read_secrets

SENDER = "cash-flow <no-reply@cash-flow.local>"


def local_places(ports: Mapping[str, int]) -> Places:
    """Return where everything is: on the loopback interface, at these ports.

    Without TLS: the wheel's PostgreSQL is built without it, and nothing leaves this machine.
    """
    address = {name: Address(LOOPBACK, ports.get(name, usual)) for name, usual in PREFERRED.items()}
    return Places(
        public_url=f"http://{address['gateway']}",
        http=address,
        kafka=address["kafka"],
        redis=address["redis"],
        databases={"users": address["postgres"], "ledger": address["postgres"]},
        superusers={"users": "POSTGRES_PASSWORD", "ledger": "POSTGRES_PASSWORD"},
        smtp=address["smtp"],
        sender=SENDER,
        static_members=True,
        common={"CASH_LOG_LEVEL": "INFO", "CASH_LOG_FORMAT": "json"},
    )


def local_recipes(home: Home) -> Recipes:
    """Return what each process of a stack is told; it exists from its first start on.

    Raises:
        StackError: there are no secrets yet, or they cannot be read.
    """
    return Recipes(read_secrets(home), local_places(read_ports(home)))


def main(arguments: Sequence[str]) -> int:
    """Become a program with a process's settings: ``… gateway -- python -m gateway``."""
    if len(arguments) < 3 or arguments[1] != "--" or arguments[0] not in NAMES:
        print(f"Say which settings and which program: NAME -- PROGRAM...; NAME is one of {', '.join(NAMES)}")
        return os.EX_USAGE
    home = Home.default()
    if not home.secrets.exists():
        print(f"There is no stack in {home.root} yet; start one with `cash up`")
        return 1
    program = list(arguments[2:])
    return subprocess.run(program, env=os.environ | local_recipes(home).of(arguments[0]), check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
