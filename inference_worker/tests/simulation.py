"""A worker without time: streams that send a chunk a period, an engine that costs so much a step and a row,
and the policy between them. Says how long each tenant waited for its results."""

from __future__ import annotations

import heapq
import random
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from inference_worker.scheduler import Ready

CHUNK_S = 0.16


@dataclass(frozen=True)
class Cost:
    step_s: float
    row_s: float

    def of(self, rows: int) -> float:
        return self.step_s + rows * self.row_s


@dataclass
class Waits:
    seconds: dict[str, list[float]] = field(default_factory=dict)
    rows: Counter[str] = field(default_factory=Counter)
    longest_step_s: float = 0.0

    def p95(self, tenant: str) -> float:
        return sorted(self.seconds[tenant])[int(0.95 * (len(self.seconds[tenant]) - 1))]


def simulate(
    streams: Mapping[str, int],
    room: int,
    cost: Cost,
    *,
    seconds: float = 30.0,
    queue_of: Callable[[str], str] = lambda tenant: tenant,
    seed: int = 7,
) -> Waits:
    """`streams` of each tenant; `queue_of` lets tenants share a turn, to see what comes of it. Only the
    second half counts: by then what waits for ever waits."""
    chance, ready, waits = random.Random(seed), Ready[tuple[str, int]](), Waits()
    complete = [
        (chance.uniform(0, CHUNK_S), (tenant, number))
        for tenant in streams
        for number in range(streams[tenant])
    ]
    heapq.heapify(complete)
    chunks: dict[tuple[str, int], deque[float]] = {stream: deque() for _, stream in complete}
    now = 0.0
    while now < seconds:
        while complete[0][0] <= now:
            since, stream = complete[0]
            heapq.heapreplace(complete, (since + CHUNK_S, stream))
            chunks[stream].append(since)
            if len(chunks[stream]) == 1:
                ready.live.add(stream, queue_of(stream[0]), since)
        riders = ready.take(now, room)
        if not riders:
            now = complete[0][0]
            continue
        step_s = cost.of(len(riders))
        now += step_s
        waits.longest_step_s = max(waits.longest_step_s, step_s)
        for stream, since in riders:
            tenant = stream[0]
            if now > seconds / 2:
                waits.seconds.setdefault(tenant, []).append(now - since)
                waits.rows[tenant] += 1
            chunks[stream].popleft()
            if chunks[stream]:
                ready.live.add(stream, queue_of(tenant), chunks[stream][0])
    return waits
