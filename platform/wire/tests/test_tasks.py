from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from wire.tasks import end, stop_if_cancelled


async def test_a_task_that_swallows_cancellations_ends_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wire.tasks.AGAIN_AFTER_S", 0.01)
    started = asyncio.Event()

    async def stubborn() -> None:
        for _ in range(3):
            with suppress(asyncio.CancelledError):
                started.set()
                await asyncio.Event().wait()

    task = asyncio.create_task(stubborn())
    await started.wait()
    await asyncio.wait_for(end([task]), 5)
    assert task.done()


async def test_what_is_over_is_not_waited_for() -> None:
    async def quick() -> None: ...

    task = asyncio.create_task(quick())
    await task
    await asyncio.wait_for(end([task]), 5)
    await asyncio.wait_for(end([]), 5)


async def test_a_lost_cancellation_is_heeded_at_the_next_look() -> None:
    started = asyncio.Event()

    async def loop() -> None:
        while True:
            stop_if_cancelled()
            with suppress(asyncio.CancelledError):
                started.set()
                await asyncio.Event().wait()

    task = asyncio.create_task(loop())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 5)
