"""Passwords: Argon2id (RFC 9106) off the event loop, a few at a time, and the ones everybody tries first."""

import asyncio
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from contracts.text import name_key
from gateway.errors import FieldProblem, Invalid
from infra.errors import Unavailable

#: Hashes computed at once; each takes a core and 64 MiB.
THREADS = 2
#: Hashes waiting for a thread; the next one is told to come back.
WAITING_MAX = 32

_COMMON = Path(__file__).with_name("common_passwords.txt")

T = TypeVar("T")


class Passwords:
    """Hashes and verifies passwords. A password counts as its NFKC form (RFC 8265)."""

    def __init__(self) -> None:
        """Start the threads and hash the password nobody has, which unknown users are checked against."""
        self._hasher = PasswordHasher()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="argon2")
        self._busy = 0
        self._nobody = self._hasher.hash("the password of nobody")

    async def hash(self, password: str) -> str:
        """Return the Argon2id hash (PHC string) of a password; errors as :meth:`matches`."""
        return await self._run(lambda: self._hasher.hash(unicodedata.normalize("NFKC", password)))

    async def matches(self, password: str, hashed: str | None) -> bool:
        """Return whether a password is the hashed one; without a hash it is not, and that takes as long.

        Raises:
            Unavailable: too many are waiting already.
        """
        same = await self._run(lambda: self._verify(password, hashed or self._nobody))
        return same and hashed is not None

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _verify(self, password: str, hashed: str) -> bool:
        try:
            return self._hasher.verify(hashed, unicodedata.normalize("NFKC", password))
        except (Argon2Error, InvalidHashError):
            return False

    async def _run(self, work: Callable[[], T]) -> T:
        if self._busy >= THREADS + WAITING_MAX:
            raise Unavailable("hash a password")
        self._busy += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._busy -= 1


def refuse_guessable(password: str, username: str, *, field: str = "password") -> None:
    """Raise ``Invalid`` for a password that is on the list of common ones, or is the username."""
    key = unicodedata.normalize("NFKC", password).casefold()
    if key in _common_passwords():
        raise Invalid([FieldProblem(field, "This is one of the passwords everybody tries first; choose another.")])
    if name_key(password) == name_key(username):
        raise Invalid([FieldProblem(field, "The password is the username; choose another.")])


def refuse_same(current: str, new: str) -> None:
    """Raise ``Invalid`` for a new password that is the current one."""
    if unicodedata.normalize("NFKC", current) == unicodedata.normalize("NFKC", new):
        raise Invalid([FieldProblem("new_password", "This is the current password; choose another.")])


@cache
def _common_passwords() -> frozenset[str]:
    return frozenset(_COMMON.read_text(encoding="utf-8").split())
