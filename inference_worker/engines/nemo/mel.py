"""Log-mel features of a chunk of each stream at once, by the model's own preprocessor.

The window of the first frame reaches into the chunk before; the last hop of samples of each slot is kept for
it. As in NeMo's pipeline the end of a chunk is padded with zeros, which the model was made for.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from inference_worker.engines.nemo.writes import Writes


class Mel:
    def __init__(self, preprocessor: Any, slots: int, hop: int, chunk: int, device: torch.device) -> None:
        self._preprocessor, self._hop, self._frames = preprocessor, hop, chunk // hop
        self._before = torch.zeros(slots, hop, device=device)

    def open(self, slots: Tensor) -> None:
        self._before[slots] = 0

    def step(self, writes: Writes, samples: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """[B, chunk] to [B, M, frames], and how many of the frames are not only padding."""
        signal = torch.cat([self._before[writes.slots], samples], 1)
        writes.later(self._before, samples[:, -self._hop :])
        mel, frames = self._preprocessor(input_signal=signal, length=lengths + self._hop)
        # One more frame than the chunk has, in the middle of the hop before it.
        mel = mel[:, :, : self._frames + 1]
        frames = frames.clamp(max=self._frames + 1) - (mel.shape[2] - self._frames)
        return mel[:, :, -self._frames :], frames.clamp(min=0)
