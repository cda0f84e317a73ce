"""libav, held short: only audio containers that we name, only decoders that we name, no other file or
address, one thread, one stream."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import IO

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer

from gateway.audio.recognise import DEMUXERS
from gateway.audio.shaper import FULL_SCALE, Samples, from_unit
from gateway.errors import BadAudio, NoAudio

# Libav does not say what is wrong except to its log, and that must not grow or reach a terminal.
av.logging.set_level(None)

BARE_DEMUXERS = frozenset({"amrnb", "amrwb", "g729"})  # recognised by nothing: the client says so
# As libav wants the list.
DECODERS = (
    "aac,aac_latm,ac3,adpcm_ima_qt,adpcm_ima_wav,adpcm_ms,alac,amrnb,amrwb,eac3,flac,g722,g723_1,g726,g729,gsm,"
    "gsm_ms,mp1,mp1float,mp2,mp2float,mp3,mp3float,nellymoser,opus,libopus,pcm_alaw,pcm_f32be,pcm_f32le,"
    "pcm_f64be,pcm_f64le,pcm_mulaw,pcm_s16be,pcm_s16le,pcm_s24be,pcm_s24le,pcm_s32be,pcm_s32le,pcm_s8,pcm_u8,"
    "speex,truespeech,vorbis,wavpack,wmapro,wmav1,wmav2,wmavoice"
)
# A stream may begin in the middle of something, or be damaged here and there; not for long.
MAX_BAD_PACKETS = 50


def open_input(source: object, demuxer: str, options: dict[str, str]) -> InputContainer:
    """Open what `source` (an object with `read`, and `seek` where it can) gives, as this and nothing else."""
    if demuxer not in DEMUXERS | BARE_DEMUXERS:
        raise BadAudio(f"{demuxer} is not read here.")
    return av.open(
        source,
        "r",
        format=demuxer,
        container_options={
            "codec_whitelist": DECODERS,
            "protocol_whitelist": "none",
            **options,
        },
        metadata_errors="replace",
        io_open=_refuse,
    )


def hint(demuxer: str, heard_ms: int) -> str:
    """What may be wrong with what libav does not take, beyond what `BadAudio` says."""
    if heard_ms:
        return f"After {heard_ms} ms it is damaged, or goes on as something else."
    return f"It begins like {demuxer} and cannot be read as that."


def _refuse(url: str, flags: int, options: dict[str, str]) -> IO[bytes]:
    """What another file that it refers to is: empty. (An exception might be raised in another's turn.)"""
    return BytesIO()


def first_audio(container: InputContainer) -> AudioStream:
    if not container.streams.audio:
        raise NoAudio("It has no audio track.")
    stream = container.streams.audio[0]
    context = stream.codec_context
    if context is None or context.codec.name not in DECODERS.split(","):
        raise BadAudio("Its codec is not one that is read here.")
    context.thread_count = 1
    return stream


def decode(container: InputContainer, stream: AudioStream) -> Iterator[tuple[Samples, int]]:
    """The samples and their rate, packet by packet."""
    bad = 0
    for packet in _packets(container, stream):
        try:
            frames = packet.decode()
        except av.InvalidDataError:
            bad += 1
            if bad > MAX_BAD_PACKETS:
                raise BadAudio(f"More than {MAX_BAD_PACKETS} packets in a row are damaged.") from None
            continue
        for frame in frames:
            if isinstance(frame, AudioFrame) and frame.samples:
                bad = 0
                yield to_samples(frame), frame.sample_rate


def _packets(container: InputContainer, stream: AudioStream) -> Iterator[av.Packet[AudioStream]]:
    try:
        yield from container.demux(stream)
    except IndexError:
        # At the very end PyAV also looks for streams that have only appeared after it was opened.
        return


def to_samples(frame: AudioFrame) -> Samples:
    name = frame.format.name
    array = frame.to_ndarray()
    channels = frame.layout.nb_channels
    samples = array.T if frame.format.is_planar else array.reshape(-1, channels)
    if name.startswith(("flt", "dbl")):
        return from_unit(samples)
    if name.startswith("u8"):
        return (samples.astype(np.float32) - 128) * 256
    if name.startswith("s32"):
        return (samples.astype(np.float64) / (2**31 / FULL_SCALE)).astype(np.float32)
    return samples.astype(np.float32)
