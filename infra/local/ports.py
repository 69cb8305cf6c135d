"""Ports of the local stack: preferred ones, replaced when busy, remembered."""

import json
import random
import socket
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from infra.local.home import Home, StackError, write_whole

PREFERRED: Mapping[str, int] = {
    "gateway": 8470,
    "mailbox": 8471,
    "smtp": 8472,
    "identity-consumer": 8473,
    "ledger-consumer": 8474,
    "relay": 8475,
    "celery-worker": 8476,
    "celery-beat": 8477,
    "postgres": 8478,
    "redis": 8479,
    "kafka": 8480,
    "kafka-controller": 8481,
}
LOOPBACK = "127.0.0.1"
_PORTS = range(1, 65_536)
#: Between two stacks; more than one has listeners, so that each moves as a block.
STEP = 20
_LINUX_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_ELSEWHERE_FROM = 49_152  # IANA's dynamic ports, as macOS has them


def read_ports(home: Home) -> dict[str, int]:
    """Return the remembered ports; a missing or unreadable file remembers none."""
    try:
        remembered = dict(json.loads(home.ports.read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return {}
    return {name: port for name, port in remembered.items() if name in PREFERRED and port in _PORTS}


def choose_ports(home: Home, *, anywhere: bool = False) -> tuple[dict[str, int], list[str]]:
    """Choose a free port for every listener and remember it.

    Args:
        home: whose ``ports.json`` remembers.
        anywhere: take a free block by chance instead of the preferred ports, so that stacks side by side never meet.

    Returns:
        The ports by name, and a sentence for each that had to be replaced.
    """
    remembered = read_ports(home)
    wishes = remembered or _free_block(by_chance=anywhere)
    chosen: dict[str, int] = {}
    replaced: list[str] = []
    if not remembered and not anywhere and wishes != PREFERRED:
        first, last = min(wishes.values()), max(wishes.values())
        replaced.append(f"some of the usual ports are busy, this stack listens on {first} to {last} from now on")
    with ExitStack() as held:
        for name, preferred in PREFERRED.items():
            wanted = wishes.get(name, preferred)
            chosen[name] = _hold(wanted, held) or _hold_next(wanted, held)
            if chosen[name] != wanted:
                replaced.append(f"port {wanted} is busy, {name} listens on {chosen[name]} from now on")
    if chosen != remembered:
        write_whole(home.ports, json.dumps(chosen, indent=2) + "\n")
    return chosen, replaced


def _hold(port: int, held: ExitStack) -> int | None:
    """Bind a port until all are chosen, so that none is handed out twice; port 0 is any free one."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    # With SO_REUSEADDR a port in TIME_WAIT counts as free; one somebody listens on does not.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((LOOPBACK, port))
        listener.listen()
    except (OSError, OverflowError):
        listener.close()
        return None
    held.callback(listener.close)
    return int(listener.getsockname()[1])


def _free_block(*, by_chance: bool) -> dict[str, int]:
    """Return the preferred ports, all moved by the same step if any is busy, or by a step chosen by chance.

    A busy one most likely means that another stack runs here, or is just starting and has not opened all of its own.
    """
    steps: Sequence[int] = range(0, outgoing_from() - max(PREFERRED.values()), STEP)
    for step in random.sample(steps[1:], len(steps[1:])) if by_chance else steps:
        block = {name: port + step for name, port in PREFERRED.items()}
        if all(is_free(port) for port in block.values()):
            return block
    return dict(PREFERRED)


def _hold_next(busy: int, held: ExitStack) -> int:
    # Steps as between blocks leave the neighbours their own places.
    for port in range(busy + STEP, outgoing_from(), STEP):
        if found := _hold(port, held):
            return found
    if found := _hold(0, held):
        return found
    raise StackError("no free port was found on 127.0.0.1; close a program that holds many, then start again")


def outgoing_from() -> int:
    """Return the first port the system may give to an outgoing connection.

    A listener there could not start again if, while it was away, its port was given to somebody's connection: to one
    of our own pools, say, which keeps it for hours.
    """
    try:
        return int(_LINUX_RANGE.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return _ELSEWHERE_FROM


def is_free(port: int) -> bool:
    """Return whether nobody listens on a port of this machine's loopback."""
    with ExitStack() as held:
        return _hold(port, held) is not None
