"""Samples without a container."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import soxr
from numpy.typing import NDArray

from gateway.audio.base import MAX_PIECE_BYTES, AudioFormat, Pcm
from wire.messages import BYTES_PER_SAMPLE, SAMPLE_RATE


class Linear16:
    """Signed 16-bit little-endian mono. At the wire's rate only an odd byte can be in the way."""

    def __init__(self, sample_rate: int = SAMPLE_RATE) -> None:
        self._rate = sample_rate
        self._odd = b""
        self._samples = 0
        self._stream = (
            None
            if sample_rate == SAMPLE_RATE
            else soxr.ResampleStream(sample_rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ")
        )

    @property
    def input_ms(self) -> int:
        return self._samples * 1000 // self._rate

    def quick(self, size: int) -> bool:
        return size <= MAX_PIECE_BYTES

    def feed(self, data: bytes) -> Iterator[Pcm]:
        data = self._odd + data
        even = len(data) - len(data) % BYTES_PER_SAMPLE
        self._odd = data[even:]
        for start in range(0, even, MAX_PIECE_BYTES):
            piece = data[start : min(start + MAX_PIECE_BYTES, even)]
            self._samples += len(piece) // BYTES_PER_SAMPLE
            yield (self._resample(piece, last=False),)

    def finish(self) -> Iterator[Pcm]:
        if self._stream is not None:
            yield (self._resample(b"", last=True),)

    def close(self) -> None:
        self._stream = None

    def _resample(self, data: bytes, *, last: bool) -> bytes:
        if self._stream is None:
            return data
        # In floats, and rounded here: with integers soxr adds random dither, and the same audio would not
        # give the same samples twice.
        samples = np.frombuffer(data, dtype="<i2").astype(np.float32)
        resampled: NDArray[np.float32] = self._stream.resample_chunk(samples, last=last)
        return np.clip(np.rint(resampled), -32768, 32767).astype("<i2").tobytes()


def decoder(form: AudioFormat) -> Linear16:
    """The decoder for a format that `gateway.parameters` has allowed."""
    return Linear16(form.sample_rate)
