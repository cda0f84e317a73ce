"""FLAC, live. libav waits for ten frames before it gives the first, which is seconds; so the frames are found
here, and libav decodes each as soon as it is whole.

A frame says where it begins, not where it ends. It ends where the next begins, one number on; or where the
bytes end for now, if what is there decodes and has the right checksum.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import av
from av.audio.codeccontext import AudioCodecContext

from gateway.audio.base import Pcm
from gateway.audio.libav import MAX_BAD_PACKETS, to_samples
from gateway.audio.shaper import Samples, Shaper
from gateway.errors import BadAudio

MAX_FRAME_BYTES = 2**21 + 2**16  # 65,535 samples of 8 channels of 32 bits, and a little
_LARGE_BYTES = 2**16
_MAGIC = b"fLaC"
_STREAMINFO, _STREAMINFO_BYTES = 0, 34
_HEADER_BYTES = 16  # at most


def _crc8_table() -> bytes:
    table = bytearray()
    for byte in range(256):
        for _ in range(8):
            byte = (byte << 1 ^ 0x07 if byte & 0x80 else byte << 1) & 0xFF
        table.append(byte)
    return bytes(table)


_CRC8 = _crc8_table()


@dataclass(frozen=True)
class Header:
    shape: tuple[int, int, int]  # blocking strategy, sample rate, sample size: as in every frame of a stream
    number: int  # of the frame, or of its first sample
    samples: int

    @property
    def next_number(self) -> int:
        return self.number + (self.samples if self.shape[0] else 1)


def frame_header(data: bytes | bytearray) -> Header | None:
    """What a frame that begins with these bytes says; None if none does. 16 bytes are always enough."""
    if len(data) < 6 or data[0] != 0xFF or data[1] & 0xFE != 0xF8:
        return None
    block, rate = data[2] >> 4, data[2] & 15
    if not block or rate == 15 or data[3] >> 4 > 10 or data[3] & 1 or data[3] >> 1 & 7 == 3:
        return None
    lead = data[4]
    extra = next((bits for bits in range(8) if not lead << bits & 0x80), 8)  # ones in front
    if extra == 1 or extra == 8:
        return None
    number = lead & 0x7F >> extra
    at = 5 + max(extra - 1, 0)
    tail = {6: 1, 7: 2}.get(block, 0) + {12: 1, 13: 2, 14: 2}.get(rate, 0)
    if len(data) <= at + tail:
        return None
    for byte in data[5:at]:
        if byte & 0xC0 != 0x80:
            return None
        number = number << 6 | byte & 0x3F
    crc = 0
    for byte in data[: at + tail]:
        crc = _CRC8[crc ^ byte]
    if crc != data[at + tail]:
        return None
    if block == 1:
        samples = 192
    elif block <= 5:
        samples = 576 << block - 2
    elif block == 6:
        samples = data[at] + 1
    elif block == 7:
        samples = (data[at] << 8 | data[at + 1]) + 1
    else:
        samples = 256 << block - 8
    return Header((data[1] & 1, rate, data[3] & 15), number, samples)


class Flac:
    def __init__(self, lanes: int) -> None:
        self._shaper = Shaper(lanes)
        self._buffer = bytearray()  # begins with a frame, once the metadata is through
        self._searched = 0  # no frame begins before this, but the first
        self._tried = 0  # the size at which the front was last found not to be whole
        self._skip = 0  # of metadata
        self._metadata = True  # what comes next is that
        self._last = False  # it is the last of it
        self._context: AudioCodecContext | None = None
        self._bad = 0

    @property
    def input_ms(self) -> int:
        return self._shaper.input_ms

    def quick(self, size: int) -> bool:
        return False  # ten bytes can be a second of silence

    def feed(self, data: bytes) -> Iterator[Pcm]:
        self._buffer += data
        while True:
            if self._metadata:
                if not self._read_metadata():
                    return
            elif (end := self._frame_end()) is None:
                break
            else:
                yield from self._take(self._decode(end), end)
        if (end := self._whole()) is not None:
            yield from self._take(self._decode(end), end)
        elif len(self._buffer) > MAX_FRAME_BYTES:
            raise BadAudio("No FLAC frame ends where one should.")

    def finish(self) -> Iterator[Pcm]:
        yield from self._take(self._decode(len(self._buffer)), len(self._buffer))
        yield from self._shaper.finish()

    def close(self) -> None:
        self._context = None
        self._buffer.clear()
        self._shaper.close()

    def _read_metadata(self) -> bool:
        """One step through what is before the frames; False: more bytes are needed."""
        buffer = self._buffer
        if self._skip:
            skipped = min(self._skip, len(buffer))
            del buffer[:skipped]
            self._skip -= skipped
            return not self._skip
        if self._last:
            self._metadata = self._last = False
            self._searched = 0
            return True
        if len(buffer) < 4:
            return False
        if buffer.startswith(_MAGIC):
            del buffer[:4]
            self._context = None
            return True
        kind, size = buffer[0] & 0x7F, int.from_bytes(buffer[1:4], "big")
        if self._context is None:
            if kind != _STREAMINFO or size != _STREAMINFO_BYTES:
                raise BadAudio("Its FLAC header does not begin with STREAMINFO.")
            if len(buffer) < 4 + size:
                return False
            self._context = av.CodecContext.create("flac", "r")
            self._context.extradata = bytes(buffer[4 : 4 + size])
            self._context.thread_count = 1
            self._context.options = {"err_detect": "crccheck+explode"}
        self._last = bool(buffer[0] & 0x80)
        self._skip = 4 + size
        return True

    def _frame_end(self) -> int | None:
        """Where the frame at the front ends, by what comes after it; None if that is not there yet."""
        buffer = self._buffer
        first = frame_header(buffer[:_HEADER_BYTES])
        at = max(self._searched, 1)
        while (at := buffer.find(b"\xff", at)) >= 0 and at + _HEADER_BYTES <= len(buffer):
            if buffer[at + 1] & 0xFE == 0xF8:
                header = frame_header(buffer[at : at + _HEADER_BYTES])
                # Where the front is no frame, whatever is one will do.
                if header and (
                    first is None or (header.shape, header.number) == (first.shape, first.next_number)
                ):
                    return at
            at += 1
        self._searched = at if at >= 0 else len(buffer)
        return self._next_stream()

    def _next_stream(self) -> int | None:
        """Another FLAC may follow the one that ends."""
        if self._buffer.startswith(_MAGIC):
            self._metadata = True
            return 0
        end = self._buffer.find(_MAGIC)
        return end if end > 0 and self._decode(end) is not None else None

    def _whole(self) -> int | None:
        """Where the frame at the front ends, though less than a header follows: what is one byte shorter does
        not decode."""
        end = len(self._buffer)
        if end < self._tried + self._tried // 16 * (end > _LARGE_BYTES):
            return None  # many small messages in a very large frame: not each is worth a trial
        self._tried = end
        if self._decode(end) is None:
            return None
        for shorter in range(end - 1, max(end - _HEADER_BYTES, 0) - 1, -1):
            if self._decode(shorter) is None:
                return shorter + 1
        return None

    def _decode(self, end: int) -> tuple[Samples, int] | None:
        """The samples and rate of the frame at the front, if it is whole before `end`."""
        header = frame_header(self._buffer[:_HEADER_BYTES])
        if header is None or self._context is None:
            return None
        try:
            frames = self._context.decode(av.Packet(bytes(self._buffer[:end])))
        except (av.FFmpegError, ValueError):
            return None
        if len(frames) != 1 or frames[0].samples != header.samples:
            return None
        return to_samples(frames[0]), frames[0].sample_rate

    def _take(self, decoded: tuple[Samples, int] | None, end: int) -> Iterator[Pcm]:
        del self._buffer[:end]
        self._searched = self._tried = 0
        if decoded is not None:
            self._bad = 0
            yield from self._shaper.take(*decoded)
        elif end:
            self._bad += 1
            if self._bad > MAX_BAD_PACKETS:
                raise BadAudio(f"More than {MAX_BAD_PACKETS} FLAC frames in a row are damaged.")
