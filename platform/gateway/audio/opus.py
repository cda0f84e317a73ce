"""Opus packets without a container: one message is one packet."""

from __future__ import annotations

from collections.abc import Iterator

import av
from av.audio.codeccontext import AudioCodecContext

from gateway.audio.base import Pcm
from gateway.audio.libav import to_samples
from gateway.audio.shaper import Shaper
from gateway.errors import BadAudio

RATE = 48_000  # Opus has no other; what the packets were encoded from does not matter
MAX_CHANNELS = 2  # without a header that maps them
MAX_PACKET_BYTES = 61_298  # 48 frames of 1,275 bytes, and how they are told apart


class OpusPackets:
    def __init__(self, channels: int, lanes: int) -> None:
        if channels > MAX_CHANNELS:
            raise BadAudio(f"Opus packets have at most {MAX_CHANNELS} channels; send more in Ogg or WebM.")
        context = av.CodecContext.create("libopus", "r")
        context.sample_rate = RATE
        context.layout = "mono" if channels == 1 else "stereo"
        self._context: AudioCodecContext | None = context
        self._shaper = Shaper(lanes)
        self._packets = 0

    @property
    def input_ms(self) -> int:
        return self._shaper.input_ms

    def quick(self, size: int) -> bool:
        return True  # 120 ms at most

    def feed(self, data: bytes) -> Iterator[Pcm]:
        if not data or self._context is None:
            return
        self._packets += 1
        try:
            if len(data) > MAX_PACKET_BYTES:
                raise ValueError
            frames = self._context.decode(av.Packet(data))
        except (av.FFmpegError, ValueError):
            # Nothing is lost or damaged on its way here, so this is not what was meant.
            raise BadAudio(f"Message {self._packets} is not one Opus packet.") from None
        for frame in frames:
            yield from self._shaper.take(to_samples(frame), RATE)

    def finish(self) -> Iterator[Pcm]:
        yield from self._shaper.finish()

    def close(self) -> None:
        self._context = None
        self._shaper.close()
