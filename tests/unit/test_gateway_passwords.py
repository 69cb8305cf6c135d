"""Passwords: hashed as Argon2id, verified off the loop, and not one of those everybody tries."""

import asyncio
import time
from collections.abc import Iterator

import pytest

from gateway.errors import Invalid
from gateway.passwords import THREADS, WAITING_MAX, Passwords, refuse_guessable
from infra.errors import Unavailable


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    passwords = Passwords()
    yield passwords
    passwords.close()


async def test_a_password_matches_its_own_hash_only(passwords: Passwords) -> None:
    hashed = await passwords.hash("correct horse battery")

    assert hashed.startswith("$argon2id$")
    assert await passwords.matches("correct horse battery", hashed)
    assert not await passwords.matches("correct horse batterx", hashed)
    assert not await passwords.matches("correct horse battery", "not a hash")


async def test_two_spellings_of_one_password_are_one(passwords: Passwords) -> None:
    assert await passwords.matches("caf\u00e9 caf\u00e9", await passwords.hash("cafe\u0301 cafe\u0301"))


async def test_nobody_has_the_password_of_nobody(passwords: Passwords) -> None:
    assert not await passwords.matches("the password of nobody", None)


async def test_a_stranger_costs_as_much_time_as_a_wrong_password(passwords: Passwords) -> None:
    hashed = await passwords.hash("correct horse battery")

    async def cost(known: str | None) -> float:
        tries = []
        for _ in range(5):
            began = time.thread_time_ns(), time.process_time()
            await passwords.matches("wrong horse battery", known)
            tries.append(time.process_time() - began[1])
        return min(tries)

    assert await cost(None) == pytest.approx(await cost(hashed), rel=0.5)


async def test_the_loop_goes_on_while_a_password_is_hashed(passwords: Passwords) -> None:
    hashing = asyncio.create_task(passwords.hash("correct horse battery"))
    turns = 0
    while not hashing.done():
        turns += 1
        await asyncio.sleep(0)

    assert turns > 3


async def test_too_many_at_once_are_told_to_come_back(passwords: Passwords) -> None:
    passwords._busy = THREADS + WAITING_MAX

    with pytest.raises(Unavailable):
        await passwords.hash("correct horse battery")


@pytest.mark.parametrize(
    "password", ["password123", "PassWord123", "12345678", "iloveyou1", "qwertyuiop", "passwort123"]
)
def test_a_password_everybody_tries_first_is_refused(password: str) -> None:
    with pytest.raises(Invalid):
        refuse_guessable(password, "ann")


def test_the_username_is_no_password() -> None:
    with pytest.raises(Invalid):
        refuse_guessable("Ann.Example", "ann.example")

    refuse_guessable("correct horse battery", "ann.example")
