"""Real speech for the moonshine engine, and models to put in the place of its own."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from inference_worker.engines.base import Samples
from inference_worker.engines.moonshine import CHUNK_S, CHUNK_SAMPLES, MoonshineEngine
from inference_worker.engines.moonshine_model import HeardWord, Hearing, MoonshineModel
from inference_worker.engines.tests.driving import Heard, chunks, settle, step
from tests import recordings
from wire.messages import StreamOptions

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
