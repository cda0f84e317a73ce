"""Clients that are cut off at random, and come back at random: no word is lost, none said or billed twice."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from gateway import valkey
from gateway.events import Summary
from gateway.process import Process, Recovery
from gateway.resume.keeper import Keeper
from gateway.resume.records import Records
from metering.events import UsageEvent
from metering.requests import Request
from tests.failover.conftest import Nurseries
from tests.failover.speakers import gateway, silence_and_time, speak
from tests.failover.wanderer import Wanderer
from tests.failover.workers import known

PACE = 10.0


@asynccontextmanager
async def gateways(url: str, region: str, count: int, logged: list[Request]) -> AsyncIterator[list[Process]]:
    async with AsyncExitStack() as stack:
        houses = []
        for _ in range(count):
            house = await stack.enter_async_context(gateway(url, region, Recovery()))
            house.keeper = Keeper(Records(valkey.client(url), region, 60.0), 60.0, logged.extend)
            house.keeper.start()
            stack.push_async_callback(house.keeper.stop)
            houses.append(house)
        yield houses


async def test_whoever_comes_back_misses_nothing_and_hears_nothing_twice(
    valkey_server: str, nurseries: Nurseries
) -> None:
    chance = random.Random(5)
    pcm = silence_and_time(30)
    logged: list[Request] = []
    async with gateways(valkey_server, "resume", 2, logged) as houses:
        name, pid = nurseries("scripted").worker("resume")
        for house in houses:
            await known(house, {name})
        wanted = await speak(houses[0], pcm, 50)
        clients = [Wanderer(houses, pcm, random.Random(chance.random()), PACE, cuts=5) for _ in range(40)]
        await asyncio.gather(*(client.go() for client in clients))
        os.kill(pid, signal.SIGKILL)
    assert not logged  # nobody stayed away
    for client in clients:
        assert isinstance(client.end, Summary), client.end
        assert client.words == wanted.words
        assert sorted(client.finals) == list(range(len(client.finals)))
        assert not client.again
        assert covered(client.usage) == len(pcm) // 32
    begins = [at for client in clients for at in client.begins]
    assert 0 < sum(at > 0 for at in begins) < len(begins) - len(clients)  # here and there


def covered(usage: Sequence[UsageEvent]) -> int:
    """Milliseconds from the beginning without a gap. What is there twice the ledger has once."""
    at = 0
    for part in sorted(usage, key=lambda part: part.from_ms):
        assert part.from_ms <= at
        at = max(at, part.to_ms)
    return at
