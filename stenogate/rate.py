"""Sample rates the server does not take are divided by a whole number before sending.

The server resamples 8 to 48 kHz by itself; only studio rates (88.2 kHz and up) need this, and they are
whole multiples of one it takes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from stenogate.errors import InputError

LOWEST, HIGHEST = 8_000, 48_000
MAX_FACTOR = 16
TAPS_PER_STEP = 16


def factor_for(rate: int) -> int:
    """By what to divide `rate` so that the server takes it; 1 for most files."""
    if LOWEST <= rate <= HIGHEST:
        return 1
    if rate > HIGHEST:
        for factor in range(2, MAX_FACTOR + 1):
            if rate % factor == 0 and 2 * LOWEST <= rate // factor <= HIGHEST:
                return factor
    raise InputError(
        f"the recording has {rate} samples a second; {LOWEST} to {HIGHEST} and their multiples can be sent. "
        "Convert it first: ffmpeg -i IN -ar 16000 OUT.wav"
    )


def divide(blocks: Iterable[NDArray[np.float32]], factor: int) -> Iterator[NDArray[np.float32]]:
    """`blocks` at a `factor`-th of their rate, without what would fold back below the new half rate."""
    if factor == 1:
        yield from blocks
        return
    half = TAPS_PER_STEP * factor
    kernel = _low_pass(half, factor)
    # `buffer` starts half a kernel early, so that output sample k is centred on input sample k * factor.
    buffer = np.zeros(half, np.float32)
    for block in blocks:
        buffer = np.concatenate([buffer, block])
        out, buffer = _take(buffer, kernel, factor)
        if out.size:
            yield out
    out, _ = _take(np.concatenate([buffer, np.zeros(half, np.float32)]), kernel, factor)
    if out.size:
        yield out


def _low_pass(half: int, factor: int) -> NDArray[np.float32]:
    """A windowed sinc that passes up to 0.45 of the new rate."""
    offsets = np.arange(-half, half + 1)
    kernel = np.sinc(offsets * 0.9 / factor) * np.blackman(2 * half + 1)
    return np.asarray(kernel / kernel.sum(), np.float32)


def _take(
    buffer: NDArray[np.float32], kernel: NDArray[np.float32], factor: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Every output that `buffer` is long enough for, and what is left of it."""
    count = max(0, (len(buffer) - len(kernel)) // factor + 1)
    if not count:
        return np.zeros(0, np.float32), buffer
    windows = np.lib.stride_tricks.sliding_window_view(buffer, len(kernel))[::factor]
    return np.asarray(windows[:count] @ kernel, np.float32), buffer[count * factor :]
