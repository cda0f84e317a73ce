"""From mel frames to the encoder's frames: NeMo's causal subsampling, without computing anything twice.

NeMo gives each chunk nine mel frames of look-back and throws away what comes of them. Each of its
convolutions halves the time with a window of three, so all that a chunk needs of the one before is the last
frame at the input of each: that is what a slot keeps here. Channels lie side by side in memory, which is how
a CPU convolves fastest.
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
        like = {"dtype": pre_encode.out.weight.dtype, "device": pre_encode.out.weight.device}
        first, frame = [], torch.full((1, 3, mels, 1), SILENCE, **like)
        with torch.inference_mode():
            for stage in self._stages:
                # However far back, silence sounds the same, so one frame at the input of each stage is all.
                first.append(frame[:, -1:])
                frame = stage(frame).expand(-1, 3, -1, -1)
            # NeMo's has channels before tones.
            by_channel = pre_encode.out.weight.view(-1, frame.shape[3], frame.shape[2])
            self._out = by_channel.transpose(1, 2).flatten(1).contiguous()
        self._out_bias = pre_encode.out.bias
        self._first = first
        self._last = [one.expand(slots, -1, -1, -1).clone() for one in first]

    def open(self, slots: Tensor) -> None:
        for last, first in zip(self._last, self._first, strict=True):
            last[slots] = first

    def step(self, writes: Writes, mel: Tensor, frames: Tensor | None) -> Tensor:
        """[B, 8 T, M] to [B, T, D]. `frames`, when some row ends here: how many mel frames each has."""
        x = mel.unsqueeze(-1)  # batch, time, tones, channels
        for stage, last in zip(self._stages, self._last, strict=True):
            if frames is not None:
                x = x * (torch.arange(x.shape[1], device=x.device) < frames[:, None])[..., None, None]
                frames = (frames + 1) // 2
            x = torch.cat([last.index_select(0, writes.slots), x], 1)
            # A copy, so that the rest is let go of at once and used again while it is in the cache.
            writes.later(last, x[:, -1:].clone())
            x = stage(x)
        return F.linear(x.flatten(2), self._out, self._out_bias)


class _Stage:
    """A convolution that halves time and tones, what follows it, and its rectifier."""

    def __init__(self, strided: Any, rest: list[nn.Module]) -> None:
        self._strided, self._rest = strided, rest
        self._weight = strided.weight.contiguous(memory_format=torch.channels_last)

    def __call__(self, x: Tensor) -> Tensor:
        strided, left, right = self._strided, self._strided._left_padding, self._strided._right_padding
        tones = (x.shape[2] + left + right - strided.kernel_size[1]) // strided.stride[1] + 1
        # Only tones are padded: in time there is the frame before. As much on both sides needs no copy.
        x = F.conv2d(
            x.permute(0, 3, 1, 2),
            self._weight,
            strided.bias,
            strided.stride,
            (0, left),
            groups=strided.groups,
        )[..., :tones]
        for module in self._rest:
            x = module(x)
        return x.permute(0, 2, 3, 1)


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
