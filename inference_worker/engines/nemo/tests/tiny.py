"""The tiny model, loaded once for all tests of a process, and what the tests of the engine do with it."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import torch

from inference_worker.engines.base import Row, Samples
from inference_worker.engines.nemo.engine import NemoEngine
from inference_worker.engines.nemo.loading import TINY, Loaded, load
from inference_worker.engines.tests.driving import Heard, step
from wire.messages import StreamOptions, Word

LEFT = 70


@cache
def loaded(right: int = 1) -> Loaded:
    return load(str(TINY), right, "float32", "cpu")


def engine(right: int = 1, slots: int = 16, **how: object) -> NemoEngine:
    # A model has one look-ahead at a time, so each has a copy of its own.
    return NemoEngine(loaded(right), slots, **how)  # type: ignore[arg-type]


Choose = Callable[[Sequence[int]], Sequence[int]]


def all_of_them(slots: Sequence[int]) -> Sequence[int]:
    return slots


def some_of_them(seed: int) -> Choose:
    """In no order, and never the same ones twice in a row."""
    dice = random.Random(seed)
    return lambda slots: dice.sample(slots, dice.randint(1, len(slots)))


def hear(
    made: NemoEngine, audio: dict[int, Samples], choose: Choose = all_of_them, **options: object
) -> dict[int, Heard]:
    """Streams from their beginning to their end, those that are chosen in each step."""
    size = made.info.chunk_samples
    for slot in audio:
        made.open(slot, StreamOptions(**options), 0)  # type: ignore[arg-type]
    heard = {slot: Heard() for slot in audio}
    position = dict.fromkeys(audio, 0)
    while going := [slot for slot in audio if position[slot] <= len(audio[slot])]:
        rows = []
        for slot in choose(going):
            begin, position[slot] = position[slot], position[slot] + size
            last = position[slot] >= len(audio[slot])
            rows.append(Row(slot, audio[slot][begin : begin + size], last=last))
            position[slot] += last  # past the end: there is nothing more
        step(made, rows, heard)
    for slot in audio:
        made.close(slot)
    return heard


def words(heard: Heard) -> list[Word]:
    return [word for final in heard.finals for word in final.words]


def noise(samples: int, seed: int = 0, level: float = 0.01) -> Samples:
    return (np.random.default_rng(seed).standard_normal(samples) * level).astype(np.float32)


def out_of_memory(*_: object, **__: object) -> None:
    raise torch.OutOfMemoryError("no memory, says the test")
