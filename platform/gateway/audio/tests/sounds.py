"""Audio made and encoded here, and what a decoder makes of it."""

from __future__ import annotations

import io
import random
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
from numpy.typing import NDArray

from gateway.audio.base import MAX_PIECE_BYTES, AudioFormat, Decoder
from gateway.audio.decoders import decoder

Int16 = NDArray[np.int16]


def sweep(rate: int, seconds: float = 0.6, channels: int = 1) -> Int16:
    """A sweep through the band of speech, another one in each channel: [frame, channel]."""
    t = np.arange(int(rate * seconds)) / rate
    tones = [np.sin(2 * np.pi * (200 + 40 * c + (700 + 100 * c) * t / seconds) * t) for c in range(channels)]
    return np.rint(np.stack(tones, axis=1) * 9000).astype(np.int16)


def encode(container: str, codec: str, rate: int, samples: Int16, **options: str) -> bytes:
    file = io.BytesIO()
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[samples.shape[1]]
    with av.open(file, "w", format=container, options=options) as out:
        stream = out.add_stream(codec, rate=rate, layout=layout)
        stream.codec_context.open(strict=False)
        for frame in _frames(stream.codec_context, samples, rate, layout):
            out.mux(stream.encode(frame))
        # The last one carries FLAC's header again, which only a FLAC file has room for.
        out.mux([packet for packet in stream.encode(None) if packet.size or container == "flac"])
    return file.getvalue()


def opus_packets(samples: Int16, rate: int = 48_000, **options: str) -> list[bytes]:
    layout = {1: "mono", 2: "stereo"}[samples.shape[1]]
    context = av.CodecContext.create("libopus", "w")
    context.sample_rate, context.layout, context.format = rate, layout, "s16"
    context.options = options
    context.open()
    frames = _frames(context, samples, rate, layout)
    return [bytes(packet) for frame in [*frames, None] for packet in context.encode(frame)]


def _frames(context, samples: Int16, rate: int, layout: str) -> list[av.AudioFrame]:
    whole = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout=layout)
    whole.rate, whole.pts, whole.time_base = rate, 0, Fraction(1, rate)
    resampler = av.AudioResampler(context.format, layout, rate, frame_size=context.frame_size or 0)
    return [*resampler.resample(whole), *resampler.resample(None)]


def decoded(form: AudioFormat, parts: Iterable[bytes]) -> tuple[list[Int16], int]:
    """Each lane, and `input_ms` at the end."""
    with_pieces = decoder(form)
    try:
        pieces = list(pieces_of(with_pieces, parts))
        lanes = [b"".join(piece[lane] for piece in pieces) for lane in range(form.lanes)]
        return [np.frombuffer(lane, "<i2") for lane in lanes], with_pieces.input_ms
    finally:
        with_pieces.close()


def pieces_of(audio: Decoder, parts: Iterable[bytes]) -> Iterator[tuple[bytes, ...]]:
    before = 0
    for pieces in [*(audio.feed(part) for part in parts), audio.finish()]:
        for piece in pieces:
            assert len({len(lane) for lane in piece}) == 1, "lanes are equally long"
            assert len(piece[0]) <= MAX_PIECE_BYTES
            assert audio.input_ms >= before, "time does not go back"
            before = audio.input_ms
            yield piece


def cut(data: bytes, at: Iterable[int]) -> list[bytes]:
    borders = [0, *sorted({place % (len(data) + 1) for place in at}), len(data)]
    return [data[a:b] for a, b in pairwise(borders)]


def every(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def likeness(one: NDArray[np.generic], other: NDArray[np.generic]) -> float:
    """How much the one is the other, at the same place: 1 is wholly."""
    size = min(len(one), len(other))
    a, b = one[:size].astype(float), other[:size].astype(float)
    return float(np.dot(a, b) / (np.linalg.norm(a) * np.linalg.norm(b)))


def damaged(data: bytes, chance: random.Random) -> bytes:
    """With bytes changed, taken out, put in, or cut off."""
    broken = bytearray(data)
    for _ in range(chance.randint(1, 12)):
        at = chance.randrange(len(broken) + 1)
        kind = chance.randrange(4)
        if kind == 0 and at < len(broken):
            broken[at] = chance.randrange(256)
        elif kind == 1:
            del broken[at : at + chance.randint(1, 40)]
        elif kind == 2:
            broken[at:at] = chance.randbytes(chance.randint(1, 40))
        elif chance.random() < 0.2:
            del broken[at:]
    return bytes(broken)
