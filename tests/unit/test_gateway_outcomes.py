"""Waiting for an operation: the row is the truth, a wake-up only shortens the wait."""

import asyncio
from collections.abc import Mapping, Sequence
from uuid import UUID, uuid4

import pytest

from contracts.messages import OperationState
from gateway.outcomes import LOOK_EVERY_S, Outcomes
from gateway.queries.operations import Operation
from infra.errors import Unavailable


def an_operation(operation_id: UUID) -> Operation:
    return Operation(
        id=operation_id,
        subject_id=uuid4(),
        user_id=None,
        noun="transaction",
        state=OperationState.RECORDED,
        resource_id=None,
        refusal_code=None,
        refusal_detail=None,
        refusal_field=None,
        request_hash="",
    )


class Table:
    """An operations table that can be down."""

    def __init__(self) -> None:
        self.rows: dict[UUID, Operation] = {}
        self.queries: list[Sequence[UUID]] = []
        self.down = False

    def decide(self, operation_id: UUID) -> None:
        self.rows[operation_id] = an_operation(operation_id)

    async def read(self, operation_ids: Sequence[UUID]) -> Mapping[UUID, Operation]:
        self.queries.append(operation_ids)
        await asyncio.sleep(0.01)
        if self.down:
            raise Unavailable("find operations")
        return {each: self.rows[each] for each in operation_ids if each in self.rows}


async def wait(outcomes: Outcomes, operation_id: UUID, seconds: float) -> Operation | None:
    with outcomes.expecting(operation_id) as woken:
        return await outcomes.wait(operation_id, woken, until=asyncio.get_running_loop().time() + seconds)


async def test_a_wake_up_shortens_the_wait() -> None:
    table, wanted = Table(), uuid4()
    outcomes = Outcomes(table.read)
    clock = asyncio.get_running_loop().time
    began = clock()
    waiting = asyncio.create_task(wait(outcomes, wanted, 5))
    await asyncio.sleep(0.02)
    table.decide(wanted)
    outcomes.wake(wanted)

    assert await waiting == table.rows[wanted]
    assert clock() - began < LOOK_EVERY_S
    assert len(table.queries) == 1


async def test_a_wake_up_before_the_wait_is_not_lost() -> None:
    table, wanted = Table(), uuid4()
    outcomes = Outcomes(table.read)
    table.decide(wanted)
    with outcomes.expecting(wanted) as woken:
        outcomes.wake(wanted)
        found = await outcomes.wait(wanted, woken, until=asyncio.get_running_loop().time() + 0.1)

    assert found == table.rows[wanted]


async def test_without_a_wake_up_the_row_is_found_all_the_same() -> None:
    table, wanted = Table(), uuid4()
    outcomes = Outcomes(table.read)
    waiting = asyncio.create_task(wait(outcomes, wanted, 5))
    await asyncio.sleep(0.02)
    table.decide(wanted)

    assert await waiting == table.rows[wanted]


async def test_the_row_is_looked_for_once_more_at_the_deadline() -> None:
    table, wanted = Table(), uuid4()
    outcomes = Outcomes(table.read)
    waiting = asyncio.create_task(wait(outcomes, wanted, 0.1))
    await asyncio.sleep(0.02)
    table.decide(wanted)

    assert await waiting == table.rows[wanted]


async def test_what_is_not_decided_in_time_is_pending() -> None:
    assert await wait(Outcomes(Table().read), uuid4(), 0.05) is None


async def test_a_database_that_is_down_while_somebody_waits_is_not_their_error() -> None:
    table, wanted = Table(), uuid4()
    table.down = True
    outcomes = Outcomes(table.read)
    waiting = asyncio.create_task(wait(outcomes, wanted, 3))
    await asyncio.sleep(LOOK_EVERY_S * 1.2)
    table.down = False
    table.decide(wanted)

    assert await waiting == table.rows[wanted]


async def test_many_who_wait_share_few_queries() -> None:
    table, wanted = Table(), [uuid4() for _ in range(50)]
    for each in wanted:
        table.decide(each)
    outcomes = Outcomes(table.read)

    found = await asyncio.gather(*(outcomes.find(each) for each in wanted))

    assert [each.id for each in found if each] == wanted
    assert len(table.queries) <= 2


async def test_somebody_who_leaves_does_not_take_the_answer_from_another() -> None:
    table, wanted = Table(), uuid4()
    table.decide(wanted)
    outcomes = Outcomes(table.read)
    leaving, staying = asyncio.create_task(outcomes.find(wanted)), asyncio.create_task(outcomes.find(wanted))
    await asyncio.sleep(0.001)
    leaving.cancel()

    assert await staying == table.rows[wanted]


async def test_a_read_that_fails_is_said_to_everybody_and_does_not_stay() -> None:
    table, wanted = Table(), uuid4()
    table.down = True
    outcomes = Outcomes(table.read)
    with pytest.raises(Unavailable):
        await outcomes.find(wanted)
    assert await outcomes.find_if_readable(wanted) is None
    table.down = False

    assert await outcomes.find(wanted) is None


async def test_nobody_is_remembered_when_nobody_waits() -> None:
    outcomes = Outcomes(Table().read)
    await wait(outcomes, uuid4(), 0.01)

    assert not outcomes._waiting
