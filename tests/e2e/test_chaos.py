"""Kills at random moments, round after round, under load: ``make chaos``.

``CASH_CHAOS_ROUNDS`` says how many rounds (20), ``CASH_CHAOS_SEED`` repeats what a run with that seed did to the
system; the moments themselves still fall where the machine lets them.
"""

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime

import pytest
import pytest_asyncio

from infra.local.plan import EVERYTHING
from infra.local.stack import LocalStack
from tests.chaos.kills import kill
from tests.chaos.line import Line, open_line
from tests.chaos.load import Load, all_roads
from tests.chaos.mails import mails_to, register, until_all_marked, until_mailed
from tests.chaos.pins import frozen
from tests.chaos.recovery import Recoveries
from tests.chaos.truth import assert_all_is_true, recovery_s

Say = Callable[[str], None]

pytestmark = [pytest.mark.stack, pytest.mark.chaos]

ROUNDS = int(os.environ.get("CASH_CHAOS_ROUNDS", "20"))
SEED = int(os.environ.get("CASH_CHAOS_SEED") or random.SystemRandom().randrange(10**6))
#: The supervisor lets a process that dies often wait longer; whoever was ready for ten seconds begins anew.
QUIET_S = 10.0
VICTIMS = [name for name in EVERYTHING if name != "mailbox"]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def line(stack: LocalStack) -> AsyncIterator[Line]:
    async with open_line(stack) as line:
        await line.ready()
        yield line


@pytest.mark.timeout(ROUNDS * 180)
async def test_whatever_is_killed_and_whenever_nothing_accepted_is_lost_or_doubled(
    line: Line, recoveries: Recoveries, say: Say
) -> None:
    chance = random.Random(SEED)
    say(f"{ROUNDS} rounds; CASH_CHAOS_SEED={SEED} repeats them")
    for number in range(1, ROUNDS + 1):
        async with Load(all_roads(line), per_second=chance.uniform(60, 240), seed=chance.getrandbits(32)) as load:
            people = await register(line, chance.randint(1, 5))
            await load.until_accepted(chance.randint(10, 200))
            done, hurt_at = [], datetime.now(UTC)
            for victim in chance.sample(VICTIMS, chance.choice((1, 1, 2, 3))):
                await asyncio.sleep(chance.uniform(0, 1.5))
                done.append(await _hurt(line, victim, chance))
            waited_s = await recovery_s(line, load, datetime.now(UTC))
            recoveries.note(f"round {number}: {', '.join(done)}", waited_s)
            await line.ready(120)
        try:
            journal = await assert_all_is_true(line, load)
            await _assert_mailed(line, list(people))
        except AssertionError as error:
            raise AssertionError(f"round {number} of CASH_CHAOS_SEED={SEED}: {', '.join(done)}") from error
        took_s = (datetime.now(UTC) - hurt_at).total_seconds()
        say(
            f"{number}/{ROUNDS}: {', '.join(done)}; recorded again after {waited_s:.1f} s, all true after "
            f"{took_s:.0f} s: {len(load.accepted)} accepted, {load.unknown} unknown on the way, "
            f"{journal.repeats} journal repeats"
        )
        await asyncio.sleep(QUIET_S)


async def _hurt(line: Line, victim: str, chance: random.Random) -> str:
    """Kill a process, as a rule without warning; sometimes it hangs for a while first, or is stopped in order."""
    how = chance.choices(("SIGKILL", "SIGTERM", "a hang, then SIGKILL"), (8, 1, 2))[0]
    hang_s = chance.uniform(0.2, 8)  # sessions with Kafka end after six seconds
    if how == "SIGTERM":
        await kill(line, victim, signal.SIGTERM)
    elif how == "SIGKILL":
        await kill(line, victim)
    else:
        with frozen(line.stack.pid(victim)):
            await asyncio.sleep(hang_s)
            await kill(line, victim)
    return f"{victim} by {how}"


async def _assert_mailed(line: Line, addresses: list[str]) -> None:
    """Assert that everybody has a mail. SMTP cannot promise one only; what was sent twice is the very same."""
    for email in addresses:
        await until_mailed(line, email, within_s=60)
    await until_all_marked(line, within_s=60)
    for email in addresses:
        assert len({(mail["MessageID"], mail["Text"]) for mail in await mails_to(line, email)}) == 1
