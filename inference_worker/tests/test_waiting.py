from __future__ import annotations

import asyncio

import pytest

from inference_worker.waiting import wait_at_most


async def test_it_says_whether_the_event_came() -> None:
    event = asyncio.Event()
    assert not await wait_at_most(event, 0.001)
    event.set()
    assert await wait_at_most(event, 0.001)
    assert await wait_at_most(event, None)


async def test_a_cancellation_that_comes_with_the_event_is_not_lost() -> None:
    event = asyncio.Event()

    async def for_ever() -> None:
        while True:
            await wait_at_most(event, 10)
            event.clear()

    task = asyncio.create_task(for_ever())
    await asyncio.sleep(0)
    event.set()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(1):
            await task
