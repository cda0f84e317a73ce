"""Log-mel features of a chunk of each stream at once, as the model's own preprocessor computes them.

The window of the first frame reaches into the chunk before; the last hop of samples of each slot is kept for
it. As in NeMo's pipeline the end of a chunk is padded with zeros, which the model was made for.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from inference_worker.engines.nemo.writes import Writes
from wire.messages import SAMPLE_RATE


def unknown(featurizer: Any) -> str | None:
    """What of a model's features is not computed here, if anything."""
    if featurizer.normalize not in (None, "NA", "na"):
        return f"normalises its features over the utterance ({featurizer.normalize})"
    if featurizer.sample_rate != SAMPLE_RATE:
        return f"hears {featurizer.sample_rate} samples a second, and streams have {SAMPLE_RATE}"
    usual = {"mag_power": 2.0, "log": True, "frame_splicing": 1, "exact_pad": False, "pad_to": 0}
    others = [name for name, value in usual.items() if getattr(featurizer, name) != value]
    return f"has features of another kind ({', '.join(others)})" if others else None


class Mel:
    def __init__(self, preprocessor: Any, slots: int, hop: int, chunk: int, device: torch.device) -> None:
        featurizer = preprocessor.featurizer
        self._count, self._hop, self._frames = featurizer.get_seq_len, hop, chunk // hop
        self._size = featurizer.n_fft
        missing = self._size - len(featurizer.window)
        self._window = F.pad(featurizer.window, (missing // 2, missing - missing // 2))
        self._filters = featurizer.fb[0].t().contiguous()
        self._emphasis = featurizer.preemph or 0.0
        self._floor, self._adds = featurizer.log_zero_guard_value_fn, featurizer.log_zero_guard_type == "add"
        self._padding = featurizer.pad_value
        self._before = torch.zeros(slots, hop, device=device)

    def open(self, slots: Tensor) -> None:
        self._before[slots] = 0

    def step(self, writes: Writes, samples: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """[B, chunk] to [B, frames, M]. With `lengths`, where some are shorter than a chunk: also how many of
        the frames are not only padding."""
        signal = torch.cat([self._before.index_select(0, writes.slots), samples], 1)
        writes.later(self._before, samples[:, -self._hop :])
        signal = torch.cat([signal[:, :1], signal[:, 1:] - self._emphasis * signal[:, :-1]], 1)
        if lengths is not None:
            heard = torch.arange(signal.shape[1], device=signal.device) < (lengths + self._hop)[:, None]
            signal = signal * heard
        # Windows are centred on their frames, of which the first begins the chunk.
        around = F.pad(signal, (self._size // 2 - self._hop, self._size // 2))
        windows = around.unfold(1, self._size, self._hop)[:, : self._frames] * self._window
        power = torch.view_as_real(torch.fft.rfft(windows)).square().sum(-1)
        mel = power @ self._filters
        floor = self._floor(mel)
        mel = (mel + floor if self._adds else mel.clamp(min=floor)).log()
        if lengths is None:
            return mel, None
        frames = (self._count(lengths + self._hop).clamp(max=self._frames + 1) - 1).clamp(min=0)
        padded = torch.arange(self._frames, device=mel.device) >= frames[:, None]
        return mel.masked_fill(padded[..., None], self._padding), frames
