"""The encodings a client may name, in one table: what decodes each, what is checked, what the docs say."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto


class Kind(Enum):
    RAW = auto()  # samples and nothing else: sample_rate and channels must be right
    PACKETS = auto()  # one message is one packet
    STREAM = auto()  # says itself what it is


@dataclass(frozen=True)
class Encoding:
    name: str
    kind: Kind
    about: str
    demuxer: str = ""  # libav's name, for a stream that does not begin as expected
    bare: bool = False  # begins with anything: only an unmistakable container may speak against it


_ALL = (
    Encoding("linear16", Kind.RAW, "signed 16-bit little-endian samples; a WAV header in front is read"),
    Encoding("linear32", Kind.RAW, "32-bit little-endian floating-point samples from -1 to 1"),
    Encoding("mulaw", Kind.RAW, "G.711 µ-law, one byte a sample"),
    Encoding("alaw", Kind.RAW, "G.711 A-law, one byte a sample"),
    Encoding("opus", Kind.PACKETS, "Opus packets, each in a message of its own", bare=True),
    Encoding("ogg-opus", Kind.STREAM, "Opus in Ogg", "ogg"),
    Encoding("webm-opus", Kind.STREAM, "Opus in WebM or Matroska", "matroska"),
    Encoding("flac", Kind.STREAM, "FLAC", "flac"),
    Encoding("mp3", Kind.STREAM, "MPEG-1 and MPEG-2 layer III", "mp3"),
    Encoding("wav", Kind.STREAM, "WAV, also one whose size is not known yet", "wav"),
    Encoding(
        "aac", Kind.STREAM, "AAC in ADTS frames, or in MP4 that is fragmented or begins with its index", "aac"
    ),
    Encoding(
        "amr-nb", Kind.STREAM, "AMR at 8 kHz, with its file header or as bare frames", "amrnb", bare=True
    ),
    Encoding(
        "amr-wb", Kind.STREAM, "AMR at 16 kHz, with its file header or as bare frames", "amrwb", bare=True
    ),
    Encoding("speex", Kind.STREAM, "Speex in Ogg", "ogg"),
    Encoding("g729", Kind.STREAM, "G.729 at 8 kHz, frames of 10 bytes", "g729", bare=True),
)
ENCODINGS = {encoding.name: encoding for encoding in _ALL}
NAMES = tuple(ENCODINGS)
