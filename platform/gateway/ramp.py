"""How fast a worker is given new streams, and when those come back who were not let in. Pure.

A worker that is well is filled in `Pace.ramp_s`, by so many streams a second; while what it does takes more
than half of the budget it is given fewer and fewer, and beyond the budget none. Its heartbeats are the only
clock: one that falls silent gets nothing.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field

from wire.messages import Heartbeat

SLOWEST_FULL = 8.0  # a second: of a small worker, which would otherwise take seconds for a handful
BURST_S = 1.0
CALM = 0.5  # of the budget
SLOWER_A_SECOND = 0.4
LEAST = 1 / 32  # of the full rate
BACK_TO_FULL_S = 5.0

COME_BACK_FROM_S, COME_BACK_UNTIL_S = 1.0, 60.0
# What one gateway process can well answer beside its streams, whatever the workers could take.
COME_BACK_RATE = 100.0


@dataclass(frozen=True)
class Pace:
    """What is asked of all workers; 0: nothing."""

    ramp_s: float = 0.0
    budget_ms: float = 0.0


@dataclass
class Ramp:
    """The turns of one worker. They may be owed: a stream that has lost its worker does not wait for one."""

    pace: Pace
    full: float = math.inf
    rate: float = math.inf  # turns a second
    turns: float = math.inf
    late_ms: float = 0.0

    @classmethod
    def of(cls, heartbeat: Heartbeat, pace: Pace) -> Ramp:
        """Of a worker that has just come."""
        full = max(SLOWEST_FULL, heartbeat.capacity / pace.ramp_s) if pace.ramp_s else math.inf
        made = cls(pace, full, full, full * BURST_S)
        made.hear(heartbeat, 0.0, 0)
        return made

    @property
    def overloaded(self) -> bool:
        return 0 < self.pace.budget_ms < self.late_ms

    def hear(self, heartbeat: Heartbeat, elapsed_s: float, others: int) -> None:
        """`others`: streams that other gateways have opened there since the last heartbeat."""
        # Of a worker without streams the figures are those of the last one it had.
        self.late_ms = heartbeat.step_p95_ms + heartbeat.queue_p95_ms if heartbeat.active else 0.0
        if math.isinf(self.full):
            return
        if 0 < self.pace.budget_ms * CALM < self.late_ms:
            self.rate = max(self.full * LEAST, self.rate * SLOWER_A_SECOND**elapsed_s)
        else:
            self.rate = min(self.full, self.rate + self.full * elapsed_s / BACK_TO_FULL_S)
        earned = min(self.turns + self.rate * elapsed_s, max(1.0, self.rate * BURST_S))
        self.turns = max(earned - others, -self.full)

    def take(self) -> None:
        self.turns = max(self.turns - 1, -self.full)


@dataclass
class Appointments:
    """When those come back who were not let in: one after the other, as fast as they could be let in."""

    random: random.Random = field(default_factory=random.Random)
    _last: float = -math.inf

    def next_s(self, now: float, rate: float) -> float:
        """In how many seconds the next one is to come back, of whom so many a second can be let in."""
        self._last = max(self._last, now + COME_BACK_FROM_S) + 1 / min(rate, COME_BACK_RATE)
        if self._last - now <= COME_BACK_UNTIL_S:
            return self._last - now
        # Nobody is sent away for longer, and nobody is to come with all others at the end of it.
        self._last = now + COME_BACK_UNTIL_S
        return self.random.uniform(COME_BACK_UNTIL_S / 2, COME_BACK_UNTIL_S)
