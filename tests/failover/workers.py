"""What is done to the workers of a region while streams are heard there."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Any

from gateway.process import Process
from tests.failover.nursery import Nursery, is_there
from tests.failover.speakers import Heard

DEADLINE_S = 60.0
# How often the streams have got over the last kill before the next.
KIND = 0.75
# How often a worker is suspended instead, and comes back when its streams have gone.
SUSPENDED = 0.2


@dataclass
class Ward:
    """The workers of one region, and what the gateway knows of them."""

    house: Process
    nursery: Nursery
    settings: dict[str, str] = field(default_factory=dict)
    pids: dict[str, int] = field(default_factory=dict)
    killed: int = 0

    def bear(self) -> str:
        name, pid = self.nursery.worker(self.house.region, **self.settings)
        self.pids[name] = pid
        return name

    def signal(self, name: str, number: int) -> int:
        pid = self.pids[name]
        os.kill(pid, number)
        return pid

    def kill(self, name: str) -> None:
        self.signal(name, signal.SIGKILL)
        del self.pids[name]
        self.killed += 1

    async def known(self) -> None:
        """The gateway hears of all that live, and of no others."""
        await known(self.house, self.pids)

    async def caught_up(self) -> None:
        await until(lambda: all(stream.places.settled for stream in self.house.streams.all()))

    async def ends(self, name: str) -> None:
        pid = self.pids.pop(name)
        await until(lambda: not is_there(pid))

    async def suspend(self, name: str, chance: random.Random) -> None:
        self.signal(name, signal.SIGSTOP)
        await known(self.house, set(self.pids) - {name})
        await asyncio.sleep(chance.uniform(0.0, 0.5))
        self.signal(name, signal.SIGCONT)

    async def torment(self, chance: random.Random) -> None:
        """Until cancelled, there are two, and one of them is killed or suspended at a random moment."""
        while True:
            while len(self.pids) < 2:
                self.bear()
            await self.known()
            if chance.random() < KIND:
                await self.caught_up()
            await asyncio.sleep(chance.uniform(0.0, 0.6))
            name = chance.choice(sorted(self.pids))
            if chance.random() < SUSPENDED:
                await self.suspend(name, chance)
            else:
                self.kill(name)

    def clear(self) -> None:
        for name in list(self.pids):
            if is_there(self.pids[name]):
                self.kill(name)


async def known(house: Process, names: Iterable[str]) -> None:
    wanted = set(names)
    await until(lambda: {beat.worker for beat in house.link.pool.ready()} == wanted)


async def until(true: Callable[[], bool], seconds: float = DEADLINE_S) -> None:
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110 - neither processes nor pools have a hook for it
            await asyncio.sleep(0.02)


async def moved_runs(
    one: Callable[[int], Coroutine[Any, Any, Heard]], at_once: int, wanted: int, most: int
) -> list[Heard]:
    """Streams, so many at a time, until so many have been moved; at most so many."""
    runs: list[Heard] = []
    going: set[asyncio.Task[Heard]] = set()
    number = 0

    def moved() -> int:
        return sum(heard.moves > 0 for heard in runs)

    while going or (moved() < wanted and number < most):
        while len(going) < at_once and moved() < wanted and number < most:
            going.add(asyncio.create_task(one(number)))
            number += 1
        done, going = await asyncio.wait(going, return_when=asyncio.FIRST_COMPLETED)
        runs += [task.result() for task in done]
    return runs


async def beside(doing: Awaitable[None], what: Awaitable[list[Heard]]) -> list[Heard]:
    """`what`, while that goes on; its failure is ours."""
    doing_it = asyncio.ensure_future(doing)
    hearing = asyncio.ensure_future(what)
    try:
        await asyncio.wait({doing_it, hearing}, return_when=asyncio.FIRST_COMPLETED)
        if doing_it.done() and not hearing.done():
            doing_it.result()
        return await hearing
    finally:
        doing_it.cancel()
        hearing.cancel()
        await asyncio.wait({doing_it, hearing})
