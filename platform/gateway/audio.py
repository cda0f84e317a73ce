"""What the client sends, as what the wire carries: 16 kHz mono signed 16-bit. Stateful, no I/O.

A decoder may be fed any split of the byte stream: no sample is lost or doubled at a border.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import soxr
from numpy.typing import NDArray

from wire.messages import BYTES_PER_SAMPLE, SAMPLE_RATE


class Decoder(Protocol):
    @property
    def input_ms(self) -> int:
        """Milliseconds of audio received so far, whole ones."""

    def feed(self, data: bytes) -> bytes:
        """The samples that are certain now."""

    def finish(self) -> bytes:
        """The samples that were held back; nothing may be fed afterwards."""


@dataclass
class Linear16:
    """Signed 16-bit little-endian mono at the wire's rate: only an odd byte can be in the way."""

    _odd: bytes = b""
    _samples: int = 0

    @property
    def input_ms(self) -> int:
        return self._samples * 1000 // SAMPLE_RATE

    def feed(self, data: bytes) -> bytes:
        if self._odd:
            data, self._odd = self._odd + data, b""
        if len(data) % BYTES_PER_SAMPLE:
            data, self._odd = data[:-1], data[-1:]
        self._samples += len(data) // BYTES_PER_SAMPLE
        return data

    def finish(self) -> bytes:
        return b""


@dataclass
class ResampledLinear16:
    """Signed 16-bit little-endian mono at another rate."""

    rate: int
    _inner: Linear16 = field(default_factory=Linear16)
    _stream: soxr.ResampleStream = field(init=False)

    def __post_init__(self) -> None:
        self._stream = soxr.ResampleStream(self.rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ")

    @property
    def input_ms(self) -> int:
        return self._inner._samples * 1000 // self.rate

    def feed(self, data: bytes) -> bytes:
        return self._resample(self._inner.feed(data), last=False)

    def finish(self) -> bytes:
        return self._resample(b"", last=True)

    def _resample(self, data: bytes, *, last: bool) -> bytes:
        # In floats, and rounded here: with integers soxr adds random dither, and the same audio would not
        # give the same samples twice.
        samples = np.frombuffer(data, dtype="<i2").astype(np.float32)
        resampled: NDArray[np.float32] = self._stream.resample_chunk(samples, last=last)
        return np.clip(np.rint(resampled), -32768, 32767).astype("<i2").tobytes()


def decoder(encoding: str, sample_rate: int) -> Decoder:
    """The decoder for parameters that `gateway.parameters` has allowed."""
    if encoding != "linear16":
        raise ValueError(f"no decoder for {encoding}")
    return Linear16() if sample_rate == SAMPLE_RATE else ResampledLinear16(sample_rate)
