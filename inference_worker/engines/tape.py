"""The last seconds of a stream's audio, by position."""

from __future__ import annotations

import numpy as np

from inference_worker.engines.base import Samples

ROOM = 16_000


class Tape:
    """Holds the samples from `begin` to `end`; grows as needed and lets go of what is not needed any more."""

    def __init__(self, position: int) -> None:
        self.begin = self.end = position
        self._buffer = np.zeros(ROOM, np.float32)

    def add(self, samples: Samples) -> None:
        held = self.end - self.begin
        if held + len(samples) > len(self._buffer):
            grown = np.zeros(2 * (held + len(samples)), np.float32)
            grown[:held] = self._buffer[:held]
            self._buffer = grown
        self._buffer[held : held + len(samples)] = samples
        self.end += len(samples)

    def read(self, begin: int, end: int) -> Samples:
        if not self.begin <= begin <= end <= self.end:
            raise IndexError(f"{begin} to {end} of {self.begin} to {self.end}")
        return self._buffer[begin - self.begin : end - self.begin].copy()

    def forget_before(self, position: int) -> None:
        """Move what is kept to the front; done only when it is worth the copying."""
        gone = min(position, self.end) - self.begin
        if gone < ROOM and gone < self.end - self.begin:
            return
        kept = self._buffer[gone : self.end - self.begin].copy()
        self.begin += gone
        self._buffer = np.zeros(max(ROOM, 2 * len(kept)), np.float32)
        self._buffer[: len(kept)] = kept
