"""The bench's registrations and sign-ins: a stranger's must take as long as a known person's."""

import asyncio
import statistics
import time
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import httpx

from cli.development.mailed_codes import code_in
from tests.bench.http_load import HOST, ask, request_bytes
from tests.bench.sizes import Sizes
from tests.bench.system import System
from tests.bench.table import Row, Table

#: Everything here comes from one network and one name; the stack is told to allow that.
SETTINGS = {"CASH_LIMITS_PER_SUBJECT": "100000", "CASH_LIMITS_PER_NETWORK": "100000"}
EQUAL_WITHIN = 0.05
_PASSWORD = "correct horse battery"
_WAIT = {"Prefer": "wait=10"}


async def measure_sign_ins(system: System, table: Table, sizes: Sizes) -> None:
    """Measure one at a time, in turns."""
    username = await _register(system)
    await _registrations(system, table, sizes, f"{username}@example.org")
    seconds: dict[str, list[float]] = {"known": [], "unknown": [], "right": []}
    for _ in range(sizes.sign_ins + 1):
        for kind, name, password, status in (
            ("known", username, "not the password", 401),
            ("unknown", f"nobody-{uuid4().hex[:8]}", "not the password", 401),
            ("right", username, _PASSWORD, 201),
        ):
            body = {"username": name, "password": password}
            seconds[kind].append(
                await ask(system.gateway_port, request_bytes("POST", "/api/v1/sessions", None, body), status=status)
            )
    table.add(_compared("sign-in refused: known against unknown user", seconds["known"], seconds["unknown"]))
    table.add(Row("sign-in, session recorded", f"median {_median_ms(seconds['right']):.1f} ms"))


async def _registrations(system: System, table: Table, sizes: Sizes, known: str) -> None:
    seconds: dict[str, list[float]] = {"known": [], "unknown": []}
    for _ in range(sizes.sign_ins + 1):
        for kind, email in (("known", known), ("unknown", f"nobody-{uuid4().hex[:8]}@example.org")):
            body = {"email": email, "base_currency": "EUR", "time_zone": "Europe/Berlin"}
            request = request_bytes("POST", "/api/v1/registrations", None, body)
            seconds[kind].append(await ask(system.gateway_port, request, status=202))
    table.add(_compared("registration accepted: known against unknown address", *seconds.values()))


def _median_ms(seconds: Sequence[float]) -> float:
    """Return the median of all but the first, which warms up."""
    return statistics.median(seconds[1:]) * 1000


def _compared(path: str, known_s: Sequence[float], unknown_s: Sequence[float]) -> Row:
    known, unknown = _median_ms(known_s), _median_ms(unknown_s)
    return Row(
        path,
        f"median {known:.1f} ms against {unknown:.1f} ms, {len(known_s) - 1} of each",
        goal=f"within {EQUAL_WITHIN:.0%}",
        met=abs(known - unknown) <= EQUAL_WITHIN * max(known, unknown),
    )


async def _register(system: System) -> str:
    """Walk through a registration as a person does and return the username."""
    suffix = uuid4().hex[:8]
    email, username = f"bench-{suffix}@example.org", f"bench-{suffix}"
    api = f"http://{HOST}:{system.gateway_port}/api/v1/registrations"
    async with httpx.AsyncClient(timeout=15) as http:
        started = await http.post(api, json={"email": email, "base_currency": "EUR", "time_zone": "Europe/Berlin"})
        registration = f"{api}/{_json(started)['registration_id']}"
        code = await _code(http, f"http://{HOST}:{system.stack.ports['mailbox']}/api/v1", email)
        _json(await http.post(f"{registration}/verify", json={"code": code}, headers=_WAIT))
        user = {"code": code, "username": username, "password": _PASSWORD}
        _json(await http.post(f"{registration}/user", json=user, headers=_WAIT))
    return username


async def _code(http: httpx.AsyncClient, mailbox: str, email: str) -> str:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        for mail in _json(await http.get(f"{mailbox}/search", params={"query": f"to:{email}"}))["messages"]:
            if code := code_in(_json(await http.get(f"{mailbox}/message/{mail['ID']}"))["Text"]):
                return code
        await asyncio.sleep(0.1)
    raise AssertionError("no code came by mail")


def _json(answer: httpx.Response) -> Any:
    answer.raise_for_status()
    return answer.json()
