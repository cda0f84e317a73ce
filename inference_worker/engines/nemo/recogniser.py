"""A chunk of each of many streams in; tokens and how likely it is speech out. Everything of a stream lies in
arenas, under its slot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inference_worker.engines.base import Samples
from inference_worker.engines.nemo import buckets, decoder
from inference_worker.engines.nemo.decoder import Decoder, Tokens, keep_small
from inference_worker.engines.nemo.detector import Detector
from inference_worker.engines.nemo.encoder import Encoder
from inference_worker.engines.nemo.graphs import Capture, Graphs, on_cuda
from inference_worker.engines.nemo.loading import Loaded
from inference_worker.engines.nemo.mel import Mel
from inference_worker.engines.nemo.phrases import Phrases
from inference_worker.engines.nemo.writes import Writes
from wire.messages import SAMPLE_RATE


class Chunk(msgspec.Struct, frozen=True):
    slot: int
    samples: Samples  # as many as a chunk has; fewer are the last of the stream
    sent: int | None = None  # so many of them are audio, the rest a flush has added; None: all


class Sound(msgspec.Struct, frozen=True):
    tokens: Tokens
    speech: list[tuple[float, float]]  # of each window that is complete: how likely speech, how loud


@dataclass(frozen=True)
class Computed:
    """What a step has computed before it decodes, and would write."""

    writes: Writes
    encoded: Tensor
    lengths: Tensor
    windows: Tensor  # [B, 1 + 2 n]: how many windows, then how likely each is speech, and how loud


class Recogniser:
    def __init__(
        self,
        loaded: Loaded,
        slots: int,
        most_rows: int,
        *,
        one_bucket: bool = False,
        capture: Capture | None = None,
    ) -> None:
        """`capture` makes graphs of steps, which a GPU does by itself."""
        model, self._device = loaded.model, loaded.device
        encoder = model.encoder
        hop = round(model.cfg.preprocessor.window_stride * SAMPLE_RATE)
        self.frame_samples = encoder.subsampling_factor * hop
        self.chunk_samples = (loaded.right + 1) * self.frame_samples
        self._subsampling = encoder.subsampling_factor
        self._dtype = encoder.layers[0].norm_out.weight.dtype
        # One slot more than there are streams, for the rows that fill up a bucket.
        self._nobody, slots = slots, slots + 1
        self._mel = Mel(model.preprocessor, slots, hop, self.chunk_samples, self._device)
        self._encoder = Encoder(encoder, slots, loaded.left, loaded.right)
        self._detector = Detector(slots, self.chunk_samples, self._device)
        empty = torch.zeros(1, 1, encoder.d_model, dtype=self._dtype, device=self._device)
        self.phrases = Phrases(model, loaded.right + 1)
        computer = model.decoding.decoding.decoding_computer
        keep_small(computer, loaded.right + 1)
        self._decoder = Decoder(computer, self.phrases.computer, slots, empty)
        if capture is None and self._device.type == "cuda":
            capture = on_cuda()
        self.buckets = buckets.sizes(most_rows, few=capture is not None, one=one_bucket)
        self._graphs = Graphs(self._compute, self.chunk_samples, self._device, capture)

    @torch.inference_mode()
    def open(self, slot: int, phrases: Sequence[str] = ()) -> None:
        slots = torch.tensor([slot], device=self._device)
        for part in (self._mel, self._encoder, self._detector, self._decoder):
            part.open(slots)
        self.phrases.open(slot, phrases)

    @torch.inference_mode()
    def close(self, slot: int) -> None:
        self.phrases.close(slot)

    @torch.inference_mode()
    def warm_up(self) -> None:
        """Every size of step, the largest first: what it needs of memory does for the others."""
        for rows in sorted(buckets.to_warm_up(self.buckets), reverse=True):
            self.step([Chunk(self._nobody, np.zeros(self.chunk_samples, np.float32))] * rows)
        if self._device.type == "cuda":  # where the decoder that heeds phrases captures graphs of its own
            rows = self.buckets[-1]
            nothing = [Chunk(self._nobody, np.zeros(self.chunk_samples, np.float32))] * rows
            self.step(nothing, phrases=torch.full((rows,), -1, device=self._device))

    @torch.inference_mode()
    def step(self, chunks: Sequence[Chunk], phrases: Tensor | None = None) -> list[Sound]:
        """One that raises has changed nothing. `phrases`: what the decoder heeds instead of the rows' own."""
        rows = buckets.fit(self.buckets, len(chunks))
        samples = np.zeros((rows, self.chunk_samples), np.float32)
        slots = np.full(rows, self._nobody)
        lengths, sent = np.zeros((2, rows), np.int64)
        for row, chunk in enumerate(chunks):
            samples[row, : len(chunk.samples)] = chunk.samples
            slots[row], lengths[row] = chunk.slot, len(chunk.samples)
            sent[row] = len(chunk.samples) if chunk.sent is None else chunk.sent
        whole = bool((lengths == self.chunk_samples).all())
        computed = self._graphs.run(samples, np.stack([slots, lengths, sent]), whole)
        after = Writes(computed.writes.slots)
        phrases = self._phrases_of(slots) if phrases is None else phrases
        tokens = self._decoder.step(after, computed.encoded, computed.lengths, phrases)
        said = torch.cat([tokens, computed.windows], 1).cpu().numpy()
        self._graphs.commit(computed)
        after.commit()
        count, most = len(chunks), tokens.shape[1]
        heard = decoder.read(said[:count, :most].tolist())
        return [Sound(*pair) for pair in zip(heard, _speech(said[:count, most:].tolist()), strict=True)]

    def _compute(self, samples: Tensor, rows: Tensor, whole: bool) -> Computed:
        slots, lengths, sent = rows
        writes = Writes(slots)
        mel, frames = self._mel.step(writes, samples, None if whole else lengths)
        encoded = self._encoder.step(writes, mel.to(self._dtype), frames)
        counts, chances, levels = self._detector.step(writes, samples, sent)
        windows = torch.cat([counts[:, None].float(), chances, levels], 1)
        if frames is None:
            frames = torch.full_like(slots, mel.shape[1])
        return Computed(writes, encoded, -(-frames // self._subsampling), windows)

    def _phrases_of(self, slots: NDArray[np.int64]) -> Tensor | None:
        if not self.phrases.any:
            return None
        numbers = [self.phrases.number(int(slot)) for slot in slots]
        if max(numbers) < 0:
            return None
        return torch.tensor(numbers, device=self._device)


def _speech(rows: Sequence[Sequence[float]]) -> list[list[tuple[float, float]]]:
    most = (len(rows[0]) - 1) // 2
    return [list(zip(row[1 : 1 + int(row[0])], row[1 + most :], strict=False)) for row in rows]
