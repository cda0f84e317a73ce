"""From mel frames to the encoder's frames: NeMo's causal subsampling, without computing anything twice.

NeMo gives each chunk nine mel frames of look-back and throws away what comes of them. Each of its
convolutions halves the time with a window of three, so all that a chunk needs of the one before is the last
frame at the input of each: that is what a slot keeps here.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inference_worker.engines.nemo.writes import Writes

SILENCE = -16.6355  # log-mel of nothing, as NeMo fills what was before the stream


class Front:
    def __init__(self, pre_encode: Any, mels: int, slots: int) -> None:
        self._stages = _stages(pre_encode.conv)
        self._out: nn.Linear = pre_encode.out
        reference = self._out.weight
        first, frame = (
            [],
            torch.full((1, 1, 3, mels), SILENCE, dtype=reference.dtype, device=reference.device),
        )
        with torch.inference_mode():
            for stage in self._stages:
                # However far back, silence sounds the same, so one frame at the input of each stage is all.
                first.append(frame[0, :, -1:].clone())
                frame = stage(frame).expand(-1, -1, 3, -1).contiguous()
        self._first = first
        self._last = [one.expand(slots, *one.shape).clone() for one in first]

    def open(self, slots: Tensor) -> None:
        for last, first in zip(self._last, self._first, strict=True):
            last[slots] = first

    def step(self, writes: Writes, mel: Tensor, frames: Tensor | None) -> Tensor:
        """[B, M, 8 T] to [B, T, D]. `frames`, when some row ends here: how many mel frames each has."""
        x = mel.transpose(1, 2).unsqueeze(1)
        for stage, last in zip(self._stages, self._last, strict=True):
            if frames is not None:
                x = x * (torch.arange(x.shape[2], device=x.device) < frames[:, None])[:, None, :, None]
                frames = (frames + 1) // 2
            x = torch.cat([last[writes.slots], x], 2)
            writes.later(last, x[:, :, -1:])
            x = stage(x)
        batch, channels, time, tones = x.shape
        return self._out(x.transpose(1, 2).reshape(batch, time, channels * tones))


class _Stage:
    """A convolution that halves time and tones, what follows it, and its rectifier."""

    def __init__(self, strided: Any, rest: list[nn.Module]) -> None:
        self._strided, self._rest = strided, rest

    def __call__(self, x: Tensor) -> Tensor:
        strided = self._strided
        # Only tones are padded: in time there is the frame before.
        x = F.pad(x, (strided._left_padding, strided._right_padding))
        x = F.conv2d(x, strided.weight, strided.bias, strided.stride, groups=strided.groups)
        for module in self._rest:
            x = module(x)
        return x


def _stages(layers: Any) -> list[_Stage]:
    stages: list[_Stage] = []
    rest: list[nn.Module] = []
    for layer in layers:
        if getattr(layer, "stride", (1, 1)) != (1, 1):
            rest = []
            stages.append(_Stage(layer, rest))
        else:
            rest.append(layer)
    return stages
