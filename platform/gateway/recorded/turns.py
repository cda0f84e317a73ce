"""Recorded audio waits for room on a worker: first come, first served, not for ever and not all the world."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import TypeVar

from config import env
from gateway.errors import NoCapacity

T = TypeVar("T")

MAX_WAITING = 200
# How often the first in a line tries. Heartbeats tell of room four times a second.
AGAIN_AFTER_S = 0.1


@dataclass
class Line:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)  # fair: who came first has it first
    length: int = 0


@dataclass
class Turns:
    wait_s: float
    max_waiting: int = MAX_WAITING
    waiting: int = 0
    # One for whatever is asked for: who wants one model does not wait behind those who want another.
    lines: dict[Hashable, Line] = field(default_factory=dict)

    async def take(self, kind: Hashable, attempt: Callable[[], Awaitable[T]]) -> T:
        """What the attempt gives as soon as it no longer raises `NoCapacity`; that, when the time is up."""
        deadline = asyncio.get_running_loop().time() + self.wait_s
        async with self._standing_in(kind) as line:
            try:
                async with asyncio.timeout_at(deadline):
                    await line.lock.acquire()
            except TimeoutError:
                raise self._too_long() from None
            try:
                while True:
                    try:
                        return await attempt()
                    except NoCapacity:
                        if asyncio.get_running_loop().time() >= deadline:
                            raise self._too_long() from None
                    await asyncio.sleep(AGAIN_AFTER_S)
            finally:
                line.lock.release()

    @asynccontextmanager
    async def _standing_in(self, kind: Hashable) -> AsyncIterator[Line]:
        if self.waiting >= self.max_waiting:
            raise NoCapacity(f"{self.waiting} recordings are waiting already.", retry_after_s=self.wait_s)
        line = self.lines.setdefault(kind, Line())
        self.waiting += 1
        line.length += 1
        try:
            yield line
        finally:
            self.waiting -= 1
            line.length -= 1
            if line.length == 0:
                del self.lines[kind]

    def _too_long(self) -> NoCapacity:
        return NoCapacity(f"This recording has waited for {self.wait_s:g} seconds.", retry_after_s=10)


@cache
def current() -> Turns:
    """The one of this process."""
    return Turns(env.RECORDED_WAIT_SECONDS.read())
