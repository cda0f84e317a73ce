"""For an engine that hangs. A thread in a call to the GPU cannot be cancelled, so the process has to leave:
its streams go to another worker, and whoever supervises it starts it again."""

from __future__ import annotations

import asyncio
import faulthandler
from collections.abc import Callable

HANGS_AFTER_S = 10.0  # a step of this length shows as unhealthy, and gets no more streams
WARM_UP_LIMIT_S = 900.0  # a large model, its graphs, a cold disk
LOOKS_EVERY_S = 0.25
# The event loop may be held up, too, by a call that keeps Python's lock. Then only C code can end us.
LOOP_LIMIT_S = 60.0


async def until_stuck(busy_s: Callable[[], float], limit_s: Callable[[], float]) -> None:
    """Returns once the engine has been in one call for longer than it may."""
    while busy_s() <= limit_s():  # noqa: ASYNC110 (a duration passes without anybody setting an event)
        await asyncio.sleep(LOOKS_EVERY_S)


def alive(loop_limit_s: float = LOOP_LIMIT_S) -> None:
    """Say it again and again: without it for so long the process ends, with the place of every thread in its
    log and the exit code 1."""
    faulthandler.dump_traceback_later(loop_limit_s, exit=True)


def dismiss() -> None:
    faulthandler.cancel_dump_traceback_later()
