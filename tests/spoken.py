"""Synthesised speech of the tiny model's small domain, none of whose texts it was trained on. Written by
`python -m inference_worker.tools.tiny.spoken tests/spoken.flac`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

RATE = 16_000
PATH = Path(__file__).with_suffix(".flac")
Samples = NDArray[np.float32]


@dataclass(frozen=True)
class Clip:
    text: str
    voice: str
    start: int
    samples: int

    @property
    def audio(self) -> Samples:
        return recording()[self.start : self.start + self.samples]


@cache
def clips() -> tuple[Clip, ...]:
    return tuple(Clip(**mark) for mark in json.loads(PATH.with_suffix(".json").read_text()))


@cache
def recording() -> Samples:
    """All clips, with a second of a quiet room before, between and after them; 16 kHz."""
    with av.open(str(PATH)) as file:
        parts = [frame.to_ndarray() for frame in file.decode(audio=0)]
    return (np.concatenate(parts, 1)[0].astype(np.float32)) / np.float32(32_768)


def some(count: int, first: int = 0) -> Samples:
    """So many clips in a row, with the silence after each and before the first."""
    chosen = clips()[first : first + count]
    following = first + count
    end = clips()[following].start if following < len(clips()) else len(recording())
    return recording()[max(0, chosen[0].start - 16_000) : end]


def text(count: int, first: int = 0) -> str:
    return " ".join(clip.text for clip in clips()[first : first + count])
