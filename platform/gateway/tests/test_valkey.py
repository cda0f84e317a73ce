"""Connections to Valkey: few, and none is waited for long."""

from __future__ import annotations

import asyncio
import socket
import time
import uuid
from collections.abc import Iterator

import pytest
from redis.exceptions import RedisError

from gateway import valkey

DEADLINE_S = 10.0


@pytest.fixture
def silent() -> Iterator[str]:
    """Somebody who takes calls and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"redis://127.0.0.1:{server.getsockname()[1]}/0"


async def test_a_valkey_that_says_nothing_is_not_waited_for(
    silent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(valkey, "ANSWER_WITHIN_S", 0.05)
    redis = valkey.client(silent)
    began = time.monotonic()
    with pytest.raises((RedisError, TimeoutError)):
        await redis.get("a")
    assert time.monotonic() - began < DEADLINE_S / 2
    await redis.aclose()


async def test_many_share_few_connections(valkey_server: str) -> None:
    redis = valkey.client(valkey_server)
    name = uuid.uuid4().hex
    async with asyncio.timeout(DEADLINE_S):
        await asyncio.gather(*(redis.client_setname(name) for _ in range(10 * valkey.MAX_CONNECTIONS)))
    mine = [one for one in await redis.client_list() if one["name"] == name]
    assert 0 < len(mine) <= valkey.MAX_CONNECTIONS
    await redis.aclose()


async def test_a_connection_that_was_closed_meanwhile_is_made_anew(valkey_server: str) -> None:
    redis = valkey.client(valkey_server)
    await redis.ping()
    other = valkey.client(valkey_server)
    await other.client_kill_filter(_id=await redis.client_id())
    assert await redis.ping()
    await redis.aclose()
    await other.aclose()
