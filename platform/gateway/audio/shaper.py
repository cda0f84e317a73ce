"""Samples of any rate and number of channels, as lanes at the wire's rate.

Samples go in as floats on the scale of 16 bits. With integers soxr would add random dither, and the same
audio would not give the same samples twice; so floats until the end, and rounded here.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any, TypeAlias

import numpy as np
import soxr
from numpy.typing import NDArray

from gateway.audio.base import MAX_CHANNELS, MAX_PIECE_BYTES, Pcm
from gateway.errors import BadAudio
from wire.messages import BYTES_PER_SAMPLE, SAMPLE_RATE

Samples: TypeAlias = NDArray[np.float32]  # [frame, channel]

FULL_SCALE = 32_768.0
RATES = (4_000, 192_000)
# Of input a step, so that a piece stays a piece whatever the rates are.
_STEP_S = 0.5
_MAX_PIECE_SAMPLES = MAX_PIECE_BYTES // BYTES_PER_SAMPLE


class Shaper:
    def __init__(self, lanes: int) -> None:
        self._lanes = lanes
        self._rate = SAMPLE_RATE
        self._taken = 0  # frames at this rate
        self._earlier_ms = Fraction(0)  # at rates before this one
        self._resampler: soxr.ResampleStream | None = None

    @property
    def input_ms(self) -> int:
        here = self._taken * 1000
        return int(self._earlier_ms + Fraction(here, self._rate)) if self._earlier_ms else here // self._rate

    def take(self, samples: Samples, rate: int) -> Iterator[Pcm]:
        frames, channels = samples.shape
        if not 1 <= channels <= MAX_CHANNELS:
            raise BadAudio(f"It has {channels} channels; at most {MAX_CHANNELS} are read.")
        if self._lanes > 1 and channels != self._lanes:
            raise BadAudio(f"It has {channels} channels where channels={self._lanes} was said.")
        if rate != self._rate:
            yield from self._change(rate)
        step = max(1, int(rate * _STEP_S))
        for start in range(0, frames, step):
            part = samples[start : start + step]
            self._taken += len(part)
            yield from self._pieces(self._resample(self._to_lanes(part), last=False))

    def finish(self) -> Iterator[Pcm]:
        """What the resampler holds back."""
        if self._resampler is not None:
            yield from self._pieces(self._resample(np.zeros((0, self._lanes), np.float32), last=True))
            self._resampler = None

    def close(self) -> None:
        self._resampler = None

    def _change(self, rate: int) -> Iterator[Pcm]:
        if not RATES[0] <= rate <= RATES[1]:
            raise BadAudio(f"Its sample rate is {rate}; {RATES[0]} to {RATES[1]} are read.")
        yield from self.finish()
        self._earlier_ms += Fraction(self._taken * 1000, self._rate)
        self._rate, self._taken = rate, 0
        if rate != SAMPLE_RATE:
            self._resampler = soxr.ResampleStream(
                rate,
                SAMPLE_RATE,
                self._lanes,
                dtype="float32",
                quality="HQ",
                # soxr works in blocks, which at telephone rates hold a word back for up to 115 ms. Its engine
                # for variable rates does not: 30 ms, always. Downwards it would cost eight times as much.
                vr=rate < SAMPLE_RATE,
            )

    def _to_lanes(self, part: Samples) -> Samples:
        channels = part.shape[1]
        if channels == self._lanes:
            return part
        # One after the other: the order in which numpy would add depends on how much it is given.
        total = part[:, 0].copy()
        for channel in range(1, channels):
            total += part[:, channel]
        total /= channels
        return total[:, np.newaxis]

    def _resample(self, part: Samples, *, last: bool) -> Samples:
        if self._resampler is None:
            return part
        resampled: Samples = self._resampler.resample_chunk(np.ascontiguousarray(part), last=last)
        return resampled

    def _pieces(self, samples: Samples) -> Iterator[Pcm]:
        whole = np.clip(np.rint(samples), -32_768, 32_767).astype("<i2")
        for start in range(0, len(whole), _MAX_PIECE_SAMPLES):
            piece = whole[start : start + _MAX_PIECE_SAMPLES]
            yield tuple(piece[:, lane].tobytes() for lane in range(self._lanes))


def from_unit(samples: NDArray[Any]) -> Samples:
    """Floats from -1 to 1, cleaned: one NaN or infinity would stay in a resampler for good."""
    clean = np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0)
    samples = np.clip(clean, -1.0, 1.0).astype(np.float32)
    samples *= np.float32(FULL_SCALE)
    return samples
