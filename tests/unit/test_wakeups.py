"""Wake-ups are hints: who sends them waits for nobody."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from pydantic import SecretStr

from infra.redis import wakeups
from infra.redis.wakeups import Wakeups
from infra.settings import RedisSettings


async def test_a_redis_that_hangs_is_waited_for_once_and_then_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    over = asyncio.Event()

    async def hang(_: Any, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(hang, "127.0.0.1", 0) as server:
        monkeypatch.setattr(wakeups, "SEND_TIMEOUT_S", 0.1)
        port = server.sockets[0].getsockname()[1]
        sender = Wakeups(RedisSettings(host="127.0.0.1", port=port, password=SecretStr("none")))
        clock = asyncio.get_running_loop().time
        await sender.send({uuid4(): [uuid4()]})
        began = clock()
        for _ in range(100):
            await sender.send({uuid4(): [uuid4()]})
        waited = clock() - began
        await sender.close()
        over.set()

    assert waited < 0.1
