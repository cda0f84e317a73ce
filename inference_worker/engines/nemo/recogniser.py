"""A chunk of each of many streams in, tokens out. Everything of a stream lies in arenas, under its slot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from inference_worker.engines.base import Samples
from inference_worker.engines.nemo.decoder import Decoder, Tokens
from inference_worker.engines.nemo.encoder import Encoder
from inference_worker.engines.nemo.loading import Loaded
from inference_worker.engines.nemo.mel import Mel
from inference_worker.engines.nemo.writes import Writes

SAMPLE_RATE = 16_000


@dataclass(frozen=True)
class Chunk:
    slot: int
    samples: Samples  # as many as a chunk has; fewer are the last of the stream


class Recogniser:
    def __init__(self, loaded: Loaded, slots: int) -> None:
        model, self._device = loaded.model, loaded.device
        encoder = model.encoder
        hop = round(model.cfg.preprocessor.window_stride * SAMPLE_RATE)
        self.frame_samples = encoder.subsampling_factor * hop
        self.chunk_samples = (loaded.right + 1) * self.frame_samples
        self._subsampling = encoder.subsampling_factor
        self._dtype = encoder.layers[0].norm_out.weight.dtype
        self._mel = Mel(model.preprocessor, slots, hop, self.chunk_samples, self._device)
        self._encoder = Encoder(encoder, slots, loaded.left, loaded.right)
        empty = torch.zeros(1, 1, encoder.d_model, dtype=self._dtype, device=self._device)
        self._decoder = Decoder(model.decoding.decoding.decoding_computer, slots, empty)

    @torch.inference_mode()
    def open(self, slot: int) -> None:
        slots = torch.tensor([slot], device=self._device)
        self._mel.open(slots)
        self._encoder.open(slots)
        self._decoder.open(slots)

    @torch.inference_mode()
    def step(self, chunks: Sequence[Chunk]) -> list[Tokens]:
        samples = np.zeros((len(chunks), self.chunk_samples), np.float32)
        for row, chunk in zip(samples, chunks, strict=True):
            row[: len(chunk.samples)] = chunk.samples
        writes = Writes(torch.tensor([chunk.slot for chunk in chunks], device=self._device))
        lengths = torch.tensor([len(chunk.samples) for chunk in chunks], device=self._device)
        whole = all(len(chunk.samples) == self.chunk_samples for chunk in chunks)
        mel, frames = self._mel.step(writes, torch.from_numpy(samples).to(self._device), lengths)
        encoded = self._encoder.step(writes, mel.to(self._dtype), None if whole else frames)
        tokens = self._decoder.step(writes, encoded, -(-frames // self._subsampling))
        writes.commit()
        return tokens
