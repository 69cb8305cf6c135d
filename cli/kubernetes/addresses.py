"""Where a cluster shows a service to the machines around it: ingresses with TLS, and ports of its nodes."""

from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

import httpx

from cli.kubernetes.kubectl import Kubectl, NotFound
from cli.terminal.output import Failure

_LOOK_WITHIN_S = 1.0


def exposed_address(kubectl: Kubectl, service: str) -> str | None:
    """Return the address at which a service answers without a forward, ``None`` where there is none.

    Plain HTTP, which a port of a node speaks, is taken within a private network only: passwords travel there.
    """
    try:
        found = kubectl.get("service", service)
    except NotFound as gone:
        raise kubectl.not_deployed(service) from gone
    return next((address for address in _addresses(kubectl, service, found) if _answers(address)), None)


def _addresses(kubectl: Kubectl, service: str, found: dict[str, Any]) -> Iterator[str]:
    for ingress in _items(kubectl, "ingresses"):
        secured = {host for entry in ingress["spec"].get("tls", ()) for host in entry.get("hosts", ())}
        for rule in ingress["spec"].get("rules", ()):
            paths = rule.get("http", {}).get("paths", ())
            leads_there = any(path["backend"].get("service", {}).get("name") == service for path in paths)
            if leads_there and rule.get("host") in secured:
                yield f"https://{rule['host']}"
    ports = [port["nodePort"] for port in found["spec"].get("ports", ()) if port.get("nodePort")]
    for node in _items(kubectl, "nodes") if ports else ():
        for address in node["status"].get("addresses", ()):
            if address["type"] in ("InternalIP", "ExternalIP") and ip_address(address["address"]).is_private:
                host = f"[{address['address']}]" if ":" in address["address"] else address["address"]
                yield f"http://{host}:{ports[0]}"


def _items(kubectl: Kubectl, kind: str) -> list[dict[str, Any]]:
    try:
        items: list[dict[str, Any]] = kubectl.get(kind)["items"]
    except Failure:
        # Not everybody may list them; a forward needs neither.
        return []
    return items


def _answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}/health/live", timeout=_LOOK_WITHIN_S).is_success
    except httpx.HTTPError:
        return False
