"""What an operator asks of dead letters: the newest, how many of each kind, one whole; and what became of each."""

import asyncio
import re
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from cli.operating.dead_letter_search import (
    CLIENT_ID,
    Kind,
    Letter,
    Search,
    Wanted,
    count_kinds,
    find_letters,
    find_newest,
    searching,
)
from cli.operating.operator_settings import reaching, settings_of
from cli.terminal.output import ExitCode, fail
from contracts.messages import OperationState, Source
from contracts.topics import IDENTITY_SUBMISSIONS
from infra.errors import Unavailable
from infra.kafka.reading_back import KafkaRecord
from infra.postgres.deliveries import OutcomeOf, find_outcomes
from infra.postgres.engine import Database
from infra.settings import KafkaSettings, LedgerDatabaseSettings, UsersDatabaseSettings

_KINDS_MAX = 500
_UUID = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}", re.IGNORECASE)
_NUMBER = re.compile(r"\d{4,}")


class Standing(StrEnum):
    """What became of a dead letter since."""

    OPEN = "open"
    FAILED_AGAIN = "failed again"
    RECORDED = "recorded"
    REFUSED = "refused"
    UNKNOWN = "not known"


@dataclass(frozen=True, slots=True)
class Listed:
    """Letters, newest first, with what became of each; and how much of the topics was not looked at."""

    letters: Sequence[tuple[Letter, Standing]]
    looked_at: int
    not_looked_at: int
    is_full: bool
    strangers: int
    silent: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Counted:
    """How many letters there are of each kind, most first; ``others`` are of kinds beyond the first many."""

    kinds: Mapping[tuple[str, ...], Kind]
    others: int
    looked_at: int
    not_looked_at: int


@dataclass(frozen=True, slots=True)
class Opened:
    """One dead letter, whole: the record with its label still on, and what became of it."""

    letter: Letter
    record: KafkaRecord
    standing: Standing
    outcome: OutcomeOf | None
    came_back_as: Letter | None


def list_letters(wanted: Wanted, *, limit: int, look_at: int | None) -> Listed:
    """List the newest letters; raise ``Failure`` where Kafka does not answer."""

    async def find() -> Listed:
        with reaching("Kafka"):
            async with searching(settings_of(KafkaSettings), wanted) as search:
                letters = await find_newest(search, wanted, limit=limit, look_at=look_at)
        outcomes, silent = await _outcomes(letters)
        stood = [(letter, standing_of(letter, outcomes, search, silent)) for letter in letters]
        left = search.not_looked_at
        return Listed(stood, search.looked_at, left, len(letters) == limit and left > 0, search.strangers, silent)

    return asyncio.run(find())


def count_letters(wanted: Wanted, by: str, *, look_at: int | None) -> Counted:
    """Count letters by ``reason``, ``cause``, ``topic`` or ``type``; raise ``Failure`` where Kafka does not answer."""

    async def count() -> Counted:
        with reaching("Kafka"):
            async with searching(settings_of(KafkaSettings), wanted) as search:
                kinds, others = await count_kinds(
                    search, wanted, lambda letter: kind_of(letter, by), look_at=look_at, kinds_max=_KINDS_MAX
                )
        most_first = dict(sorted(kinds.items(), key=lambda item: (-item[1].count, item[0])))
        return Counted(most_first, others, search.looked_at, search.not_looked_at)

    return asyncio.run(count())


def open_letter(dead_letter: Source) -> Opened:
    """Read one letter whole; raise ``Failure`` where there is none by this id, or Kafka does not answer."""

    async def read() -> Opened:
        with reaching("Kafka"):
            async with searching(settings_of(KafkaSettings), Wanted((dead_letter.topic,))) as search:
                found, replays = await find_letters(search, [dead_letter])
                letter = found.get(dead_letter) or not_found(dead_letter)
                (record,) = await search.reader.between(
                    letter.place, letter.offset, letter.offset + 1, lambda record: record
                )
        outcomes, silent = await _outcomes([letter])
        outcome = outcomes.get(letter.operation_id) if letter.operation_id else None
        standing = standing_of(letter, outcomes, search, silent)
        return Opened(letter, record, standing, outcome, replays.get(dead_letter))

    return asyncio.run(read())


def not_found(dead_letter: Source) -> Any:
    """Fail: there is no such letter."""
    fail(
        f"there is no dead letter {dead_letter}; `cash dead-letters list` shows those of the last 30 days",
        ExitCode.NOT_FOUND,
    )


def kind_of(letter: Letter, by: str) -> tuple[str, ...]:
    """Return the kind a letter is of; reasons that differ in ids and large numbers only are one."""
    label = letter.label
    match by:
        case "cause":
            return (label.cause,)
        case "topic":
            return (label.source.topic,)
        case "type":
            return (label.source.topic, letter.type or "")
        case _:
            return (label.source.topic, label.cause, _NUMBER.sub("…", _UUID.sub("…", label.reason)))


def standing_of(
    letter: Letter, outcomes: Mapping[UUID, OutcomeOf], search: Search, silent: Collection[str] = ()
) -> Standing:
    """Return what became of a letter, by its operation and by the newer letters that a search has met."""
    outcome = outcomes.get(letter.operation_id) if letter.operation_id else None
    if outcome is not None and outcome.state is not OperationState.FAILED:
        return Standing(outcome.state.value)
    if letter.id in search.replayed:
        return Standing.FAILED_AGAIN
    return Standing.UNKNOWN if database_of(letter.id.topic) in silent else Standing.OPEN


def database_of(topic: str) -> str:
    """Return which database, ``users`` or ``ledger``, has the operations of a submission topic."""
    return "users" if topic == IDENTITY_SUBMISSIONS.name else "ledger"


@asynccontextmanager
async def opened_database(name: str) -> AsyncIterator[Database]:
    """Open the users or ledger database for an operator; it connects when it is first asked."""
    settings = settings_of(UsersDatabaseSettings if name == "users" else LedgerDatabaseSettings)
    database = Database(settings, application=CLIENT_ID)
    await database.start()
    try:
        yield database
    finally:
        await database.stop()


async def _outcomes(letters: Iterable[Letter]) -> tuple[dict[UUID, OutcomeOf], list[str]]:
    """Find what became of the letters' operations; return also the databases that do not answer."""
    wanted: dict[str, list[UUID]] = {}
    for letter in letters:
        if letter.operation_id:
            wanted.setdefault(database_of(letter.id.topic), []).append(letter.operation_id)
    outcomes: dict[UUID, OutcomeOf] = {}
    silent = []
    for name, operation_ids in wanted.items():
        try:
            async with opened_database(name) as database:
                outcomes |= await find_outcomes(database, operation_ids)
        except Unavailable:
            silent.append(name)
    return outcomes, silent
