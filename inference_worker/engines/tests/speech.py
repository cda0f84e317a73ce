"""Real speech for the moonshine engine, and models to put in the place of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from inference_worker.engines.base import Output, Row, Samples
from inference_worker.engines.moonshine import BULK_CHUNKS, CHUNK_S, CHUNK_SAMPLES, MoonshineEngine
from inference_worker.engines.moonshine_model import HeardWord, Hearing, MoonshineModel
from inference_worker.engines.tests.driving import Heard, chunks, settle, step
from tests import recordings
from wire.messages import SAMPLE_RATE, StreamOptions

STEP_S = 0.01  # as long as a step waits for a decoder

model = cache(MoonshineModel)


class Watched:
    """The real model, with something done before it listens."""

    def __init__(self, before: Any) -> None:
        self.before = before

    def hear(self, samples: Samples, **how: Any) -> Any:
        self.before(samples)
        return model().hear(samples, **how)


@dataclass
class Quick:
    """Knows a word more each time, in `seconds` of the engine's clock, unless it hangs."""

    clock: list[float]
    seconds: float = 0.0
    calls: int = 0
    glances: int = 0
    hangs_from: int = 1_000_000
    gate: threading.Event = field(default_factory=threading.Event)

    def hear(self, samples: Samples, *, carefully: bool = False, **_: Any) -> Hearing:
        self.calls += 1
        if not carefully:
            self.glances += 1
            if self.glances >= self.hangs_from:
                self.gate.wait(20)
            self.clock[0] += self.seconds
        texts = ["so", *["and"] * self.calls]
        return Hearing(tuple(HeardWord(text, 0.9) for text in texts), 0.9, (3,) * len(texts))


@dataclass
class Timed:
    """Hears in time that is only counted: each hearing takes `seconds` of a clock that `pace` moves on."""

    seconds: float
    clock: list[float] = field(default_factory=lambda: [0.0])
    begun: int = 0
    _ends: dict[int, float] = field(default_factory=dict)
    _turn: threading.Condition = field(default_factory=threading.Condition)

    def hear(self, samples: Samples, **_: Any) -> Hearing:
        with self._turn:
            self.begun += 1
            number, ends = self.begun, self.clock[0] + self.seconds
            self._ends[number] = ends
            self._turn.notify_all()
            assert self._turn.wait_for(lambda: self.clock[0] >= ends, 20)
            del self._ends[number]
            self._turn.notify_all()
        # A word each third of a second, so that every hearing is another.
        texts = ["so", *["and"] * (len(samples) * 3 // SAMPLE_RATE)]
        return Hearing(tuple(HeardWord(text, 0.9) for text in texts), 0.9, (3,) * len(texts))

    def pace(self, engine: MoonshineEngine, rows: Iterable[Sequence[Row]]) -> Iterator[tuple[float, Output]]:
        """The rows of a step every CHUNK_S, and between them the steps that the loop takes while a decoder is
        at work; what they say, with when. The engine's patience has to be nothing: time stands still."""
        for number, now in enumerate(rows, 1):
            while engine.backlog and self.clock[0] + STEP_S < number * CHUNK_S:
                yield from self._step(engine, [], self.clock[0] + STEP_S)
            yield from self._step(engine, now, number * CHUNK_S)
        while engine.backlog:
            yield from self._step(engine, [], self.clock[0] + STEP_S)

    def _step(
        self, engine: MoonshineEngine, rows: Sequence[Row], at: float
    ) -> Iterator[tuple[float, Output]]:
        with self._turn:
            self.clock[0] = at
            self._turn.notify_all()
        self._until_all_hear(engine)
        result = engine.step(rows)
        assert not result.failed
        self._until_all_hear(engine)
        yield from ((at, output) for output in result.outputs)

    def _until_all_hear(self, engine: MoonshineEngine) -> None:
        """Every decoder has begun, and those whose time is over are done."""
        with self._turn:
            over = [number for number, ends in self._ends.items() if ends <= self.clock[0]]
            assert self._turn.wait_for(lambda: not any(number in self._ends for number in over), 20)
        for _ in range(20_000):
            with self._turn:
                if len(self._ends) == sum(not future.done() for future in engine._running):
                    return
            time.sleep(0.001)
        raise AssertionError("the decoders do not keep time")


@cache
def two_cities() -> Samples:
    return recordings.samples("two_cities.wav")


def paced(engine_clock: list[float], engine: MoonshineEngine, samples: Samples, **options: object) -> Heard:
    """As it comes from a microphone, with decoders that always keep up."""
    engine.open(0, StreamOptions(**options), 0)  # type: ignore[arg-type]
    heard: dict[int, Heard] = {}
    for row in chunks(0, samples, CHUNK_SAMPLES):
        engine_clock[0] += CHUNK_S
        step(engine, [row], heard)
        settle(engine, heard)
    return heard[0]


def beside_recordings(engine: MoonshineEngine, audio: Samples, count: int) -> Iterator[list[Row]]:
    """The rows of a live stream in slot 0, and of recordings that are sent as a gateway sends them."""
    engine.open(0, StreamOptions(interim_results=True), 0)
    size, listeners = BULK_CHUNKS * CHUNK_SAMPLES, engine._listeners
    files = dict.fromkeys(range(1, count + 1), 0)
    for slot in files:
        engine.open(slot, StreamOptions(recorded=True), 0)
    for row in chunks(0, audio, CHUNK_SAMPLES):
        rows = [row]
        for slot, sent in files.items():
            if sent + size - listeners[slot]._processed <= 30 * SAMPLE_RATE:
                begin = sent % (len(audio) - size)
                rows.append(Row(slot, audio[begin : begin + size]))
                files[slot] += size
        yield rows
    for slot in files:
        engine.close(slot)
