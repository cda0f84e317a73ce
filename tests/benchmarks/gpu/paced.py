"""Streams at the pace of speech through the worker's own loop, in one process: no gateway, no channel layer.

Each begins at a moment of its own. A chunk is handed over when its last sample is due, by a ticker that does
what a gateway's link does: everything that is due goes in one call. Chunk to result is from the moment at
which the chunk was due to that at which the worker sends the watermark behind it; a chunk that was not
answered when a level ends counts with the time it has waited.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from inference_worker import scheduler
from inference_worker.engines.nemo.engine import NemoEngine
from inference_worker.loop import Worker
from inference_worker.telemetry import Telemetry
from tests.benchmarks.gpu import sounds
from tests.benchmarks.gpu.levels import Steps, paced_row
from wire.messages import (
    SAMPLE_RATE,
    Abort,
    AnyItem,
    Audio,
    Failed,
    Final,
    Open,
    Partial,
    Progress,
    Refused,
    StreamOptions,
    ToGateway,
    WorkerState,
)

TICK_S = 0.004  # as often as a gateway's link sends
GRACE_CHUNKS = 3  # for the last answers of a level
GATEWAY, EPOCH = "benchmark", 1


class Refusal(Exception):
    """The worker did not serve a stream of the benchmark."""


@dataclass(frozen=True)
class Pace:
    """How long a level goes on: first unobserved, then observed."""

    settle_s: float
    measure_s: float


@dataclass
class Speaker:
    number: int
    first_due: float  # when the last sample of its first chunk is there
    sent: int = 0
    answered: int = 0  # chunks


class Streams:
    def __init__(
        self, engine: NemoEngine, capacity: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._engine, self._clock = engine, clock
        self._size = engine.info.chunk_samples
        self.chunk_s = self._size / SAMPLE_RATE
        self._dice = np.random.default_rng(0)
        self._speakers: dict[str, Speaker] = {}
        self._due: list[tuple[float, str]] = []  # a heap
        self._latencies: list[float] = []
        self._words = {"partials": 0, "finals": 0, "words": 0}
        self._from = self._until = 0.0
        self._ready = asyncio.Event()
        self.worker = Worker(
            engine,
            self._take,
            Telemetry(self.chunk_s),
            max_streams=capacity,
            wait=scheduler.DEFAULT_WAIT,
            changed=self._look,
            clock=self._clock,
        )

    async def level(self, streams: int, pace: Pace) -> dict[str, Any]:
        """With so many streams, of which those of the level before go on."""
        self._open(streams - len(self._speakers))
        await self._pace(pace.settle_s)
        self._latencies, self._words = [], dict.fromkeys(self._words, 0)
        self._from = self._clock()
        self._until = self._from + pace.measure_s
        with watched(self._engine) as steps:
            await self._pace(pace.measure_s)
        for _ in range(GRACE_CHUNKS):
            if self._waiting():
                await self._pace(self.chunk_s)
        latencies = [*self._latencies, *self._waiting()]
        return paced_row(streams, self.chunk_s, latencies, steps, pace.measure_s, self._words)

    async def ready(self) -> None:
        await self._ready.wait()

    def leave(self) -> None:
        self.worker.receive(GATEWAY, [Abort(stream=name, epoch=EPOCH) for name in self._speakers])
        self._speakers.clear()
        self._due.clear()
        self.worker.drain()

    def _open(self, more: int) -> None:
        items: list[AnyItem] = []
        now = self._clock()
        for _ in range(more):
            number = len(self._speakers)
            speaker = Speaker(number, now + self.chunk_s * (1 + float(self._dice.random())))
            name = str(number)
            self._speakers[name] = speaker
            heapq.heappush(self._due, (speaker.first_due, name))
            options = StreamOptions(interim_results=True)
            items.append(Open(stream=name, epoch=EPOCH, tenant=f"tenant-{number % 8}", options=options))
        self.worker.receive(GATEWAY, items)

    async def _pace(self, seconds: float) -> None:
        end = self._clock() + seconds
        while (now := self._clock()) < end:
            items: list[AnyItem] = []
            while self._due and self._due[0][0] <= now:
                due, name = heapq.heappop(self._due)
                items.append(self._chunk(name))
                heapq.heappush(self._due, (due + self.chunk_s, name))
            if items:
                self.worker.receive(GATEWAY, items)
            await asyncio.sleep(TICK_S)

    def _chunk(self, name: str) -> Audio:
        speaker = self._speakers[name]
        position = speaker.sent * self._size
        speaker.sent += 1
        pcm = sounds.pcm(speaker.number, position, self._size).tobytes()
        return Audio(stream=name, epoch=EPOCH, position=position, pcm=pcm)

    def _take(self, gateway: str, items: Sequence[ToGateway]) -> None:
        now = self._clock()
        for item in items:
            if isinstance(item, (Refused, Failed)):
                raise Refusal(f"stream {item.stream}: {item.code}")
            if isinstance(item, Progress) and item.stream in self._speakers:
                self._answered(self._speakers[item.stream], item.processed // self._size, now)
            elif isinstance(item, Partial):
                self._words["partials"] += 1
            elif isinstance(item, Final):
                self._words["finals"] += 1
                self._words["words"] += len(item.words)

    def _answered(self, speaker: Speaker, chunks: int, now: float) -> None:
        for chunk in range(speaker.answered, chunks):
            due = speaker.first_due + chunk * self.chunk_s
            if self._from <= due < self._until:
                self._latencies.append(now - due)
        speaker.answered = max(speaker.answered, chunks)

    def _waiting(self) -> list[float]:
        """How long each chunk that was due while it was observed has waited."""
        now, waits = self._clock(), []
        for speaker in self._speakers.values():
            for chunk in range(speaker.answered, speaker.sent):
                due = speaker.first_due + chunk * self.chunk_s
                if self._from <= due < self._until:
                    waits.append(now - due)
        return waits

    def _look(self) -> None:
        if self.worker.state is not WorkerState.STARTING:
            self._ready.set()


@contextmanager
def watched(engine: NemoEngine) -> Iterator[Steps]:
    """What its steps are, and how long they take."""
    steps, step = Steps(), engine.step

    def timed(rows: Sequence[Any]) -> Any:
        began = time.perf_counter()
        result = step(rows)
        steps.rows.append(len(rows))
        steps.seconds.append(time.perf_counter() - began)
        return result

    engine.step = timed  # type: ignore[method-assign]
    try:
        yield steps
    finally:
        engine.step = step  # type: ignore[method-assign]


async def climb(
    engine: NemoEngine,
    levels: Sequence[int],
    pace: Pace,
    *,
    time_left: Callable[[], float],
    keep: Callable[[dict[str, Any]], None],
) -> None:
    """One level after the other, until the p95 passes the chunk length, or time is up. Warms up before."""
    streams = Streams(engine, max(levels))
    running = asyncio.create_task(streams.worker.run())
    ready = asyncio.create_task(streams.ready())
    try:
        await asyncio.wait({running, ready}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
        for level in levels:
            if time_left() < pace.settle_s + pace.measure_s + 1:
                break
            row = await streams.level(level, pace)
            if running.done():
                running.result()
            keep(row)
            if not row["in_time"]:
                break
        streams.leave()
        await running
    finally:
        ready.cancel()
        running.cancel()
