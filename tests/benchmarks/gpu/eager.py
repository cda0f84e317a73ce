"""NeMo's modules called one after the other, as simply as can be: what a step of ours must equal.

Log-mel by the network's preprocessor, `cache_aware_stream_step` of its encoder with nine mel frames of
look-back in every step, and the decoder without graphs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inference_worker.engines.nemo.loading import Loaded

SILENCE = -16.6355  # log-mel of nothing, as NeMo fills what was before the stream
SUBSAMPLING = 8


class Eager:
    """So many streams, all of them in every step."""

    def __init__(self, loaded: Loaded, streams: int) -> None:
        self._model, self._device = loaded.model, loaded.device
        self._encoder = encoder = loaded.model.encoder
        self._dtype = encoder.layers[0].norm_out.weight.dtype
        self._hop = round(loaded.model.cfg.preprocessor.window_stride * 16_000)
        self._frames = (loaded.right + 1) * SUBSAMPLING
        self.chunk_samples = self._frames * self._hop
        look_back = encoder.streaming_cfg.pre_encode_cache_size
        self._drop = encoder.streaming_cfg.drop_extra_pre_encoded
        self._look_back = look_back[1] if isinstance(look_back, (list, tuple)) else look_back
        mels = encoder._feat_in
        self._before = torch.zeros(streams, self._hop, device=self._device)
        self._mel = torch.full((streams, mels, self._look_back), SILENCE, device=self._device)
        self._caches = encoder.get_initial_cache_state(streams, dtype=self._dtype, device=self._device)
        self._lengths = torch.full((streams,), loaded.right + 1, device=self._device)
        self._state: Any = None
        self._computer = loaded.model.decoding.decoding.decoding_computer

    @torch.inference_mode()
    def encode(self, audio: NDArray[np.float32]) -> Tensor:
        """[streams, samples] to [streams, frames, width], chunk by chunk; what is over is left out."""
        size = self.chunk_samples
        chunks = range(0, audio.shape[1] - size + 1, size)
        return torch.cat([self._encode(audio[:, begin : begin + size]) for begin in chunks], 1)

    @torch.inference_mode()
    def step(self, audio: NDArray[np.float32]) -> list[list[tuple[int, int, float]]]:
        """A chunk of each stream, [streams, chunk]; of each the tokens, their frames, their confidences."""
        heard, self._state = self._computer.torch_impl(
            encoder_output=self._encode(audio),
            encoder_output_length=self._lengths,
            prev_batched_state=self._state,
        )
        counts, ids, frames, _, sure = heard.get_data_without_blank()
        told = []
        for row, count in enumerate(counts.tolist()):
            told.append(list(zip(*(part[row, :count].tolist() for part in (ids, frames, sure)), strict=True)))
        return told

    def _encode(self, audio: NDArray[np.float32]) -> Tensor:
        samples = torch.from_numpy(np.ascontiguousarray(audio)).to(self._device)
        signal = torch.cat([self._before, samples], 1)
        self._before = samples[:, -self._hop :]
        lengths = torch.full((len(signal),), signal.shape[1], device=self._device)
        mel, _ = self._model.preprocessor(input_signal=signal, length=lengths)
        new = mel[:, :, 1 : self._frames + 1]  # the first is of the hop before
        seen = torch.cat([self._mel, new], 2)
        self._mel = seen[:, :, -self._look_back :]
        encoded, _, *self._caches = self._encoder.cache_aware_stream_step(
            processed_signal=seen.to(self._dtype),
            processed_signal_length=torch.full((len(seen),), seen.shape[2], device=self._device),
            cache_last_channel=self._caches[0],
            cache_last_time=self._caches[1],
            cache_last_channel_len=self._caches[2],
            keep_all_outputs=False,
            drop_extra_pre_encoded=self._drop,
        )
        return encoded.transpose(1, 2)
