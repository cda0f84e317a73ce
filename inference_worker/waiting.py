"""Waiting for an event with a limit. Not `asyncio.wait_for`: before Python 3.12 that loses a cancellation
that comes together with the event, and a task that was cancelled goes on for ever."""

from __future__ import annotations

import asyncio

from wire.tasks import stop_if_cancelled


async def wait_at_most(event: asyncio.Event, seconds: float | None) -> bool:
    """True if the event was set in time."""
    stop_if_cancelled()
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
