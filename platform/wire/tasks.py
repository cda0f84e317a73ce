"""Ending tasks for certain.

A library that is cancelled at the wrong moment may swallow the cancellation (redis-py does, when its command
is just being answered), and the task would go on for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

AGAIN_AFTER_S = 0.2


async def end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel the tasks, as often as it takes, and wait until all of them are over."""
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=AGAIN_AFTER_S)


def stop_if_cancelled() -> None:
    """For a loop in a task group, which cancels only once: heed a cancellation that got lost."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
