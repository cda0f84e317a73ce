"""Which streams ride in the next step, how long to wait for company, how large a step may be. Pure policy."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from operator import itemgetter
from typing import Generic, TypeVar

from inference_worker.engines.base import RECORDED_ROWS

RECORDED_PATIENCE_S = 2.0
RECOVER_AFTER_STEPS = 50

Key = TypeVar("Key", bound=Hashable)


class Turns(Generic[Key]):
    """Those who wait, with since when; and whose turn it is, tenant by tenant.

    A tenant's clock moves by one with each row, and the tenant whose clock is furthest back is next. So over
    steps, too, tenants that want more than there is share equally, and who wants less than a share gets all
    of it at once. All chunks are equally long, so the oldest deadline belongs to the oldest `since`: that
    decides within a tenant, and between tenants whose clocks are equal.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, dict[Key, float]] = {}
        self._clocks: dict[str, int] = {}  # of those ahead of `_now`
        self._now = 0  # the clock of the one who was served last
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def add(self, key: Key, tenant: str, since: float) -> None:
        self._waiting.setdefault(tenant, {})[key] = since
        self._size += 1

    def discard(self, key: Key, tenant: str) -> None:
        waiting = self._waiting.get(tenant, {})
        if waiting.pop(key, None) is not None:
            self._size -= 1
            if not waiting:
                del self._waiting[tenant]

    def take(self, room: int) -> list[tuple[Key, float]]:
        """Up to so many of them; they wait no more."""
        if self._size <= room:
            everybody = [entry for waiting in self._waiting.values() for entry in waiting.items()]
            # Nobody is left behind, so nobody has had more than another.
            self._waiting, self._clocks, self._now, self._size = {}, {}, 0, 0
            return everybody
        if room <= 0:
            return []
        queues = {
            tenant: sorted(waiting.items(), key=itemgetter(1))[::-1]
            for tenant, waiting in self._waiting.items()
        }
        turns = [(self._clock(tenant), queue[-1][1], tenant) for tenant, queue in queues.items()]
        heapq.heapify(turns)
        taken = []
        for _ in range(room):
            self._now, _, tenant = turns[0]
            queue = queues[tenant]
            key, since = queue.pop()
            taken.append((key, since))
            self.discard(key, tenant)
            self._clocks[tenant] = self._now + 1
            if queue:
                heapq.heapreplace(turns, (self._now + 1, queue[-1][1], tenant))
            else:
                heapq.heappop(turns)
        self._clocks = {tenant: clock for tenant, clock in self._clocks.items() if clock > self._now}
        return taken

    def take_overdue(self, before: float) -> list[tuple[Key, float]]:
        """The one that has waited longest, if that is since `before`."""
        oldest = {
            tenant: min(waiting.items(), key=itemgetter(1)) for tenant, waiting in self._waiting.items()
        }
        tenant, (key, since) = min(oldest.items(), key=lambda entry: entry[1][1])
        if since > before:
            return []
        self.discard(key, tenant)
        self._clocks[tenant] = self._clock(tenant) + 1
        return [(key, since)]

    def _clock(self, tenant: str) -> int:
        """Who has just come is not owed what they did not ask for: they begin where the others are."""
        return max(self._clocks.get(tenant, 0), self._now)


class Ready(Generic[Key]):
    """The streams that have a row to take: a chunk, a flush or their end."""

    def __init__(self) -> None:
        self.live: Turns[Key] = Turns()
        # Recorded audio is there long before its turn: it has waited since it last rode.
        self.recorded: Turns[Key] = Turns()

    def __len__(self) -> int:
        return len(self.live) + len(self.recorded)

    def take(
        self, now: float, room: int, recorded_beside: Callable[[int], int] = lambda live: RECORDED_ROWS
    ) -> list[tuple[Key, float]]:
        """Up to `room` of them: live before recorded.

        `recorded_beside` says how many rows of recorded audio may ride beside so many live ones. Where there
        is no room for all, the one that has waited longest counts as live after RECORDED_PATIENCE_S: recorded
        audio is slowed and never starved, and never takes more than one place of those who speak now.
        """
        if not self.recorded:
            return self.live.take(room)
        taken = []
        if len(self.live) + min(recorded_beside(len(self.live)), len(self.recorded)) > room:
            taken = self.recorded.take_overdue(now - RECORDED_PATIENCE_S)
        overdue = len(taken)
        taken += self.live.take(room - overdue)
        recorded = recorded_beside(len(taken) - overdue) - overdue
        return taken + self.recorded.take(min(recorded, room - len(taken)))


@dataclass(frozen=True)
class Wait:
    """How long an idle worker waits for company after the first chunk: few streams, little to wait for."""

    few_s: float = 0.005
    some_s: float = 0.015
    many_s: float = 0.040
    most_s: float = 0.040

    def seconds(self, active: int) -> float:
        wait = self.few_s if active < 10 else self.some_s if active < 50 else self.many_s
        return min(wait, self.most_s)


DEFAULT_WAIT = Wait()


@dataclass
class BatchLimit:
    """The largest step that the device has shown to have memory for; halved when it had not, then regrown."""

    most: int
    size: int = 0
    _good_steps: int = 0

    def __post_init__(self) -> None:
        self.size = self.size or self.most

    def out_of_memory(self, tried: int) -> None:
        self.size = max(1, min(self.size, tried) // 2)
        self._good_steps = 0

    def succeeded(self) -> None:
        if self.size == self.most:
            return
        self._good_steps += 1
        if self._good_steps >= RECOVER_AFTER_STEPS:
            self._good_steps = 0
            self.size = min(self.most, self.size + max(1, self.size // 4))
