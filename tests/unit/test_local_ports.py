"""Ports of the local stack."""

import socket
from pathlib import Path

import pytest

from infra.local import ports
from infra.local.home import Home
from infra.local.ports import PREFERRED, choose_ports, is_free, outgoing_from, read_ports


def a_home(folder: Path) -> Home:
    home = Home(folder)
    home.create()
    return home


def test_chosen_ports_are_free_distinct_and_remembered(tmp_path: Path) -> None:
    home = a_home(tmp_path)

    chosen, replaced = choose_ports(home, anywhere=True)

    assert chosen.keys() == PREFERRED.keys()
    assert len(set(chosen.values())) == len(chosen)
    assert all(is_free(port) for port in chosen.values())
    assert replaced == []
    assert read_ports(home) == chosen
    assert choose_ports(home, anywhere=True)[0] == chosen


def test_busy_port_is_replaced_and_the_replacement_remembered(tmp_path: Path) -> None:
    home = a_home(tmp_path)
    before, _ = choose_ports(home, anywhere=True)
    with socket.create_server(("127.0.0.1", before["redis"])):
        after, replaced = choose_ports(home)

    assert after["redis"] != before["redis"]
    assert after["postgres"] == before["postgres"]
    assert replaced == [f"port {before['redis']} is busy, redis listens on {after['redis']} from now on"]
    assert read_ports(home) == after


@pytest.mark.parametrize(
    "content", ['{"redis": "many", "somebody": 1, "postgres": 70000', '{"redis": [1]}', "[]", "7", "null", '["ab"]']
)
def test_damaged_ports_file_is_chosen_anew(tmp_path: Path, content: str) -> None:
    home = a_home(tmp_path)
    home.ports.write_text(content)

    chosen, _ = choose_ports(home, anywhere=True)

    assert chosen.keys() == PREFERRED.keys()


def test_port_beyond_the_last_one_is_replaced(tmp_path: Path) -> None:
    home = a_home(tmp_path)
    home.ports.write_text('{"redis": 70000}')

    assert choose_ports(home, anywhere=True)[0]["redis"] < 65_536


def test_new_stack_beside_another_takes_a_whole_block_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    preferred, _ = choose_ports(a_home(tmp_path / "other"), anywhere=True)
    monkeypatch.setattr(ports, "PREFERRED", preferred)
    with socket.create_server(("127.0.0.1", preferred["gateway"])):
        chosen, replaced = choose_ports(a_home(tmp_path / "new"))

    steps = {chosen[name] - preferred[name] for name in PREFERRED}
    assert len(steps) == 1
    assert steps.pop() >= 20
    assert len(replaced) == 1
    assert "some of the usual ports are busy" in replaced[0]


@pytest.mark.parametrize("anywhere", [True, False])
def test_no_listener_gets_a_port_that_a_connection_could_take_while_it_is_away(tmp_path: Path, anywhere: bool) -> None:
    home = a_home(tmp_path)
    chosen, _ = choose_ports(home, anywhere=anywhere)
    with socket.create_server(("127.0.0.1", chosen["kafka"])):
        replaced, _ = choose_ports(home, anywhere=anywhere)

    assert max(*chosen.values(), *replaced.values()) < outgoing_from()


@pytest.mark.parametrize(
    ("said", "first"), [("20000\t60999\n", 20_000), ("", 49_152), ("many", 49_152), (None, 49_152)]
)
def test_where_the_ports_of_connections_begin_is_what_the_system_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str | None, first: int
) -> None:
    file = tmp_path / "range"
    if said is not None:
        file.write_text(said)
    monkeypatch.setattr(ports, "_LINUX_RANGE", file)

    assert outgoing_from() == first


def test_where_connections_may_take_any_port_a_free_one_is_chosen_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ports, "outgoing_from", lambda: 1024)

    chosen, _ = choose_ports(a_home(tmp_path), anywhere=True)

    assert len(set(chosen.values())) == len(PREFERRED)
