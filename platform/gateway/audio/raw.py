"""Samples without a container."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from gateway.audio.base import MAX_PIECE_BYTES, Pcm
from gateway.audio.shaper import Samples, Shaper, from_unit
from wire.messages import SAMPLE_RATE

# Of audio: more of it in one frame is decoded in a thread.
_QUICK_S = 0.5


def _mulaw_table() -> NDArray[np.float32]:
    code = ~np.arange(256) & 0xFF
    magnitude = ((((code & 15) << 3) + 0x84) << (code >> 4 & 7)) - 0x84
    return np.where(code & 0x80, -magnitude, magnitude).astype(np.float32)


def _alaw_table() -> NDArray[np.float32]:
    code = np.arange(256) ^ 0x55
    exponent = code >> 4 & 7
    step = ((code & 15) << 4) + 8
    magnitude = np.where(exponent > 0, (step + 0x100) << np.maximum(exponent - 1, 0), step)
    return np.where(code & 0x80, magnitude, -magnitude).astype(np.float32)


_MULAW, _ALAW = _mulaw_table(), _alaw_table()


def _signed(data: bytes, size: int) -> NDArray[np.float32]:
    """Signed little-endian integers of 2 to 4 bytes, on the scale of 16 bits."""
    if size == 2:
        return np.frombuffer(data, "<i2").astype(np.float32)
    wide = np.zeros((len(data) // size, 4), np.uint8)
    wide[:, 4 - size :] = np.frombuffer(data, np.uint8).reshape(-1, size)
    return (wide.view("<i4")[:, 0] / 65_536).astype(np.float32)


_READERS: dict[str, Callable[[bytes], NDArray[np.float32]]] = {
    "linear16": lambda data: _signed(data, 2),
    "linear32": lambda data: from_unit(np.frombuffer(data, "<f4")),
    "mulaw": lambda data: _MULAW[np.frombuffer(data, np.uint8)],
    "alaw": lambda data: _ALAW[np.frombuffer(data, np.uint8)],
    # Only in WAV:
    "unsigned8": lambda data: (np.frombuffer(data, np.uint8).astype(np.float32) - 128) * 256,
    "linear24": lambda data: _signed(data, 3),
    "integer32": lambda data: _signed(data, 4),
    "linear64": lambda data: from_unit(np.frombuffer(data, "<f8")),
}
SAMPLE_BYTES = {
    "linear16": 2,
    "linear32": 4,
    "mulaw": 1,
    "alaw": 1,
    "unsigned8": 1,
    "linear24": 3,
    "integer32": 4,
    "linear64": 8,
}


class Raw:
    """Interleaved samples. Part of a frame waits for its rest; at the end it is dropped."""

    def __init__(self, encoding: str, sample_rate: int, channels: int, lanes: int) -> None:
        self._read = _READERS[encoding]
        self._rate, self._channels = sample_rate, channels
        self._frame_bytes = SAMPLE_BYTES[encoding] * channels
        self._rest = b""
        self._shaper = Shaper(lanes)
        # What most clients send is what the wire carries: nothing to be done.
        self._as_it_is = (encoding, sample_rate, channels) == ("linear16", SAMPLE_RATE, 1)
        self._frames = 0

    @property
    def input_ms(self) -> int:
        return self._frames * 1000 // self._rate if self._as_it_is else self._shaper.input_ms

    def quick(self, size: int) -> bool:
        if self._as_it_is:
            return size <= MAX_PIECE_BYTES
        return size <= self._frame_bytes * self._rate * _QUICK_S

    def feed(self, data: bytes) -> Iterator[Pcm]:
        data = self._rest + data
        whole = len(data) - len(data) % self._frame_bytes
        self._rest = data[whole:]
        # Whole frames, and never so many that the floats made of them weigh more than a piece or two.
        step = MAX_PIECE_BYTES - MAX_PIECE_BYTES % self._frame_bytes
        for start in range(0, whole, step):
            piece = data[start : min(start + step, whole)]
            if self._as_it_is:
                self._frames += len(piece) // self._frame_bytes
                yield (piece,)
            else:
                yield from self._shaper.take(self._samples(piece), self._rate)

    def finish(self) -> Iterator[Pcm]:
        yield from self._shaper.finish()

    def close(self) -> None:
        self._shaper.close()

    def _samples(self, piece: bytes) -> Samples:
        return self._read(piece).reshape(-1, self._channels)
