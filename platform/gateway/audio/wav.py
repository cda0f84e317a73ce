"""WAV, live: the header is ours to read, because writers that stream do not know the size they put there, and
because samples without a header need no library and no thread."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

from gateway.audio.base import MAX_CHANNELS, Decoder, Pcm
from gateway.audio.container import Container
from gateway.audio.raw import Raw
from gateway.audio.recognise import is_wav
from gateway.audio.shaper import RATES
from gateway.errors import BadAudio

MAX_HEADER_BYTES = 2**20  # pictures and notes may come before the samples
_UNKNOWN_SIZE = 0x7FFF_0000  # what nobody sends in one piece: a placeholder, like 0
_FIRST_CHUNK = 12
_PCM, _FLOAT, _ALAW, _MULAW, _EXTENSIBLE = 1, 3, 6, 7, 0xFFFE
_ENCODINGS = {
    (_PCM, 8): "unsigned8",
    (_PCM, 16): "linear16",
    (_PCM, 24): "linear24",
    (_PCM, 32): "integer32",
    (_FLOAT, 32): "linear32",
    (_FLOAT, 64): "linear64",
    (_ALAW, 8): "alaw",
    (_MULAW, 8): "mulaw",
}


class Wav:
    """One WAV, or several one after the other."""

    def __init__(self, lanes: int) -> None:
        self._lanes = lanes
        self._buffer = bytearray()  # from its front parts are taken at no cost
        self._at, self._form = _FIRST_CHUNK, b""  # how far the header was read, and the format in it
        self._inner: Decoder | None = None
        self._closed = False
        self._earlier_ms = 0  # in those before this one
        self._left: int | None = None  # bytes of samples still to come; None: until the end
        self._pad = 0  # after an odd number of bytes
        self._step: Callable[[], Iterator[Pcm] | None] = self._header

    @property
    def input_ms(self) -> int:
        return self._earlier_ms + (self._inner.input_ms if self._inner else 0)

    def quick(self, size: int) -> bool:
        return self._inner is not None and self._inner.quick(size)

    def feed(self, data: bytes) -> Iterator[Pcm]:
        self._buffer += data
        while (pieces := self._step()) is not None:
            yield from pieces

    def finish(self) -> Iterator[Pcm]:
        if self._inner is not None:
            yield from self._inner.finish()
        elif self._buffer:
            raise BadAudio("It ends within its WAV header.")

    def close(self) -> None:
        self._closed = True
        if self._inner is not None:
            self._inner.close()

    # Each step takes its part from the front of the buffer; None: it needs more than is there.

    def _header(self) -> Iterator[Pcm] | None:
        buffer = self._buffer
        if len(buffer) < _FIRST_CHUNK:
            return None
        if not is_wav(bytes(buffer[:_FIRST_CHUNK])):
            raise BadAudio("It does not begin with a WAV header.")
        if buffer[:4] == b"RIFX":
            return self._begin(Container("wav", self._lanes), 0, None)
        while len(buffer) >= self._at + 8:
            at = self._at
            name, size = buffer[at : at + 4], int.from_bytes(buffer[at + 4 : at + 8], "little")
            if name == b"data":
                return self._samples_begin(self._form, at + 8, size)
            if len(buffer) < at + 8 + size:
                break
            if name == b"fmt ":
                self._form = bytes(buffer[at + 8 : at + 8 + size])
            self._at += 8 + size + size % 2
        if len(buffer) > MAX_HEADER_BYTES or self._at > MAX_HEADER_BYTES:
            raise BadAudio(f"Its WAV header is longer than {MAX_HEADER_BYTES} bytes.")
        return None

    def _samples_begin(self, form: bytes, start: int, size: int) -> Iterator[Pcm]:
        if len(form) < 16:
            raise BadAudio("Its WAV header does not say the format before the samples.")
        tag, channels, rate, _, block, bits = struct.unpack("<HHIIHH", form[:16])
        if tag == _EXTENSIBLE and len(form) >= 26:
            tag = int.from_bytes(form[24:26], "little")
        encoding = _ENCODINGS.get((tag, bits))
        if encoding is None:
            return self._begin(Container("wav", self._lanes), 0, None)
        if (
            not 1 <= channels <= MAX_CHANNELS
            or not RATES[0] <= rate <= RATES[1]
            or block != channels * bits // 8
        ):
            raise BadAudio(
                f"Its WAV header says {channels} channels at {rate} Hz in blocks of {block} bytes."
            )
        if self._lanes > 1 and channels != self._lanes:
            raise BadAudio(f"It has {channels} channels where channels={self._lanes} was said.")
        known = 0 < size < _UNKNOWN_SIZE
        self._pad = size % 2 if known else 0
        return self._begin(Raw(encoding, rate, channels, self._lanes), start, size if known else None)

    def _begin(self, inner: Decoder, start: int, size: int | None) -> Iterator[Pcm]:
        self._inner, self._left = inner, size
        if self._closed:
            inner.close()  # by another thread, which found nothing yet to close
        del self._buffer[:start]
        self._step = self._samples
        return iter(())

    def _samples(self) -> Iterator[Pcm] | None:
        if self._inner is None or not self._buffer:
            return None
        if self._left == 0:
            self._left, self._step = self._pad, self._skip
            return iter(())
        data = bytes(self._buffer[: self._left])
        del self._buffer[: len(data)]
        if self._left is not None:
            self._left -= len(data)
        return self._inner.feed(data)

    def _trailer(self) -> Iterator[Pcm] | None:
        """After the samples that were announced: another chunk, another WAV, or the header was wrong."""
        if len(self._buffer) < _FIRST_CHUNK:
            return None
        if is_wav(bytes(self._buffer[:_FIRST_CHUNK])):
            return self._next()
        if not self._buffer[:4].isascii() or not self._buffer[:4].decode().isprintable():
            self._left, self._step = None, self._samples
            return iter(())
        size = int.from_bytes(self._buffer[4:8], "little")
        self._left, self._step = 8 + size + size % 2, self._skip
        return iter(())

    def _skip(self) -> Iterator[Pcm] | None:
        skipped = min(len(self._buffer), self._left or 0)
        del self._buffer[:skipped]
        self._left = (self._left or 0) - skipped
        if self._left:
            return None
        self._step = self._trailer
        return iter(())

    def _next(self) -> Iterator[Pcm]:
        yield from self._inner.finish() if self._inner else ()
        self._earlier_ms = self.input_ms
        self._at, self._form = _FIRST_CHUNK, b""
        self._inner, self._step = None, self._header
