"""What a stream is, by its first bytes. No library probes for us: it would try two hundred formats, some of
which read other files."""

from __future__ import annotations

from dataclasses import dataclass

# Enough to tell: the second sync byte of an MPEG transport stream is at 188.
HEAD_BYTES = 192
_ID3_HEADER = 10
MAX_TAGS = 16  # in a row, before something else must come: an empty one is ten bytes and as much work
NOT_KNOWN = (
    "It begins like no container that is known here: give encoding and sample_rate if it is raw audio."
)
# Four bytes and more that cannot be mistaken, whatever else was said.
STRONG = frozenset({"amr", "matroska", "ogg", "wav"})


@dataclass(frozen=True)
class Found:
    demuxer: str  # libav's name


@dataclass(frozen=True)
class Skip:
    """A tag is in the way."""

    size: int


_MAGIC = (
    (b"OggS", "ogg"),
    (b"\x1aE\xdf\xa3", "matroska"),
    (b"fLaC", "flac"),
    (b"#!AMR", "amr"),
    (b".snd", "au"),
    (b"caff", "caf"),
    (b"FLV\x01", "flv"),
    (b"wvpk", "wv"),
    (b"\x00\x00\x01\xba", "mpeg"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "asf"),
    (b"riff\x2e\x91\xcf\x11", "w64"),
)
_FORMS = {
    (b"RIFF", b"WAVE"): "wav",
    (b"RIFX", b"WAVE"): "wav",
    (b"RF64", b"WAVE"): "wav",
    (b"BW64", b"WAVE"): "wav",
    (b"RIFF", b"AVI "): "avi",
    (b"FORM", b"AIFF"): "aiff",
    (b"FORM", b"AIFC"): "aiff",
}
_BOXES = (b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"free", b"skip", b"wide", b"sidx")
DEMUXERS = frozenset(
    {demuxer for _, demuxer in _MAGIC} | set(_FORMS.values()) | {"mov", "mp3", "aac", "mpegts"}
)


def recognise(head: bytes) -> Found | Skip | None:
    """What begins like this; None for nothing known, or not yet: HEAD_BYTES always suffice."""
    for magic, demuxer in _MAGIC:
        if head.startswith(magic):
            return Found(demuxer)
    if form := _FORMS.get((head[:4], head[8:12])):
        return Found(form)
    if head[4:8] in _BOXES:
        return Found("mov")
    if head.startswith(b"ID3") and len(head) >= _ID3_HEADER:
        size = 0
        for byte in head[6:10]:
            size = size << 7 | byte & 0x7F
        footer = _ID3_HEADER if head[5] & 0x10 else 0
        return Skip(_ID3_HEADER + size + footer)
    if _is_adts(head):
        return Found("aac")
    if _is_mpeg_audio(head):
        return Found("mp3")
    if len(head) > 188 and head[0] == head[188] == 0x47:
        return Found("mpegts")
    return None


def _is_adts(head: bytes) -> bool:
    if len(head) < 7 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0:
        return False
    frame = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    return (head[2] >> 2 & 15) < 13 and frame > 7


def _is_mpeg_audio(head: bytes) -> bool:
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return False
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    bitrate, rate = head[2] >> 4, head[2] >> 2 & 3
    return version != 1 and layer != 0 and bitrate not in (0, 15) and rate != 3


def is_wav(head: bytes) -> bool:
    return _FORMS.get((head[:4], head[8:12])) == "wav"
