"""MP3, live. libav would read it by the kilobyte, which is a quarter of a second of speech; its parser gives
each frame as soon as it is whole, and needs no thread."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import av
from av.audio.codeccontext import AudioCodecContext

from gateway.audio.base import Pcm
from gateway.audio.container import MAX_UNHEARD_BYTES
from gateway.audio.libav import MAX_BAD_PACKETS, to_samples
from gateway.audio.shaper import Shaper
from gateway.errors import BadAudio

_STEP_BYTES = 4096
_DECODER_DELAY = (
    529  # samples, of every MP3 decoder; an encoder adds its own, and may say it in the first frame
)


def encoder_delay(frame: bytes) -> int | None:
    """The samples to leave out, if this is the frame with notes about the file; None if it is audio."""
    frame = frame[max(frame.find(b"\xff"), 0) :]  # a parser leaves what was in front of the first frame
    if len(frame) < 4:
        return None
    mpeg1, mono = frame[1] >> 3 & 3 == 3, frame[3] >> 6 == 3
    at = 4 + ((17 if mono else 32) if mpeg1 else (9 if mono else 17))
    if frame[at : at + 4] not in (b"Xing", b"Info"):
        return None
    flags = int.from_bytes(frame[at + 4 : at + 8], "big")
    at += 8 + 4 * (flags & 1) + 4 * (flags >> 1 & 1) + 100 * (flags >> 2 & 1) + 4 * (flags >> 3 & 1)
    lame = frame[at : at + 24]
    if len(lame) < 24 or not lame[:4].isalpha():
        return 0
    return (lame[21] << 4 | lame[22] >> 4) + _DECODER_DELAY


class Mp3:
    def __init__(self, lanes: int) -> None:
        context = cast(AudioCodecContext, av.CodecContext.create("mp3float", "r"))
        context.thread_count = 1
        self._context: AudioCodecContext | None = context
        # Of its own: a parser writes the rate of what it finds into its context, before that is decoded.
        self._parser = av.CodecContext.create("mp3", "r")
        self._shaper = Shaper(lanes)
        self._first = True
        self._leave_out = 0  # samples at the beginning
        self._bad = 0
        self._unheard = 0  # bytes since there was audio

    @property
    def input_ms(self) -> int:
        return self._shaper.input_ms

    def quick(self, size: int) -> bool:
        return size <= _QUICK_BYTES

    def feed(self, data: bytes) -> Iterator[Pcm]:
        for start in range(0, len(data), _STEP_BYTES):
            yield from self._decode(data[start : start + _STEP_BYTES])

    def finish(self) -> Iterator[Pcm]:
        yield from self._decode(b"")
        yield from self._shaper.finish()

    def close(self) -> None:
        self._context = None
        self._shaper.close()

    def _decode(self, data: bytes) -> Iterator[Pcm]:
        if self._context is None:
            return
        self._unheard += len(data)
        for packet in self._parser.parse(data):
            if self._first:
                self._first = False
                delay = encoder_delay(bytes(packet))
                if delay is not None:
                    self._leave_out = delay
                    continue
            yield from self._frames(self._context, packet)
        if self._unheard > MAX_UNHEARD_BYTES:
            raise BadAudio(f"{MAX_UNHEARD_BYTES} bytes came without any audio in them.")

    def _frames(self, context: AudioCodecContext, packet: av.Packet[Any]) -> Iterator[Pcm]:
        try:
            frames = context.decode(packet)
        except (av.FFmpegError, ValueError):
            # The first frames of a stream that was joined lack what came before them.
            self._bad += 1
            if self._bad > MAX_BAD_PACKETS:
                raise BadAudio(f"More than {MAX_BAD_PACKETS} MP3 frames in a row are damaged.") from None
            return
        for frame in frames:
            self._bad = self._unheard = 0
            samples = to_samples(frame)
            left_out = min(self._leave_out, len(samples))
            self._leave_out -= left_out
            yield from self._shaper.take(samples[left_out:], frame.sample_rate)


# A frame is 24 bytes at least, and takes some 50 µs; so many are about a millisecond, whatever they hold.
_QUICK_BYTES = 480
