from __future__ import annotations

import asyncio

import pytest

from gateway.errors import NoCapacity
from gateway.recorded import turns as module
from gateway.recorded.turns import Turns


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AGAIN_AFTER_S", 0.001)


class Worker:
    """Has room for as many as are let in."""

    def __init__(self, room: int = 0) -> None:
        self.room, self.tries = room, 0
        self.taken: list[str] = []

    async def take(self, name: str) -> str:
        self.tries += 1
        await asyncio.sleep(0)
        if self.room == 0:
            raise NoCapacity()
        self.room -= 1
        self.taken.append(name)
        return name


async def until(turns: Turns, waiting: int) -> None:
    async with asyncio.timeout(5):
        while turns.waiting != waiting:  # noqa: ASYNC110
            await asyncio.sleep(0.001)


async def test_whoever_finds_room_does_not_wait() -> None:
    worker, turns = Worker(1), Turns(0)
    assert await turns.take("m", lambda: worker.take("a")) == "a"
    assert (turns.waiting, turns.lines) == (0, {})


async def test_first_come_first_served() -> None:
    worker, turns = Worker(), Turns(30)
    names = ["a", "b", "c"]
    tasks = [asyncio.create_task(turns.take("m", lambda name=name: worker.take(name))) for name in names]
    await until(turns, 3)
    for _ in names:
        worker.room += 1
        await until(turns, 2 - len(worker.taken) + (0 if worker.room == 0 else 1))
    await asyncio.gather(*tasks)
    assert worker.taken == names


async def test_nobody_waits_behind_those_who_want_something_else() -> None:
    full, free, turns = Worker(), Worker(1), Turns(30)
    waiting = asyncio.create_task(turns.take("full", lambda: full.take("a")))
    await until(turns, 1)
    assert await turns.take("free", lambda: free.take("b")) == "b"
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert (turns.waiting, turns.lines) == (0, {})


async def test_not_for_ever() -> None:
    worker, turns = Worker(), Turns(0.05)
    refused = await asyncio.gather(
        *(turns.take("m", lambda: worker.take("a")) for _ in range(3)), return_exceptions=True
    )
    assert all(isinstance(error, NoCapacity) and error.retry_after_s == 10 for error in refused)
    assert "has waited for 0.05 seconds" in str(refused[0])
    assert (turns.waiting, turns.lines) == (0, {})


async def test_not_all_the_world() -> None:
    worker, turns = Worker(), Turns(30, max_waiting=2)
    waiting = [asyncio.create_task(turns.take("m", lambda: worker.take("a"))) for _ in range(2)]
    await until(turns, 2)
    with pytest.raises(NoCapacity, match="2 recordings are waiting already"):
        await turns.take("m", lambda: worker.take("b"))
    worker.room = 2
    await asyncio.gather(*waiting)


async def test_a_refusal_of_another_kind_is_not_waited_for() -> None:
    async def refuse() -> str:
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        await Turns(30).take("m", refuse)
