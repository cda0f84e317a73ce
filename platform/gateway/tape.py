"""The end of a lane's audio, kept for as long as a worker may have to hear it again.

Positions are samples from the first of the stream. Sans-I/O.
"""

from __future__ import annotations

from wire.messages import BYTES_PER_SAMPLE

# To forget means to move the rest, so it is done for some seconds at a time.
FORGET_BYTES = 65_536


class Tape:
    def __init__(self, start: int = 0) -> None:
        self.start = start
        self._pcm = bytearray()

    @property
    def end(self) -> int:
        return self.start + len(self._pcm) // BYTES_PER_SAMPLE

    def append(self, pcm: bytes) -> None:
        self._pcm += pcm

    @property
    def size(self) -> int:
        return len(self._pcm)

    def cut(self, end: int) -> None:
        """What comes after it never was."""
        del self._pcm[max(0, end - self.start) * BYTES_PER_SAMPLE :]

    def read(self, position: int, until: int) -> bytes:
        first, last = position - self.start, until - self.start
        return bytes(self._pcm[first * BYTES_PER_SAMPLE : last * BYTES_PER_SAMPLE])

    def forget_before(self, position: int) -> None:
        """Or a little less."""
        size = (min(position, self.end) - self.start) * BYTES_PER_SAMPLE
        if size >= FORGET_BYTES:
            del self._pcm[:size]
            self.start += size // BYTES_PER_SAMPLE
